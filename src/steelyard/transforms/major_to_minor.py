"""M2m: rows of frequent classes translated into rows of rare ones, by gradient steps on the input."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn

from steelyard.core.counts import CountsLike, effective, of_class
from steelyard.core.errors import ArgumentError, CombinationError
from steelyard.core.loss import upcast
from steelyard.core.modes import evaluating
from steelyard.core.oracle import Oracle
from steelyard.core.rows import Batch, Clock
from steelyard.core.world import World
from steelyard.transforms._leaves import each, joined, pick
from steelyard.transforms._search import Box, Search, check_quantities

__all__ = ["Box", "MajorToMinor", "Search"]

HALF = math.log(0.5) / math.log(0.999) / 5000
"""The published beta, 0.999 where the largest class has 5000 rows, as a half-distance in shares of the largest class."""


def acceptance(surplus: Tensor, beta: float) -> Tensor:
    """`1 - beta^max(surplus, 0)`: how readily a class takes from one with so many rows more; 0 where it has none more.

    Args:
        surplus: rows of the other class less rows of this one, any shape.
        beta: in [0, 1]; 0 takes from every larger class, 1 from none.

    Example:
        >>> acceptance(torch.tensor([-5.0, 0.0, 1.0, 10.0]), 0.5).round(decimals=3)
        tensor([0.0000, 0.0000, 0.5000, 0.9990])
    """
    rate = math.log(beta) if beta > 0 else -1e30  # finite, so that no surplus stays no surplus
    return -torch.expm1(surplus.clamp_min(0) * rate)


class MajorToMinor(nn.Module):
    """Replace rows of rare classes by rows of more frequent ones, changed until a second network takes them for the rare class.

    For a row of class k, with n the class sizes:

        translate?      with probability 1 - n_k / n_max
        seed            a row j of a more frequent class, with probability proportional to 1 - beta^(n_{y_j} - n_k)
        x*              from a random start near the seed, gradient steps down CE(g(x), k) + lambda f_{y_j}(x)
        take x*         with probability 1 - beta^(n_{y_j} - n_k), and if softmax(g(x*))_k >= gamma

    and otherwise the row stays as it is. f is the model in training and g, the generator, a network trained before it; f_{y_j}
    is a logit. Labels do not change. Use it with balanced sampling, as published: rare classes are drawn often, and most of
    what would be repetitions become new rows.

    Both networks are in evaluation mode meanwhile. Parameters, gradients, BatchNorm statistics and flags of both stay as they
    were, and no other random stream is drawn from. Whether a row is taken by chance is drawn before anything is computed, and
    only such rows are searched for: the result is the same, and most of the cost is saved where classes differ little.

    Inputs may be a tensor or a (nested) mapping of tensors. Floating-point tensors are moved, all together as one vector; all
    others (categories) are those of the seed.

    Args:
        class_counts: training rows a class `[C]`; a class never seen counts as one row.
        generator: g: maps inputs, as the batch holds them, to logits `[M, C]`. None for a copy of the model itself, kept when
            the first batch at `after` comes.
        beta: in [0, 1], see above; 0.999 as released. None to have it follow from `half`.
        half: by how many rows more the probability is one half, as a share of n_max; above 0. None for the published
            beta = 0.999 at n_max = 5000. A fixed beta does almost nothing where classes are small.
        gamma: at least 0: what the generator has to be sure of; above 1 nothing is taken.
        after: share of the epochs after which rows are translated, in [0, 1]. None for 0 with a generator and 0.8 without.
        search: steps, step size, start, lambda, box and further seeds; None for the published numbers without a box.

    Shapes:
        as the batch.

    Raises:
        ArgumentError: a setting out of range, both beta and half, or neither a generator nor a time to copy the model at.
        CombinationError: rows that share inputs, or that carry `extra`, or inputs without floating-point numbers.

    Reference:
        Kim, Jeong, Shin. M2m: Imbalanced Classification via Major-to-Minor Translation. CVPR 2020.

    Departures:
        - The random start is `start` long for each input; in the released code the norm is taken over the whole batch, which
          leaves 0.077 of 0.5 at 128 images (`Search(whole_batch_start=True)`).
        - n_max is the largest count, in the released code that of class 0.
        - beta follows from the size of the largest class, where the released code has one number.
        - A seed outside of the box may stay where it is. A batch without rows to translate is left alone.
        - The start is uniform noise cut to its length, as in the released code; the paper was not read in full.

    Example:
        >>> from steelyard.core.objective import Objective
        >>> from steelyard.core.rows import Rows
        >>> g = nn.Linear(2, 2)
        >>> g.weight.data, g.bias.data = 9 * torch.eye(2), torch.zeros(2)
        >>> oracle = Oracle(nn.Linear(2, 2), lambda m, b: Rows(m(b.inputs), b.target), Objective())
        >>> batch = Batch(torch.eye(2), torch.tensor([0, 1]), torch.arange(2))
        >>> changed = MajorToMinor([1000, 1], g, beta=0.9, search=Search(steps=20))(oracle, batch)
        >>> bool((changed.inputs[0] == batch.inputs[0]).all()), g(changed.inputs).argmax(1)
        (True, tensor([0, 1]))
    """

    class_counts: Tensor

    def __init__(
        self,
        class_counts: CountsLike,
        generator: nn.Module | None = None,
        *,
        beta: float | None = None,
        half: float | None = None,
        gamma: float = 0.9,
        after: float | None = None,
        search: Search | None = None,
    ) -> None:
        super().__init__()
        counts = effective(class_counts)
        self.register_buffer("class_counts", counts.float())
        self.generator = generator
        self.beta = _beta(beta, half, float(counts.max()))
        if not gamma >= 0:
            raise ArgumentError("gamma", "a probability, 0 or more (above 1 nothing is taken)", gamma)
        if after is None:
            after = 0.8 if generator is None else 0.0
        if not 0 <= after <= 1 or (after == 0 and generator is None):
            expected = "a share of the epochs from 0 to 1, and above 0 without a generator (the model is copied then)"
            raise ArgumentError("after", expected, after)
        self.gamma, self.after = float(gamma), float(after)
        self.search = Search() if search is None else search
        self._copied: dict[str, Tensor] = {}
        self._largest = float(counts.max())
        self._idle = bool((counts == counts[0]).all()) or self.beta == 1 or self.gamma > 1

    def forward(self, oracle: Oracle, batch: Batch) -> Batch:
        """The batch with translated rows; draws from `oracle.generator`."""
        if not self.acts(oracle.clock):
            return batch
        if self.generator is None and not self._copied:
            self._copied = _copy(oracle.model)
        if self._idle or len(batch.target) == 0:
            return batch
        _check(batch)
        seeds, labels, counted = self._seeds(oracle, batch)
        slots, chosen = self._choose(oracle, batch, labels, counted)
        if len(slots) == 0:
            return batch
        found, taken = self._translated(oracle, pick(seeds, chosen), batch.target[slots], labels[chosen], batch.index[slots])
        kept = pick(batch.inputs, slots)
        rows = each(lambda new, old: torch.where(taken.reshape(-1, *[1] * (new.ndim - 1)), new, old), found, kept)
        return batch.replace(inputs=each(lambda leaf, row: leaf.index_copy(0, slots, row), batch.inputs, rows))

    def acts(self, clock: Clock) -> bool:
        """Has the time come?"""
        return self.after == 0 or (self.after < 1 and clock.fraction >= self.after)

    def _seeds(self, oracle: Oracle, batch: Batch) -> tuple[Any, Tensor, Tensor]:
        """Rows that may be seeds: inputs, classes, and whether each may be used `[S]`."""
        counted = torch.ones_like(batch.target, dtype=torch.bool) if batch.share is None else batch.share > 0
        if self.search.seeds is None:
            return batch.inputs, batch.target, counted
        more = self.search.seeds.batch(oracle)
        every = torch.ones_like(more.target, dtype=torch.bool)
        return joined(batch.inputs, more.inputs), torch.cat([batch.target, more.target]), torch.cat([counted, every])

    def _choose(self, oracle: Oracle, batch: Batch, labels: Tensor, counted: Tensor) -> tuple[Tensor, Tensor]:
        """Rows to translate, and the seed of each: [K] places in the batch, [K] places among the seeds."""
        stream, target = oracle.generator, batch.target
        which, seed, coin = torch.rand(3, len(target), generator=stream, device=stream.device).to(target.device)
        sizes = self.class_counts.to(target.device)
        odds = acceptance(of_class(sizes, labels) - of_class(sizes, target)[:, None], self.beta) * counted  # [N, S]
        reach = odds.cumsum(1)
        drawn = torch.searchsorted(reach, seed[:, None] * reach[:, -1:], right=True).clamp_max(len(labels) - 1)
        wanted = (which < 1 - sizes[target] / self._largest) & (coin < odds.gather(1, drawn)[:, 0])
        slots = (wanted & counted[: len(target)]).nonzero()[:, 0]
        return slots, drawn[slots, 0]

    def _translated(self, oracle: Oracle, seeds: Any, target: Tensor, source: Tensor, index: Tensor) -> tuple[Any, Tensor]:
        """Inputs found from the seeds, and whether the generator is sure of their class."""

        def scores(inputs: Any, *, mine: bool) -> Tensor:
            asked = Batch(inputs, target, index)
            if mine:
                return upcast(oracle.rows(asked, probe=True).logits)
            return upcast(self._generated(oracle, asked))

        def climb(inputs: Any) -> Tensor:
            value = nn.functional.cross_entropy(scores(inputs, mine=False), target, reduction="none")
            if self.search.lam == 0:
                return value
            return value + self.search.lam * scores(inputs, mine=True).gather(1, source[:, None])[:, 0]

        with evaluating(oracle.model, *self.children()), torch.enable_grad():
            found = self.search(seeds, oracle.generator, climb)
            with torch.no_grad():
                sure = scores(found, mine=False).softmax(1).gather(1, target[:, None])[:, 0]
        return found, sure >= self.gamma

    def _generated(self, oracle: Oracle, batch: Batch) -> Tensor:
        """The generator's logits."""
        if self.generator is None:
            here = {name: value.to(oracle.device) for name, value in self._copied.items()}
            return oracle.rows(batch, at=here).logits
        with oracle.autocast():
            logits: Tensor = self.generator(batch.inputs)
        return logits

    def get_extra_state(self) -> dict[str, Tensor]:
        """The copy of the model, where it serves as the generator."""
        return dict(self._copied)

    def set_extra_state(self, state: dict[str, Tensor]) -> None:
        """Take up a saved copy."""
        self._copied = dict(state)

    def extra_repr(self) -> str:
        """The settings."""
        return f"beta={self.beta:g}, gamma={self.gamma:g}, after={self.after:g}"


def _copy(model: nn.Module) -> dict[str, Tensor]:
    """Parameters and buffers by name; BatchNorm statistics, which each process has its own of, are averaged."""
    world = World.current()
    held = {name: value.detach().clone() for name, value in model.named_parameters()}
    for name, value in model.named_buffers():
        held[name] = world.sum(value) / world.size if world.size > 1 and value.is_floating_point() else value.detach().clone()
    return held


def _beta(beta: float | None, half: float | None, largest: float) -> float:
    if beta is not None and half is not None:
        raise ArgumentError("half", "None where beta is given, as either follows from the other", half)
    if beta is None:
        half = HALF if half is None else half
        if not (half > 0 and math.isfinite(half)):
            raise ArgumentError("half", "a share of the largest class above 0", half)
        return float(2.0 ** (-1.0 / (half * largest)))
    if not 0 <= beta <= 1:
        raise ArgumentError("beta", "a number from 0 to 1", beta)
    return float(beta)


def _check(batch: Batch) -> None:
    check_quantities(batch.inputs)
    if batch.owner is not None or batch.extra:
        what = "share inputs with other rows" if batch.owner is not None else "carry " + ", ".join(map(repr, batch.extra))
        raise CombinationError(f"major-to-minor cannot translate rows that {what}: it puts another input in a row's place")
