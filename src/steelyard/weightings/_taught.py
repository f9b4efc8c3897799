"""Weights learnt from what a step with them would do to a balanced meta set: what the meta-learned weightings share."""

from __future__ import annotations

import dataclasses
from abc import abstractmethod
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from steelyard.core.errors import ArgumentError
from steelyard.core.head import Head
from steelyard.core.influence import (
    ESTIMATORS,
    SCOPES,
    Estimator,
    Scope,
    params_in,
    row_slopes,
    scoped_losses,
)
from steelyard.core.lookahead import look_ahead, slope_of_last_step
from steelyard.core.loss import upcast
from steelyard.core.objective import Evaluation, counting
from steelyard.core.oracle import Oracle, Params
from steelyard.core.pool import RowPool, check_pool
from steelyard.core.roles import Follows, Prepares
from steelyard.core.rows import Batch, Clock, Evidence, Rows
from steelyard.core.seeds import Randomness
from steelyard.core.weighting import Weighting
from steelyard.core.world import World
from steelyard.numeric.directional import plain_attention, sent_back, slopes_of, weighted_gradients
from steelyard.numeric.nll import affine_nll
from steelyard.numeric.normalise import divisor, over_batch
from steelyard.numeric.replay import Recording
from steelyard.weightings._own_adam import OwnAdam

Normalise = Literal["batch", "none", "detached"]
ORDERS = ("ahead", "online")
NORMALISATIONS = ("batch", "none", "detached")


@dataclass(frozen=True)
class Lookahead:
    """When and how meta-learned weights look ahead of a step.

    Attributes:
        every: steps between two lessons, 1 or more.
        scope: "all": the step moves every parameter; "head": only the classifier, several times cheaper.
        order: "ahead": a step is tried, the weights learn from it, and then the real step is made with the new weights (the
            order of the papers). "online": the real step itself is what they learn from, so that momentum, clipping and the
            descent are those of the update really made, and a forward and a backward pass are spared.
        estimator: of the influences: "auto", "forward", "reverse" or "difference", see `steelyard.influence`. "auto" takes two
            backward passes for small networks of linear layers in the order "ahead", where they are faster.
        after: fraction of the stage's epochs before which rows weigh 1 and nothing is learnt, in [0, 1].
        until: fraction of the stage's epochs after which nothing more is learnt, in [0, 1].

    Raises:
        ArgumentError: a value is out of its range.

    Example:
        >>> Lookahead(every=10).due(Clock(step=20)), Lookahead(every=10).due(Clock(step=21))
        (True, False)
    """

    every: int = 1
    scope: Scope = "all"
    order: Literal["ahead", "online"] = "ahead"
    estimator: Estimator = "auto"
    after: float = 0.0
    until: float = 1.0

    def __post_init__(self) -> None:
        """Check every value."""
        checks = (
            ("every", self.every >= 1, "at least 1"),
            ("scope", self.scope in SCOPES, " or ".join(map(repr, SCOPES))),
            ("order", self.order in ORDERS, " or ".join(map(repr, ORDERS))),
            ("estimator", self.estimator in ESTIMATORS, " or ".join(map(repr, ESTIMATORS))),
            ("after", 0 <= self.after <= 1, "in [0, 1]"),
            ("until", 0 <= self.until <= 1, "in [0, 1]"),
        )
        for name, holds, expected in checks:
            if not holds:
                raise ArgumentError(name, expected, repr(getattr(self, name)))

    def begun(self, clock: Clock) -> bool:
        """Do the weights count at this time?"""
        return clock.fraction >= self.after

    def due(self, clock: Clock) -> bool:
        """Is this step one to learn from?"""
        return self.begun(clock) and clock.fraction < self.until and clock.step % self.every == 0


SMALL = 200_000
"""Parameters up to which calling operators costs more than what they compute, so that fewer calls are faster."""
SIMPLE = (
    Head, nn.Linear, nn.Embedding, nn.BatchNorm1d, nn.LayerNorm, nn.Dropout, nn.Flatten, nn.Identity,
    nn.ReLU, nn.LeakyReLU, nn.ELU, nn.GELU, nn.SiLU, nn.Softplus, nn.Sigmoid, nn.Tanh,
)  # fmt: skip


def is_small(model: nn.Module) -> bool:
    """Is it a small network of layers that torch differentiates twice at little cost?"""
    leaves = [module for module in model.modules() if next(module.children(), None) is None]
    return all(isinstance(leaf, SIMPLE) for leaf in leaves) and sum(p.numel() for p in model.parameters()) <= SMALL


class Lesson:
    """The influence of each row of a step on the meta loss.

    Args:
        meta: rows that the step is judged on, by their mean cross-entropy.
        lookahead: how.
        oracle: model and loss.
        batch: of the step.
    """

    def __init__(self, meta: RowPool, lookahead: Lookahead, oracle: Oracle, batch: Batch) -> None:
        self.meta, self.lookahead, self.oracle, self.batch = meta, lookahead, oracle, batch
        self.world = World.current()
        self.estimator: Estimator = lookahead.estimator
        self.params = params_in(oracle, lookahead.scope)
        self.random = Randomness(oracle.device)  # the step's dropout must be the same in its derivative
        self.record = Recording()

    def keep(self, *, twice: bool = False) -> Rows:
        """The rows of the step, whose graph the step will use again.

        Args:
            twice: it is differentiated twice.
        """
        with torch.enable_grad(), plain_attention() if twice or self.estimator == "reverse" else nullcontext():
            if self.lookahead.scope == "head" or self.estimator not in ("auto", "forward"):
                return self.oracle.keep(self.batch)
            with self.record:
                return self.oracle.keep(self.batch)

    def judge(self, points: Params | None) -> dict[str, Tensor]:
        """The gradient of the meta loss at some parameters (None: here), by name, over all processes."""
        oracle, scope = self.oracle, self.lookahead.scope
        batch = self.meta.batch(oracle, oracle.clock.step // self.lookahead.every)
        at = {name: value.detach().requires_grad_() for name, value in (self.params if points is None else points).items()}
        with torch.enable_grad():
            losses = scoped_losses(oracle, batch, scope, loss=cross_entropy)(at)
            found = torch.autograd.grad(losses.mean(), list(at.values()), materialize_grads=True)
        return self._shared(dict(zip(at, found, strict=True)), 1.0 / self.world.size)

    def slopes(self, at: Params, direction: Params, rows: Rows | None = None) -> Tensor:
        """`<grad l_i(at), direction>` of each row of the step `[N]`."""
        now = Randomness(self.oracle.device)
        self.random.again()
        try:
            losses = scoped_losses(self.oracle, self.batch, self.lookahead.scope, rows)
            return row_slopes(losses, at, direction, self.estimator, self.record).detach()
        finally:
            now.again()

    def per_mass(self, seen: Rows | Evidence, dtype: torch.dtype) -> Tensor:
        """What a row's weight is multiplied by in the objective: its share of the mass of all processes `[N]`."""
        share = torch.ones_like(seen.target, dtype=dtype) if seen.share is None else seen.share.to(dtype)
        return share / counting(self.world.sum(share.sum()))

    def try_step(self, losses: Tensor, weights: Tensor, unweighted: Tensor | None) -> Tensor:
        """Influences when the step is tried with these weights on the losses of kept rows `[N]`.

        Args:
            losses: with their graph.
            weights: of the rows, divided by the mass.
            unweighted: what the objective has beside weighted losses, a scalar with its graph.
        """
        if self.estimator == "reverse":
            leaf = weights.detach().to(losses.dtype).requires_grad_()
            graph = weighted_gradients(losses, leaf, self.params)
            gradients = {name: value.detach() for name, value in graph.items()}
            if unweighted is not None:
                more = torch.autograd.grad(unweighted, list(self.params.values()), retain_graph=True, materialize_grads=True)
                gradients = {name: value + extra for (name, value), extra in zip(gradients.items(), more, strict=True)}
            return slopes_of(graph, leaf, self._direction(gradients))
        given = weights.detach().to(losses.dtype)
        found = torch.autograd.grad(
            [losses] if unweighted is None else [losses, unweighted],
            list(self.params.values()),
            grad_outputs=[given] if unweighted is None else [given, torch.ones_like(unweighted)],
            retain_graph=True,
            materialize_grads=True,
        )
        return self.slopes(self.params, self._direction(dict(zip(self.params, found, strict=True))))

    def try_head(self, rows: Rows, weights: Tensor) -> Tensor:
        """The same where the step moves the classifier only."""
        losses = scoped_losses(self.oracle, self.batch, "head", rows)
        at = {name: value.detach().requires_grad_() for name, value in self.params.items()}
        with torch.enable_grad():
            values = losses(at)
            found = torch.autograd.grad(values, list(at.values()), grad_outputs=weights.detach().to(values.dtype))
        return self.slopes(self.params, self._direction(dict(zip(at, found, strict=True))), rows)

    def through_losses(self, inner: Tensor, own: list[nn.Parameter]) -> list[Tensor]:
        """The gradient of the meta loss by `own`, where the tried step's loss depends on them also through the model's losses.

        The step is differentiated itself: its gradient has a graph, which the direction of the meta gradient is sent back
        through. A second derivative of the model, as in the released codes.
        """
        graph = torch.autograd.grad(inner, list(self.params.values()), create_graph=True, materialize_grads=True)
        named = dict(zip(self.params, graph, strict=True))
        direction = self._direction({name: value.detach() for name, value in named.items()})
        return sent_back(named, direction, own, retain_graph=True)

    def _direction(self, gradients: dict[str, Tensor]) -> dict[str, Tensor]:
        ahead = look_ahead(self.oracle.optimizer, self.params, self._shared(gradients, 1.0))
        return ahead.pull(self.judge(ahead.params))

    def _shared(self, gradients: dict[str, Tensor], scale: float) -> dict[str, Tensor]:
        if self.world.size == 1:
            return gradients
        flat = self.world.sum(torch.cat([value.flatten() for value in gradients.values()])) * scale
        parts = torch.split(flat, [value.numel() for value in gradients.values()])
        return {name: part.view_as(gradients[name]) for name, part in zip(gradients, parts, strict=True)}


def cross_entropy(rows: Rows) -> Tensor:
    """What the meta set judges by, whatever the training loss `[N]`."""
    return affine_nll(upcast(rows.logits), rows.target)


class Taught(OwnAdam, Weighting, Prepares, Follows):
    """A weighting with parameters of its own that learn from a meta set; a subclass says what it is by `raw`.

    Args:
        meta: the meta set.
        normalise: of the weights v: "batch" gives mean 1 over the batch, "none" leaves them, "detached" gives mean 1 but
            learns as if the divisor were a constant.
        lookahead: when and how it learns.
        lr: of Adam, which teaches it, above 0.
        weight_decay: of Adam, 0 or more.

    Attributes:
        detached: it learns as if the losses that it looks at were constants in the tried step, as they are in the real one.
    """

    detached = True

    def __init__(
        self, meta: RowPool, *, normalise: Normalise, lookahead: Lookahead | None, lr: float, weight_decay: float
    ) -> None:
        super().__init__()
        if normalise not in NORMALISATIONS:
            raise ArgumentError("normalise", " or ".join(map(repr, NORMALISATIONS)), repr(normalise))
        if not lr > 0:
            raise ArgumentError("lr", "above 0", lr)
        if not weight_decay >= 0:
            raise ArgumentError("weight_decay", "0 or more", weight_decay)
        self.meta, self.normalise = check_pool(meta, "meta"), normalise
        self.lookahead = Lookahead() if lookahead is None else lookahead
        self.lr, self.weight_decay = lr, weight_decay
        self._before: tuple[dict[str, Tensor], Lesson] | None = None
        self._heard: Evidence | None = None

    @abstractmethod
    def raw(self, evidence: Evidence) -> Tensor:
        """The weights v `[N]` before normalisation, with the graph to this module's parameters."""

    def forward(self, evidence: Evidence) -> Tensor:
        """Weights `[N]`."""
        if not self.lookahead.begun(evidence.clock):
            return torch.ones(evidence.target.shape[0], device=evidence.target.device)
        if self._before is not None and (self._heard is None or evidence.target is self._before[1].batch.target):
            self._heard = evidence  # a descent may score other batches too
        raw = self.raw(evidence)
        if self.normalise == "none":
            return raw
        if self.normalise == "batch":
            return over_batch(raw, evidence.share)
        still = raw.detach()
        return raw * (over_batch(still, evidence.share) / divisor(still))

    def prepare(self, oracle: Oracle, batch: Batch) -> None:
        """Learn from a step that is only tried, or remember where the real one starts."""
        self._before = self._heard = None
        if not self.lookahead.due(oracle.clock):
            return
        lesson = Lesson(self.meta, self.lookahead, oracle, batch)
        if self.lookahead.order == "online":
            self._before = {name: value.detach().clone() for name, value in lesson.params.items()}, lesson
            lesson.keep()
            return
        if self.lookahead.estimator == "auto" and self.lookahead.scope == "all" and is_small(oracle.model):
            lesson.estimator = "reverse"
        rows = lesson.keep(twice=not self.detached)
        losses, more = oracle.objective.parts(rows, oracle.clock)
        evidence = Evaluation(rows, losses, None, 1, oracle.clock).evidence()
        scale = lesson.per_mass(rows, losses.dtype)
        unweighted = None if more is None else (more * scale).sum()
        if not self.detached:
            with torch.enable_grad():
                weights = self(dataclasses.replace(evidence, losses=losses))
                inner = (weights * losses * scale).sum()
                inner = inner if unweighted is None else inner + unweighted
            self._move(lesson.through_losses(inner, self._own()), lesson.world)
            return
        with torch.enable_grad():
            weights = self(evidence)
        if self.lookahead.scope == "head":
            slopes = lesson.try_head(rows, weights * scale)
        else:
            slopes = lesson.try_step(losses, weights * scale, unweighted)
        self._learn(weights, slopes * scale, lesson.world)

    def follow(self, oracle: Oracle, batch: Batch) -> None:
        """Learn from the step that was made."""
        if self._before is None or self._heard is None:
            return
        (start, lesson), evidence = self._before, self._heard
        self._before = self._heard = None
        if oracle.optimizer is None:
            raise ArgumentError("order", "'ahead', or `oracle.optimizer` set to what makes the steps", "'online' without it")
        slope = slope_of_last_step(oracle.optimizer, lesson.params)
        direction = {name: value * slope[name] for name, value in lesson.judge(None).items()}
        slopes = lesson.slopes(start, direction)
        with torch.enable_grad():
            weights = self(evidence)
        self._learn(weights, slopes * lesson.per_mass(evidence, slopes.dtype), lesson.world)

    def _learn(self, weights: Tensor, influences: Tensor, world: World) -> None:
        gradients = torch.autograd.grad(
            weights, self._own(), grad_outputs=influences.to(weights.dtype), allow_unused=True, materialize_grads=True
        )
        self._move(gradients, world)

    def _move(self, gradients: Sequence[Tensor], world: World) -> None:
        own = self._own()
        for value, gradient in zip(own, gradients, strict=True):
            value.grad = world.sum(gradient) if world.size > 1 else gradient
        self.teacher().step()
        for value in own:
            value.grad = None


class Net(nn.Module):
    """A loss to a weight in (0, 1): one hidden layer.

    Args:
        hidden: its width.
        heads: outputs, one for each group of classes.
    """

    def __init__(self, hidden: int, heads: int = 1) -> None:
        super().__init__()
        if hidden < 1:
            raise ArgumentError("hidden", "at least 1", hidden)
        self.trunk, self.heads = nn.Linear(1, hidden), nn.Linear(hidden, heads)

    def forward(self, losses: Tensor) -> Tensor:
        """`[N]` to `[N, heads]`."""
        weights: Tensor = torch.sigmoid(self.heads(torch.relu(self.trunk(losses.to(self.trunk.weight.dtype)[:, None]))))
        return weights
