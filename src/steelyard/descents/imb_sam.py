"""SAM for the tail only: the gradient of common classes is taken here, that of rare ones at the worst point nearby."""

from __future__ import annotations

from contextlib import nullcontext

import torch
from torch import Tensor, nn

from steelyard.core.counts import GROUP_NAMES, CountsLike, as_counts, group_classes, of_class
from steelyard.core.errors import ArgumentError
from steelyard.core.objective import Evaluation
from steelyard.core.oracle import Oracle, Params
from steelyard.core.rows import Batch
from steelyard.core.seeds import Randomness
from steelyard.descents._ascent import add_gradients, check_radius, gradients_of, moved, same_weights, settle
from steelyard.descents._rowwise import RowGradients
from steelyard.descents._subset import BatchStatistics, Subset, same_draws
from steelyard.numeric.ascent import uphill

SEARCH = {"rho": "log(0.01..1)", "tail": "few|medium+few", "factor": "1|2"}
WHOLE_FROM = 5 / 6
"""Share of a batch's inputs from which scoring the whole batch again costs no more than scoring the tail twice."""


class ImbSAM(nn.Module):
    """Flatten the loss of rare classes only, and leave the others to plain descent.

    Formula:
        `.grad = grad L_head(theta) + factor * grad L_tail(theta + eps)`, `eps = rho * g_tail / |g_tail|`,
        `g_tail = grad L_tail(theta)`; L_head and L_tail are the parts of the objective that the rows of the two groups of
        classes make, with the denominator of the whole batch

    **Cost.** By default the tail rows alone are scored again, at theta + eps, and what they make more there is added to the
    gradient of the whole batch. What they make at theta is read off the backward pass of the whole batch, row by row, where
    every trained layer is an `nn.Linear`, a convolution or a BatchNorm that runs once on one row an input: about
    1 + 4/3 * (share of tail rows) plain steps. Elsewhere (other layers, dropout, mixed rows) they are scored at theta too:
    1 + 2 * (share). A batch without tail rows costs one.

    **BatchNorm.** A few rows must not be normalised by their own statistics, which would erase what sets them apart. What the
    rows of a batch exchange through BatchNorm, mean and variance forward and their gradients backward, stays as it was in the
    first pass. Without BatchNorm the result is the formula's, exactly. With it, the step up is longer in effect than its rho
    says, as nothing is normalised again at theta + eps; as rho goes to 0 it becomes plain descent all the same. `whole=True` is
    the formula with BatchNorm too: it scores the whole batch again, for 8/3 plain steps. So does the default where a batch
    cannot be split: it carries `extra`, inputs are not one a row, rows were scored before the step, nearly every input is
    needed, or BatchNorm keeps no running statistics or has no weight.

    Args:
        class_counts: training rows a class `[C]`.
        rho: how far, 0 or more.
        tail: which classes; a whole number of type int: those with fewer rows than that; a float in [0, 1]: the rarest classes
            that together hold at most that share of the rows; a text: a group, "few", "medium" or "many", or several as in
            "medium+few" (groups as in reports, `core.counts.group_classes`).
        factor: what the tail's part is multiplied by, 0 or more.
        whole: score the whole batch again.

    Raises:
        ArgumentError: no class sizes, a negative setting, or a tail that is none of these.

    Reference:
        Zhou, Qu, Xu, Shen, ImbSAM: a closer look at sharpness-aware minimization in class-imbalanced recognition, ICCV 2023.

    Departures:
        `factor` is 1, the paper's objective; the released code has 2 fixed. `tail` is the Few group; the released threshold,
        `tail=20`, selects no class of CIFAR-10-LT, and ImbSAM with no tail is plain descent. A batch with no tail row climbs
        nowhere. BatchNorm counts a batch once. Only the tail is scored again, see above.

    Example:
        >>> from steelyard.core.objective import Objective
        >>> from steelyard.core.rows import Rows
        >>> model = nn.Linear(2, 3)
        >>> oracle = Oracle(model, lambda model, batch: Rows(model(batch.inputs), batch.target), Objective())
        >>> batch = Batch(torch.randn(8, 2), torch.randint(3, (8,)), torch.arange(8))
        >>> descent = ImbSAM([900, 50, 5], tail=20)
        >>> descent.tail, descent(oracle, batch).loss.isfinite()
        (tensor([False, False,  True]), tensor(True))
    """

    tail: Tensor

    def __init__(
        self,
        class_counts: CountsLike,
        rho: float = 0.05,
        tail: int | float | str = "few",
        *,
        factor: float = 1.0,
        whole: bool = False,
    ) -> None:
        super().__init__()
        self.rho, self.factor, self.whole, self.chosen = check_radius(rho), check_radius(factor, "factor"), whole, tail
        self.register_buffer("tail", _tail(class_counts, tail))

    def forward(self, oracle: Oracle, batch: Batch) -> Evaluation:
        """Fill `.grad` and return the evaluation here."""
        params = oracle.params()
        statistics, by_row = BatchStatistics(oracle.model), RowGradients(oracle.model, params)
        with statistics.watching(), by_row.watching():
            first = oracle(batch)
        rows = self._mask(first).nonzero().flatten()  # waits for the device: how much is left to do depends on it
        if len(rows) == 0 or self.rho == 0 or self.factor == 0 or not params:
            self._loss(first).backward()
            return first
        part = None if self.whole else Subset.of(batch, first.rows, rows)
        taken = statistics.taken()
        if part is None or taken is None or part.share >= WHOLE_FROM:
            self._climb(oracle, batch, first)
        else:
            _Tail(self, oracle, first, part, params).descend(statistics, taken, by_row if batch.owner is None else None)
        return first

    def _loss(self, evaluation: Evaluation) -> Tensor:
        """The objective with the tail's part multiplied."""
        if self.factor == 1:
            return evaluation.loss
        return evaluation.restricted(torch.where(self._mask(evaluation), self.factor, 1.0))

    def _mask(self, evaluation: Evaluation) -> Tensor:
        return of_class(self.tail.to(evaluation.losses.device), evaluation.rows.target)

    def _climb(self, oracle: Oracle, batch: Batch, first: Evaluation) -> None:
        """The formula as it stands: two backward passes here, and a second pass over the whole batch."""
        params, mask = oracle.params(), self._mask(first)
        only_tail = bool(mask.all())
        gradients = gradients_of(self.factor * first.restricted(mask), params.values(), retain_graph=not only_tail)
        if not only_tail:
            first.restricted(~mask).backward()
        there = moved(params, uphill(gradients, self.rho))
        second = oracle(batch, at=there, weights=same_weights(first))
        (self.factor * second.restricted(mask)).backward()
        settle(params, there)

    def extra_repr(self) -> str:
        """Shown by print(descent)."""
        found = f"{int(self.tail.sum())} of {len(self.tail)} classes"
        return f"rho={self.rho:g}, tail={self.chosen} ({found}), factor={self.factor:g}, whole={self.whole}"


class _Tail:
    """The tail of a batch that is scored again by itself."""

    def __init__(self, descent: ImbSAM, oracle: Oracle, first: Evaluation, part: Subset, params: dict[str, Tensor]) -> None:
        self.descent, self.oracle, self.first, self.part, self.params = descent, oracle, first, part, params
        self.mask = descent._mask(first)
        self.of_loss = [value for value in oracle.objective.loss.parameters() if value.requires_grad]
        self.draws: list[Randomness] = []

    def descend(self, statistics: BatchStatistics, taken: Params, by_row: RowGradients | None) -> None:
        """Fill `.grad` with the gradient of the whole batch here, and what that of the tail is more uphill."""
        learnt, loss = [*self.params.values(), *self.of_loss], self.descent._loss(self.first)
        read = by_row is not None and by_row.covers(loss, len(self.first.rows.target))
        of_loss, found = self._of_loss_here() if read else [], dict[str, Tensor]()
        with by_row.of(self.part.rows, taken, found) if by_row is not None and read else nullcontext():
            whole: tuple[Tensor | None, ...] = torch.autograd.grad(loss, learnt, allow_unused=True)
        with statistics.in_force(taken, dict(zip(self.params, whole, strict=False))):
            if read:
                here = [found.get(name, torch.zeros_like(value)) for name, value in self.params.items()] + of_loss
            else:
                here = self._gradients(taken, list(self.params.values()))
            there = moved(self.params, uphill(here[: len(self.params)], self.descent.rho))
            more = torch._foreach_sub(self._gradients({**taken, **there}, list(there.values())), here)
        add_gradients(learnt, [None if own is None else own + extra for own, extra in zip(whole, more, strict=True)])

    def _gradients(self, at: Params, leaves: list[Tensor]) -> list[Tensor]:
        """Of the tail's part of the objective, by these leaves and the parameters of the loss."""
        with same_draws(self.oracle.device, self.draws):
            tail = self.part.again(self.oracle, self.first, at).restricted(self.mask)
        return gradients_of(self.descent.factor * tail, [*leaves, *self.of_loss])

    def _of_loss_here(self) -> list[Tensor]:
        """The tail's gradient by the parameters of the loss, which takes no pass through the model."""
        if not self.of_loss:
            return []
        return gradients_of(self.descent.factor * self.first.restricted(self.mask), self.of_loss, retain_graph=True)


def _tail(class_counts: CountsLike, tail: object) -> Tensor:
    """Which classes are tail `[C]`, bool."""
    sizes = as_counts(class_counts)
    if isinstance(tail, str):
        names = tail.split("+")
        if set(names) <= set(GROUP_NAMES):
            members = group_classes(sizes).members
            chosen = torch.zeros(len(sizes), dtype=torch.bool)
            chosen[[label for name in names for label in members[name]]] = True
            return chosen
    elif isinstance(tail, int) and not isinstance(tail, bool) and tail >= 0:
        return sizes < tail
    elif isinstance(tail, float) and 0 <= tail <= 1:
        # A class counts with all classes of its size, so that which of equals are tail does not depend on their order.
        ordered = sizes.sort().values
        held = ordered.cumsum(0)[torch.searchsorted(ordered, sizes, right=True) - 1]
        return held <= tail * float(sizes.sum()) * (1 + 1e-9)
    expected = (
        "a number of rows of type int, a share of the rows in [0, 1] of type float, or a group ('few', 'medium', 'many'; "
        "several joined by '+')"
    )
    raise ArgumentError("tail", expected, repr(tail))
