"""What a taxonomy says: numbers with their intervals, ready for a page or a JSON file."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from steelyard.diagnosis.finite_sample import Equivalents, LostRecall
from steelyard.diagnosis.regimes import Regime
from steelyard.metrics.arrays import Floats

Interval = tuple[float, float]

DeltaKind = Literal["mahalanobis", "achievable"]

MATRIX = 50
"""`to_json` holds the matrix of pairs up to this many classes."""


@dataclass(frozen=True)
class Predicted:
    """What a rule is expected to do on new rows with the same ratio of classes.

    Args:
        minority_recall: share of minority rows that are found.
        majority_recall: share of majority rows that are left alone.
        minority_interval: of the recall, from the interval of the separability alone.
        majority_interval: the same for the majority.
        eta: majority rows to one minority row, for the precision.
    """

    minority_recall: float
    majority_recall: float
    minority_interval: Interval
    majority_interval: Interval
    eta: float

    @property
    def precision(self) -> float:
        """Share of decisions for the minority that are right; NaN where there are none."""
        decided = self.minority_recall + self.eta * (1 - self.majority_recall)
        return self.minority_recall / decided if decided > 0 else float("nan")

    @property
    def f1(self) -> float:
        """Harmonic mean of precision and minority recall."""
        return 2 * self.minority_recall / (1 + self.minority_recall + self.eta * (1 - self.majority_recall))

    @property
    def balanced_accuracy(self) -> float:
        """Mean of the two recalls."""
        return (self.minority_recall + self.majority_recall) / 2


@dataclass(frozen=True)
class Pair:
    """Two classes: the scales of their imbalance and what it costs the smaller one.

    Args:
        minority: label of the class with fewer rows.
        majority: label of the other.
        rows: rows of the minority and of the majority.
        eta: majority rows to one minority row.
        eta_interval: if the counts are a sample.
        delta: separability; of the kind `delta_kind`, 0 where the estimate is negative.
        delta_interval: holds at the level asked for; the upper limit is infinite where nothing overlaps.
        delta_kind: "mahalanobis", the distance of the class means; or "achievable", what shrinkage LDA reaches with so many
            rows, where there are too few rows to know the distance.
        delta_method: "noncentral-f", "jackknife" or "held-out scores".
        delta_eff: separability that discriminant analysis reaches with these rows.
        population: of the Bayes rule with this `eta` and `delta`.
        finite_sample: of LDA as it comes, means and covariance estimated from these rows.
        bias_corrected: the same with the intercept corrected for unequal counts.
        adjusted: corrected, and with the classes taken as equally frequent: what logit adjustment is after.
        lost: where the minority's recall went.
        regime: by the `finite_sample` recall; thresholds in `steelyard.diagnosis.regimes`.
        abstract_ratio: log(eta) / (delta sqrt(kappa)), of the abstract of arXiv:2601.04149; a label, nothing is decided by it.
        abstract_collapse: whether that ratio is above 1.
        equivalents: what the finite-sample predictions follow from; `equivalents.recalls(n0, n1)` for other numbers of rows.
    """

    minority: Any
    majority: Any
    rows: tuple[int, int]
    eta: float
    eta_interval: Interval
    delta: float
    delta_interval: Interval
    delta_kind: DeltaKind
    delta_method: str
    delta_eff: float
    population: Predicted
    finite_sample: Predicted
    bias_corrected: Predicted
    adjusted: Predicted
    lost: LostRecall
    regime: Regime
    abstract_ratio: float
    abstract_collapse: bool
    equivalents: Equivalents


@dataclass(frozen=True)
class ClassFindings:
    """One class among all.

    Args:
        label: of the class.
        count: its rows.
        eta: rows of the largest class to one of its rows.
        eta_rest: rows of all other classes to one of its rows.
        confuser: the class that takes most of its rows.
        recall: predicted for LDA with these rows.
        recall_bounds: between which the prediction for jointly normal scores has to lie; equal for two classes.
        recall_population: lower bound, prediction and upper bound for the Bayes rule.
        recall_adjusted: predicted once all classes are taken as equally frequent and the count bias is corrected.
        recall_held_out: of LDA on rows held out; NaN for a class with one row.
        delta_rest: separability of the class from the rest, from held-out scores; the rest is a mixture, so this is a label
            for an area under a ROC curve and no distance.
        delta_rest_interval: from DeLong's.
        regime: by `recall`.
    """

    label: Any
    count: int
    eta: float
    eta_rest: float
    confuser: Any
    recall: float
    recall_bounds: Interval
    recall_population: tuple[float, float, float]
    recall_adjusted: float
    recall_held_out: float
    delta_rest: float
    delta_rest_interval: Interval
    regime: Regime


@dataclass(frozen=True)
class Taxonomy:
    """What kind of imbalance data have.

    For two classes `pairs` has one entry; for more, one for each class with the class that takes most of its rows, and
    `delta`, `regime` and the predictions are those of the class with the lowest predicted recall.

    Args:
        n: rows.
        columns: columns that were given.
        d: features that count (distinct columns that vary, less those that others determine linearly).
        labels: of the classes, sorted.
        counts: rows of each class.
        eta: rows of the largest class to one of the smallest.
        eta_interval: if the counts are a sample.
        kappa: n / d.
        kappas: "n/d", "n/d_eff", "n_min/d", "n_min/d_eff", where d_eff is the participation ratio.
        gini: of the counts, 0 when balanced.
        entropy: of the shares of the classes over that of equal shares, 1 when balanced.
        dimensions: intrinsic dimensions by name.
        shrunk: whether the covariance was shrunk, that is n - K < 3 d.
        shrinkage: its intensity, from 0 to 1; 0 without.
        worst: index of the class with the lowest predicted recall.
        pairs: see above.
        classes: one for each class.
        deltas: separabilities of all pairs of classes `[K, K]`.
        notes: sentences about what was left out or does not fit.
    """

    n: int
    columns: int
    d: int
    labels: tuple[Any, ...]
    counts: tuple[int, ...]
    eta: float
    eta_interval: Interval
    kappa: float
    kappas: dict[str, float]
    gini: float
    entropy: float
    dimensions: dict[str, float]
    shrunk: bool
    shrinkage: float
    worst: int
    pairs: tuple[Pair, ...]
    classes: tuple[ClassFindings, ...]
    deltas: Floats = field(repr=False)
    notes: tuple[str, ...]

    @property
    def pair(self) -> Pair:
        """The pair that `delta`, `regime` and the predictions are of."""
        return self.pairs[self.worst if len(self.pairs) > 1 else 0]

    @property
    def delta(self) -> float:
        """Separability of that pair."""
        return self.pair.delta

    @property
    def intervals(self) -> dict[str, Interval]:
        """Intervals of `eta`, `delta` and the predicted recalls of that pair."""
        pair = self.pair
        return {
            "eta": self.eta_interval,
            "delta": pair.delta_interval,
            "minority_recall": pair.finite_sample.minority_interval,
            "majority_recall": pair.finite_sample.majority_interval,
        }

    @property
    def regime(self) -> Regime:
        """Normal, Mild, Extreme or Catastrophic: of the class with the lowest predicted recall."""
        return self.classes[self.worst].regime

    @property
    def predicted(self) -> dict[str, Predicted]:
        """Predictions of that pair by name."""
        pair = self.pair
        names = ("population", "finite_sample", "bias_corrected", "adjusted")
        return {name: getattr(pair, name) for name in names}

    def to_dict(self) -> dict[str, Any]:
        """Plain values: dicts, lists, numbers and text; None stands for NaN and for infinity."""
        small = len(self.labels) <= MATRIX
        values: dict[str, Any] = _plain({**_fields(self), "deltas": self.deltas if small else None})
        extra = {"delta": self.delta, "regime": self.regime, "intervals": self.intervals}
        values.update(_plain({**extra, "predicted": self.predicted}))
        return values

    def to_json(self, indent: int | None = 2) -> str:
        """`to_dict` as JSON.

        Args:
            indent: spaces a level; None for one line.
        """
        return json.dumps(self.to_dict(), indent=indent, allow_nan=False, ensure_ascii=False)


def _fields(value: Any) -> dict[str, Any]:
    return {one.name: getattr(value, one.name) for one in dataclasses.fields(value)}


def _plain(value: Any) -> Any:
    """Values as JSON knows them."""
    if isinstance(value, Predicted):
        extra = {name: getattr(value, name) for name in ("precision", "f1", "balanced_accuracy")}
        return _plain({**_fields(value), **extra})
    if dataclasses.is_dataclass(value):
        return _plain(_fields(value))
    if isinstance(value, dict):
        return {str(key): _plain(one) for key, one in value.items()}
    if isinstance(value, np.ndarray | np.generic):
        return _plain(value.tolist())
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    if isinstance(value, float):
        return value if np.isfinite(value) else None
    return value if value is None or isinstance(value, bool | int | str) else str(value)
