"""Weights that bring the training rows, as a distribution, near to a balanced set of rows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

import torch
from torch import Tensor

from steelyard.core.counts import CountsLike, as_counts, count, effective
from steelyard.core.errors import ArgumentError, CombinationError
from steelyard.core.modes import evaluating
from steelyard.core.oracle import Oracle
from steelyard.core.pool import RowPool, check_pool
from steelyard.core.roles import Prepares
from steelyard.core.rows import Batch, Evidence, seen
from steelyard.core.weighting import Weighting
from steelyard.core.world import World
from steelyard.numeric.effective_number import effective_number
from steelyard.numeric.normalise import over_classes, over_rows
from steelyard.numeric.sinkhorn import cosine_cost, label_cost, nearest_masses, sinkhorn

Method: TypeAlias = Literal["sinkhorn", "closed_form", "released"]
Cost: TypeAlias = Literal["combined", "feature", "label"]
Points: TypeAlias = Literal["prototypes", "whole"]
Given: TypeAlias = Literal["classes", "rows", "nothing"]

RATES = {"sinkhorn": 0.05, "closed_form": 1.0, "released": 0.01}
DECAY = 5e-4
"""Weight decay of the weights themselves in the released code."""
LOOK = 1024
"""Meta rows that go through the model at a time."""
MOST = 30.0
"""A row's weight stays within a factor e^MOST of that of its class."""


@dataclass(frozen=True)
class TransportOptions:
    """What `OptimalTransport` is seldom asked to do otherwise.

    Args:
        points: "prototypes", the mean feature of each class of the meta set; "whole", every row of it.
        given: what the meta set is conditioned on in a batch. "classes": the classes present, each of the same mass. "rows":
            each class by the share of its training rows that is in the batch, so that inverse frequency is where label costs
            lead for any batch size. "nothing": all classes alike, present or not, as released.
        anchor: 0 or more, strength of the pull to the effective-number weights; 1 is a divergence from them with factor eps.
        beta: of the effective number, in [0, 1].
        rate: size of a step, above 0: for "sinkhorn" at most 1, for "released" a learning rate; "closed_form" makes none. None
            for 0.05 and 0.01. Where eps is small against the costs, weights end up going to and fro around the closed form, by
            about rate times the cost.
        refresh: steps between two looks at the meta set; None for once an epoch.
        iterations: of Sinkhorn's algorithm.

    Raises:
        ArgumentError: a value outside its range.
    """

    points: Points = "prototypes"
    given: Given = "classes"
    anchor: float = 1.0
    beta: float = 0.9999
    rate: float | None = None
    refresh: int | None = None
    iterations: int = 20

    def __post_init__(self) -> None:
        _one_of("points", self.points, ("prototypes", "whole"))
        _one_of("given", self.given, ("classes", "rows", "nothing"))
        if not self.anchor >= 0:
            raise ArgumentError("anchor", "0 or more", self.anchor)
        if not 0 <= self.beta <= 1:
            raise ArgumentError("beta", "in [0, 1]", self.beta)
        if self.rate is not None and not self.rate > 0:
            raise ArgumentError("rate", "above 0, or None", self.rate)
        for name, value in (("refresh", self.refresh), ("iterations", self.iterations)):
            if value is not None and value < 1:
                raise ArgumentError(name, "at least 1", value)


class OptimalTransport(Weighting, Prepares):
    """Weights under which the rows of a batch are cheap to transport to a balanced meta set.

    Formula:
        `min_w  min_T <T, C> + eps * sum_ij T_ij log T_ij - anchor * eps * sum_j w_j log a_j`, `T 1 = q`, `T' 1 = w`,
        with w the weights of the batch's rows on the simplex, q the masses of the meta points, a the effective-number weights,
        and `C_ij = 1 - cos(h_i, h_j)` (feature), `label_scale * [y_i != y_j]` (label), or half of each (combined)

    The features h are the input of the classifier, seen in evaluation mode: statistics of BatchNorm, training flags and
    gradients of the model stay as they are, and no gradient reaches it. What is learnt is a table of weights, one a row:

    - "sinkhorn": a batch's weights make a step along the gradient, which is the potential of the columns (nothing is
      differentiated through the iterations), in the geometry of the simplex:
      `log w -= rate / max(1, eps) * (v - anchor * eps * log a)`. The mass of the batch stays; weights have mean 1 over all
      training rows. They begin as effective-number weights, and where they come to rest they are the closed form.
    - "closed_form": the minimiser itself, `w_j = sum_i q_i softmax_j(anchor * log a_j - C_ij / eps)`, anew for each batch
      and of mean 1 in it; nothing is kept.
    - "released": a step of gradient descent on raw weights whose softmax over the batch is w, with weight decay 5e-4, and no
      anchor but the beginning; weights have mean 1 over classes at first. As the authors' code does it, they hardly move.

    Several processes solve the transport of the whole batch together, so each holds the weight of every row, and all
    the same. A row that was lent out twice in a batch (drawn twice, mixed) makes the mean of its steps.

    Args:
        class_counts: training rows a class `[C]`; rows are numbered 0 to their sum - 1 by `batch.index`.
        meta: balanced rows, at least one of each class that is trained on; all of them are used.
        method: see above.
        cost: "combined", "feature" or "label"; with "label" the model is not asked.
        label_scale: cost of another label, 0 or more.
        eps: entropy, above 0.
        options: the rest.

    Attributes:
        class_weights: the anchor a `[C]`, of mean 1 over training rows (for "released" over classes).
        shift: log of each row's weight over that of its class `[sum n_c]`.

    Raises:
        ArgumentError: a value outside its range, or a class without a row in the meta set.

    Reference:
        Guo, Li, Zheng, Zhao, Zhou, Zha: Learning to re-weight examples with optimal transport for imbalanced classification,
        NeurIPS 2022.

    Departures:
        The released code takes the gradient of `<T, C>` alone, through the iterations; ours is that of the regularised value
        at its optimum, by which "released" means `<T, C> + eps * KL(T, q w')`: that has nearly the same gradient as `<T, C>`,
        which the formula above has not. It divides the label cost by C/2: `label_scale=2/C`. Its prototypes are means of images
        in pixel space, seen in training mode; ours are means of features. Its meta set is not conditioned on the batch:
        `given="nothing"`. It sums weighted losses over the batch, the package takes their mean, and it adds 10 times the
        cross-entropy of the meta set: see the descent `Anchored`. Step and anchor are ours but for "released".

    Example:
        >>> from steelyard.core.objective import Objective
        >>> from steelyard.core.rows import Rows
        >>> from steelyard.data import ResidentSource
        >>> inputs, target = torch.eye(3)[torch.tensor([0, 0, 0, 1])], torch.tensor([0, 0, 0, 1])
        >>> meta = RowPool(ResidentSource(torch.eye(3)[:2], torch.tensor([0, 1])))
        >>> weighting = OptimalTransport([3, 1], meta, method="closed_form")
        >>> model = torch.nn.Linear(3, 2)
        >>> oracle = Oracle(model, lambda m, b: Rows(m(b.inputs), b.target, index=b.index), Objective(weighting=weighting))
        >>> batch = Batch(inputs, target, torch.arange(4))
        >>> weighting.prepare(oracle, batch)  # the loop does it before the gradient
        >>> oracle(batch).weights.round(decimals=2)
        tensor([0.6700, 0.6700, 0.6700, 2.0000])
    """

    class_weights: Tensor
    shift: Tensor
    total: Tensor
    portions: Tensor

    def __init__(
        self,
        class_counts: CountsLike,
        meta: RowPool,
        method: Method = "sinkhorn",
        cost: Cost = "combined",
        label_scale: float = 1.0,
        eps: float = 0.1,
        options: TransportOptions | None = None,
    ) -> None:
        super().__init__()
        _one_of("method", method, tuple(RATES))
        _one_of("cost", cost, ("combined", "feature", "label"))
        if not label_scale >= 0:
            raise ArgumentError("label_scale", "0 or more", label_scale)
        if not eps > 0:
            raise ArgumentError("eps", "above 0", eps)
        self.options = options = TransportOptions() if options is None else options
        self.meta, self.method, self.cost, self.label_scale, self.eps = meta, method, cost, float(label_scale), float(eps)
        self.rate = RATES[method] if options.rate is None else float(options.rate)
        if method == "sinkhorn" and self.rate > 1:
            raise ArgumentError("rate", "at most 1 with method 'sinkhorn'", self.rate)
        if method == "closed_form" and options.rate is not None:
            raise ArgumentError("rate", "None with method 'closed_form', which makes no steps", options.rate)
        counts = as_counts(class_counts)
        offered = _check_classes(check_pool(meta, "meta").source.target, counts)
        table = 1 / effective_number(effective(counts), float(options.beta))
        table = over_classes(table) if method == "released" else over_rows(table, counts)
        self.register_buffer("class_weights", table.float())
        self.register_buffer("shift", torch.zeros(int(counts.sum())))
        # The sum of the weights of all training rows, before it is divided out; kept up to date by differences.
        self.register_buffer("total", (self.class_weights.double() * counts).sum())
        # What one row stands for in its class, in the meta set and in training.
        portions = torch.stack([1 / offered.clamp_min(1), 1 / counts.clamp_min(1)]).float()
        self.register_buffer("portions", portions, persistent=False)
        self._points: Tensor | None = None  # features of the meta points [M, d]
        self._labels: tuple[torch.device, Tensor] | None = None

    def forward(self, evidence: Evidence) -> Tensor:
        """Weights `[N]` by row number; a row that is not of the training split weighs as its class."""
        if evidence.index is None:
            raise ArgumentError("evidence.index", "the position of each row in the training split [N]", "none")
        weights = (self._log_weights(evidence.target) + self._shift_of(evidence.index)).exp()
        return weights * (len(self.shift) / self.total).float() if self.method == "sinkhorn" else weights

    @torch.no_grad()
    def prepare(self, oracle: Oracle, batch: Batch) -> None:
        """Move the weights of the batch's rows."""
        world = World.current()
        self._look(oracle, world)
        target, index = _joined(batch.target, world), _joined(batch.index, world)
        share = _joined(
            torch.ones_like(batch.target, dtype=torch.float32) if batch.share is None else batch.share.float(), world
        )
        features = None if self.cost == "label" else _joined(self._features(oracle, batch), world)
        cost, masses = self._cost(features, target), self._masses(target, share)
        now = self._log_weights(target) + self._shift_of(index)
        if self.method == "closed_form":
            then = self._solved(cost, masses, target, share)
        elif self.method == "sinkhorn":
            then = self._stepped(cost, masses, target, share, now)
        else:
            then = self._released(cost, masses, share, now)
        self._write(index, target, torch.where(share > 0, then, now).float())

    def _solved(self, cost: Tensor, masses: Tensor, target: Tensor, share: Tensor) -> Tensor:
        """Log weights of mean 1 in the batch, from the closed form."""
        reference = share.log() + self.options.anchor * self._log_weights(target)
        carried = nearest_masses(cost, masses, self.eps, reference)
        return (carried * share.sum()).log() - share.log()

    def _stepped(self, cost: Tensor, masses: Tensor, target: Tensor, share: Tensor, now: Tensor) -> Tensor:
        """Log weights after a step along the potential, with the mass of the batch as it was."""
        potential = self._potential(cost, masses, share.log() + now)
        gradient = potential - self.eps * (share.log() + self.options.anchor * self._log_weights(target))
        then = torch.where(share > 0, now - self.rate / max(1.0, self.eps) * gradient, -torch.inf)
        return then + torch.logsumexp(share.log() + now, 0) - torch.logsumexp(share.log() + then, 0)

    def _released(self, cost: Tensor, masses: Tensor, share: Tensor, now: Tensor) -> Tensor:
        """Log weights after a step of gradient descent on the raw weights, which go through a softmax."""
        raw = now.exp()
        portions = torch.softmax(raw + share.log(), 0)
        # Entropy relative to the product of the masses: its gradient is close to that of the released <T, C>, while the
        # entropy of the plan alone would also pull the weights of the batch to one another.
        potential = self._potential(cost, masses, portions.log()) - self.eps * portions.log()
        potential = torch.where(portions > 0, potential, 0.0)
        gradient = portions * (potential - (portions * potential).sum())
        return (raw - self.rate * (gradient + DECAY * raw)).clamp_min(torch.finfo(raw.dtype).tiny).log()

    def _potential(self, cost: Tensor, masses: Tensor, log_columns: Tensor) -> Tensor:
        columns = torch.softmax(log_columns.to(cost.dtype), 0)
        return sinkhorn(cost, masses, columns, self.eps, iterations=self.options.iterations).column_potential

    def _cost(self, features: Tensor | None, target: Tensor) -> Tensor:
        labels = self._point_labels(target.device)
        by_label = label_cost(labels, target, self.label_scale)
        if features is None or self._points is None:
            return by_label
        by_feature = cosine_cost(self._points.to(features), features)
        return by_feature if self.cost == "feature" else 0.5 * by_feature + 0.5 * by_label

    def _masses(self, target: Tensor, share: Tensor) -> Tensor:
        """What each meta point receives `[M]`, of sum 1."""
        labels = self._point_labels(target.device)
        here = (labels[:, None] == target).to(share.dtype) @ share  # the rows of each point's class
        if self.options.given == "nothing":
            masses = torch.ones_like(here)
        else:
            masses = (here > 0).float() if self.options.given == "classes" else here * self.portions[1][labels]
        if self.options.points == "whole":
            masses = masses * self.portions[0][labels]
        return masses / masses.sum()

    def _look(self, oracle: Oracle, world: World) -> None:
        """Take the features of the meta points at the current parameters, where it is time."""
        clock, every = oracle.clock, self.options.refresh
        due = clock.position == 0 if every is None else clock.step % every == 0
        if self.cost == "label" or (self._points is not None and not due):
            return
        if len(self.meta) < world.size:
            raise ArgumentError("meta", f"a row at least for each of the {world.size} processes", f"{len(self.meta)}")
        # Each process looks at its part, with its own statistics of BatchNorm; all then hold the same points.
        source, rows = self.meta.source.to(oracle.device), torch.arange(len(self.meta))[world.rank :: world.size]
        target, labels = self.meta.source.target.to(oracle.device), self._point_labels(oracle.device)
        prototypes = self.options.points == "prototypes"
        points = torch.empty(0)
        for index, inputs in source.stream(torch.split(rows, LOOK)):
            features = self._features(oracle, Batch(oracle.read(inputs), target[index], index))
            if not len(points):
                points = features.new_zeros(len(labels), features.shape[1])
            place = torch.searchsorted(labels, target[index]) if prototypes else index
            # Accumulating index_put, unlike index_add, adds in the same order at every run on a GPU.
            points.index_put_((place,), features, accumulate=True)
        points = world.sum(points)
        self._points = points * self.portions[0][labels, None].to(points.dtype) if prototypes else points

    def _features(self, oracle: Oracle, batch: Batch) -> Tensor:
        """The classifier's input for a batch, in evaluation mode."""
        with evaluating(oracle.model):
            # A batch of its own: rows that somebody keeps for the step are not ours to take.
            features = seen(oracle.rows(batch.replace()).features)
        if features is None:
            raise CombinationError(
                f"OptimalTransport with cost='{self.cost}' compares features, and this model has no linear classifier whose "
                "input they would be: use cost='label', or end the model with a linear layer"
            )
        return features

    def _point_labels(self, device: torch.device) -> Tensor:
        """Class of each meta point `[M]`."""
        if self._labels is None or self._labels[0] != device:
            labels = self.meta.source.target
            self._labels = device, (labels.unique() if self.options.points == "prototypes" else labels).to(device)
        return self._labels[1]

    def _log_weights(self, target: Tensor) -> Tensor:
        return self.class_weights[target].log()

    def _shift_of(self, index: Tensor) -> Tensor:
        known = index < len(self.shift)
        return torch.where(known, self.shift[index.clamp_max(len(self.shift) - 1)], 0.0)

    def _write(self, index: Tensor, target: Tensor, log_weights: Tensor) -> None:
        """Put new weights into the table; a row that is there more than once gets the mean."""
        before, by_class = self._shift_of(index), self._log_weights(target)
        wished = (log_weights - by_class).clamp(-MOST, MOST)
        ordered = index.sort().values
        times = torch.searchsorted(ordered, index, right=True) - torch.searchsorted(ordered, index)
        known = index < len(self.shift)
        place = (index.clamp_max(len(self.shift) - 1),)
        self.shift.index_put_(place, torch.where(known, (wished - before) / times, 0.0), accumulate=True)
        gained = (self._shift_of(index).double().exp() - before.double().exp()) * by_class.double().exp()
        self.total += torch.where(known, gained / times, 0.0).sum()

    def get_extra_state(self) -> Tensor:
        """Features of the meta points, which are older than the parameters; empty before the first look."""
        return torch.empty(0) if self._points is None else self._points.cpu()

    def set_extra_state(self, state: Tensor) -> None:
        """Go on from a checkpoint."""
        self._points = state.to(self.shift.device) if state.numel() else None

    def extra_repr(self) -> str:
        """Shown by print(weighting)."""
        return f"rows={len(self.shift)}, method={self.method!r}, cost={self.cost!r}, eps={self.eps:g}"


def _joined(values: Tensor, world: World) -> Tensor:
    """The values of all processes `[N, ...]`, in order of rank."""
    if world.size == 1:
        return values
    lengths = torch.zeros(world.size, dtype=torch.int64, device=values.device)
    lengths[world.rank] = len(values)
    ends = world.sum(lengths).cumsum(0).tolist()
    whole = values.new_zeros(ends[-1], *values.shape[1:])
    whole[ends[world.rank] - len(values) : ends[world.rank]] = values
    return world.sum(whole)


def _check_classes(offered: Tensor, counts: Tensor) -> Tensor:
    """Meta rows of each class `[C]`."""
    lowest, highest = int(offered.min()), int(offered.max())
    if lowest < 0 or highest >= len(counts):
        wrong = lowest if lowest < 0 else highest
        raise ArgumentError("meta", f"rows of the classes 0 to {len(counts) - 1}", f"class {wrong}")
    rows = count(offered, len(counts))
    missing = ((counts > 0) & (rows == 0)).nonzero().flatten().tolist()
    if missing:
        raise ArgumentError("meta", "rows with at least one of each class that is trained on", f"none of class {missing[0]}")
    return rows


def _one_of(name: str, value: str, known: tuple[str, ...]) -> None:
    if value not in known:
        raise ArgumentError(name, " or ".join(repr(item) for item in known), repr(value))
