"""Weights by the density ratio between a balanced world, kept as class prototypes, and the batch at hand."""

from __future__ import annotations

import math
import warnings
from typing import Literal, TypeAlias

import torch
from torch import Tensor

from steelyard.core.counts import CountsLike, effective, of_class
from steelyard.core.errors import ArgumentError, CombinationError
from steelyard.core.roles import Observes
from steelyard.core.rows import Evidence, seen
from steelyard.core.weighting import Weighting
from steelyard.numeric.by_class import class_totals
from steelyard.numeric.density_ratio import density_ratio
from steelyard.numeric.normalise import over_batch
from steelyard.weightings.prototypes import Prototypes

Prior: TypeAlias = Literal["dataset_count", "batch_count"]
Normalise: TypeAlias = Literal["batch", "classes"]

SEARCH = {"momentum": "0.5..0.99", "ridge": "log(1e-3..1)", "gamma": "0.25..1"}
NEAR = 0.9
"""Share of the feature width from which a class's rows in a batch make the exact solution useless."""


class IllConditionedWarning(UserWarning):
    """A class has about as many rows in a batch as there are features, and its ratios are solved for without a ridge."""


class DensityRatio(Weighting, Observes):
    """Inverse frequency, times how well a row stands for the features that its class has had so far.

    Formula:
        `w_i` proportional to `(r_i * n_y^(-prior_power))^gamma`, where for each class of the batch, with features `Phi`
        `[d, b]` and prototype `F` (an exponential moving average of its batch means),
        `r = b (Phi^T Phi + lambda I)^-1 Phi^T F`, `lambda = ridge * trace(Phi^T Phi) / b`, kept between `clamp` and `cap`

    Prototypes are learnt from every step, also while a `Deferred` around this weighting gives 1: wrap it for a warm-up, as
    the method `rdr` does. `r` is 1 for a class without a prototype. With several processes each solves and normalises over
    its own rows, like BatchNorm; prototypes are those of all rows.

    Args:
        class_counts: training rows a class `[C]`; a class never seen counts as one row.
        momentum: of the prototypes, in [0, 1).
        ridge: 0 or more, relative to the mean squared length of a class's features. 0 is the paper's exact solution, whose
            ratios are noise once a class has nearly as many rows in a batch as there are features (`IllConditionedWarning`).
        gamma: 0 or more; below 1 makes all weights milder, 0 makes them 1.
        clamp: smallest r, 0 or more.
        cap: largest r, above `clamp`; None for no limit.
        rescale: after clamping, divide r by its mean in the class, so that the ratio moves weight within a class only.
        normalise: "batch": mean 1 over the rows of the batch. "classes": the class part of the weight has mean 1 over classes
            (all of them, or with `batch_count` those in the batch), so that a batch of head rows weighs little.
        prior: "dataset_count": n is the class's training rows. "batch_count": its rows in the batch, so that every class in
            the batch weighs about the same, however many rows it has; this favours classes that are mostly absent less.
        prior_power: 0 or more: 1 with plain cross-entropy, 0 (r alone) on top of full logit adjustment; next to a shift of
            `(1 - prior_power) * log pi` in general. None: 1, or, in a combination such as `la+rdr`, what the others leave.
        store: where prototypes are kept, see `Prototypes`: "auto", "dense", "compact", or a folder for a file on disk.

    Raises:
        ArgumentError: an argument out of its range.
        CombinationError: the rows have no features, as the model has no linear layer for them to go into.

    Shapes:
        evidence with `target` `[N]` and `features` `[N, d]` to `[N]`.

    Reference:
        Luo, Hong, Yao, Han, Zhang, Wang, Revive re-weighting in imbalanced learning by density ratio estimation, NeurIPS 2024.

    Departures:
        Released code, from the paper: prototypes begin at the first batch mean, not at 0; r is clamped at 1e-9; weights are
        N / n_c times r and have mean 1 over the batch (`prior="batch_count"` is the paper's formula, where n cancels).
        Ours: the ridge. The released code inverts `Phi^T Phi` in float32, which is singular once a class has more rows in
        the batch than features, and seldom raises; after clamping, the largest class then gets the largest weights. With
        `ridge=0` we solve that case in float64 by the shortest solution. By least squares, r of a class with few rows in the
        batch is below 1 on average, as the mean of few rows is longer than the prototype; a ridge of 0.1 makes r of a single
        row smaller by another factor 1.1. `rescale` undoes both.
        `gamma` is in the paper only, `cap`, `rescale` and `normalise` are in neither. How the paper combines r with logit
        adjustment is not known: see the method `rdr_la`.

    Example:
        >>> weigh = DensityRatio([90, 10])
        >>> seen = Evidence(target=torch.tensor([0, 0, 1]), features=torch.tensor([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]]))
        >>> weigh(seen)  # no prototypes yet: inverse frequency
        tensor([0.2727, 0.2727, 2.4545])
        >>> weigh.observe(seen)
        >>> weigh(Evidence(target=torch.tensor([0, 0]), features=torch.tensor([[3.0, 1.0], [1.0, 1.0]])))
        tensor([0.6316, 1.3684])
    """

    class_counts: Tensor
    class_weights: Tensor

    def __init__(
        self,
        class_counts: CountsLike,
        momentum: float = 0.9,
        ridge: float = 0.1,
        gamma: float = 1.0,
        clamp: float = 1e-9,
        cap: float | None = None,
        rescale: bool = False,
        normalise: Normalise = "batch",
        prior: Prior = "dataset_count",
        prior_power: float | None = None,
        store: str = "auto",
    ) -> None:
        super().__init__()
        for argument, value in (("ridge", ridge), ("gamma", gamma), ("clamp", clamp), ("prior_power", prior_power)):
            if value is not None and not 0 <= value < math.inf:
                raise ArgumentError(argument, "a finite number, 0 or more", value)
        if cap is not None and not cap > clamp:
            raise ArgumentError("cap", f"above clamp = {clamp}, or None", cap)
        if normalise not in ("batch", "classes"):
            raise ArgumentError("normalise", "'batch' or 'classes'", repr(normalise))
        if prior not in ("dataset_count", "batch_count"):
            raise ArgumentError("prior", "'dataset_count' or 'batch_count'", repr(prior))
        counts = effective(class_counts)
        self.ridge, self.gamma, self.clamp, self.cap, self.rescale = float(ridge), float(gamma), float(clamp), cap, rescale
        self.normalise, self.prior, self.prior_power = normalise, prior, prior_power
        self.prototypes = Prototypes(len(counts), momentum, store)
        self.register_buffer("class_counts", counts.float(), persistent=False)
        self.register_buffer("class_weights", torch.ones(len(counts)))
        self._take(1.0 if prior_power is None else float(prior_power))

    def _take(self, power: float) -> None:
        """Correct this power of the prior: the table of n^(-power * gamma), mean 1 over classes."""
        self.power = power
        relative = self.class_counts.double() / self.class_counts.double().min()
        table = relative ** -(power * self.gamma)
        self.class_weights = (table / table.mean()).to(self.class_weights.dtype)

    def leave(self, corrected: float) -> None:
        """Where `prior_power` was left open, correct only what others in the same method do not.

        Args:
            corrected: the power of 1 / prior that a shift, a sampler or a decision corrects already.
        """
        if self.prior_power is None:
            self._take(max(0.0, 1.0 - corrected) / max(self.gamma, 1.0))

    @torch.no_grad()
    def forward(self, evidence: Evidence) -> Tensor:
        """Weights `[N]`."""
        features, target, share = _features(evidence), evidence.target, evidence.share
        if self.ridge == 0:
            _warn_where_singular(target, features.shape[1])
        prototypes, known = self.prototypes.of(target, features.shape[1])
        ratio = density_ratio(features, prototypes, target, ridge=self.ridge, share=share)
        ratio = torch.where(known & ratio.isfinite(), ratio, 1.0).clamp(self.clamp, self.cap)
        mass = torch.ones_like(ratio) if share is None else share.to(ratio.dtype)
        size = class_totals(mass, target).clamp_min(torch.finfo(ratio.dtype).tiny)
        if self.rescale:
            mean = class_totals(mass * ratio, target) / size
            ratio = ratio / mean.where(mean > 0, 1.0)
        weights: Tensor = ratio**self.gamma * self._of_class(target, mass, size).to(ratio.dtype)
        return over_batch(weights, share) if self.normalise == "batch" else weights

    def _of_class(self, target: Tensor, mass: Tensor, size: Tensor) -> Tensor:
        """The part of a row's weight that depends on its class only `[N]`, mean 1 over classes."""
        if self.prior == "dataset_count":
            return of_class(self.class_weights, target)
        own = size ** -(self.power * self.gamma)
        each = mass / size  # sums to 1 over the rows of a class
        return own * each.sum() / (own * each).sum()

    def observe(self, evidence: Evidence) -> None:
        """Move the prototypes."""
        self.prototypes.update(_features(evidence), evidence.target, evidence.share)

    def extra_repr(self) -> str:
        """Shown by print(weighting)."""
        return (
            f"classes={self.class_weights.shape[0]}, ridge={self.ridge}, gamma={self.gamma}, prior={self.prior}, "
            f"prior_power={self.power}, normalise={self.normalise}"
        )


def _features(evidence: Evidence) -> Tensor:
    features = seen(evidence.features)  # half precision, as under autocast, would also round the weights
    if features is None:
        raise CombinationError(
            "weighting 'density-ratio' looks at the features that go into the classifier, and these rows have none: end the "
            "model in an nn.Linear, or give Evidence(features=...)"
        )
    return features


def _warn_where_singular(target: Tensor, width: int) -> None:
    """Waits for the device."""
    most = int(torch.unique(target, return_counts=True)[1].max())
    if most >= NEAR * width:
        warnings.warn(
            f"a class has nearly as many rows in a batch as there are features ({width}), or more: without a ridge its density "
            "ratios are noise; set ridge above 0 or take smaller batches",
            IllConditionedWarning,
            stacklevel=3,
        )
