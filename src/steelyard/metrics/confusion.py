"""Metrics of decisions: everything that follows from a confusion matrix, for one matrix or for thousands of resampled ones.

One rule for classes without rows in the split: they are left out of every average over classes. (scikit-learn and
torchmetrics have several rules and differ between functions; see the table in the documentation.)
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from steelyard.metrics.arrays import Floats, Ints, as_decisions

Members = Mapping[str, Sequence[int]]
GROUPS = ("many", "medium", "few")


@dataclass(frozen=True)
class Tally:
    """What the metrics need of a confusion matrix; leading dimensions `...` are resamples.

    Attributes:
        right: rows of each class that were decided rightly `[..., C]`.
        said: rows that were decided to be of each class `[..., C]`.
        truth: rows of each class `[C]`.
    """

    right: Ints
    said: Ints
    truth: Ints

    @property
    def present(self) -> np.ndarray[Any, np.dtype[np.bool_]]:
        """Classes with rows `[C]`."""
        return self.truth > 0


def tally(confusion: Ints) -> Tally:
    """The tally of a confusion matrix `[C, C]` with rows = truth."""
    return Tally(np.diagonal(confusion), confusion.sum(0), confusion.sum(1))


def recalls(t: Tally) -> Floats:
    """Recall of each class `[..., C]`; NaN without rows."""
    result: Floats = np.where(t.present, t.right / np.maximum(t.truth, 1), np.nan)
    return result


def precisions(t: Tally) -> Floats:
    """Precision of each class `[..., C]`; 0 for a class that was never decided, NaN for a class without rows."""
    result: Floats = np.where(t.present, t.right / np.maximum(t.said, 1), np.nan)
    return result


def f1s(t: Tally) -> Floats:
    """F1 of each class `[..., C]`, 2 right / (truth + said); NaN without rows."""
    result: Floats = np.where(t.present, 2 * t.right / np.maximum(t.truth + t.said, 1), np.nan)
    return result


def _accuracy(t: Tally) -> Floats:
    return np.asarray(t.right.sum(-1) / t.truth.sum())


def _balanced_accuracy(t: Tally) -> Floats:
    return np.asarray(recalls(t)[..., t.present].mean(-1))


def _macro_f1(t: Tally) -> Floats:
    return np.asarray(f1s(t)[..., t.present].mean(-1))


def _g_mean(t: Tally) -> Floats:
    with np.errstate(divide="ignore"):
        return np.asarray(np.exp(np.log(recalls(t)[..., t.present]).mean(-1)))


def _mcc(t: Tally) -> Floats:
    rows = float(t.truth.sum())
    said, truth = t.said.astype(np.float64), t.truth.astype(np.float64)
    above = rows * t.right.sum(-1) - (said * truth).sum(-1)
    below = np.sqrt((rows**2 - (said**2).sum(-1)) * (rows**2 - (truth**2).sum()))
    return np.asarray(np.divide(above, below, out=np.zeros_like(below), where=below > 0))


def _worst_recall(t: Tally) -> Floats:
    return np.asarray(recalls(t)[..., t.present].min(-1))


def _zero_recall_classes(t: Tally) -> Floats:
    return np.asarray((t.right[..., t.present] == 0).sum(-1), dtype=np.float64)


CONFUSION_METRICS: Mapping[str, Callable[[Tally], Floats]] = {
    "accuracy": _accuracy,
    "balanced_accuracy": _balanced_accuracy,
    "macro_f1": _macro_f1,
    "g_mean": _g_mean,
    "mcc": _mcc,
    "worst_recall": _worst_recall,
    "zero_recall_classes": _zero_recall_classes,
}
GROUP_METRICS = tuple(f"{group}_recall" for group in GROUPS)


def group_recall(t: Tally, members: Sequence[int]) -> Floats:
    """Mean recall over the classes of a group that have rows `[...]`; NaN where there is none (never 0)."""
    chosen = np.asarray([c for c in members if t.truth[c] > 0], dtype=np.int64)
    if chosen.size == 0:
        return np.full(t.right.shape[:-1], np.nan)
    return np.asarray(recalls(t)[..., chosen].mean(-1))


def confusion_metric(name: str, t: Tally, members: Members) -> Floats:
    """A metric by its name, for every resample `[...]`."""
    if name in CONFUSION_METRICS:
        return CONFUSION_METRICS[name](t)
    return group_recall(t, members.get(name.removesuffix("_recall"), ()))


def confusion_matrix(prediction: Any, target: Any, num_classes: int | None = None) -> Ints:
    """Rows of true class i that were decided to be of class j.

    Args:
        prediction: decided classes `[N]`, or scores `[N, C]` whose argmax decides.
        target: true classes `[N]`.
        num_classes: C; for decisions the largest index found decides it unless given.

    Returns:
        int64 `[C, C]`, rows = truth.

    Example:
        >>> confusion_matrix([0, 1, 1], [0, 1, 0])
        array([[1, 1],
               [0, 1]])
    """
    decided, truth, width = as_decisions(prediction, target, num_classes)
    result: Ints = np.bincount(truth * width + decided, minlength=width * width).reshape(width, width).astype(np.int64)
    return result


def accuracy(prediction: Any, target: Any) -> float:
    """Share of rows that were decided rightly.

    Args:
        prediction: decided classes `[N]`, or scores `[N, C]` whose argmax decides.
        target: true classes `[N]`.

    Example:
        >>> accuracy([0, 1, 1, 1], [0, 1, 0, 1])
        0.75
    """
    return float(_accuracy(tally(confusion_matrix(prediction, target))))


def balanced_accuracy(prediction: Any, target: Any) -> float:
    """Mean of the recalls of the classes with rows.

    Args:
        prediction: decided classes `[N]`, or scores `[N, C]` whose argmax decides.
        target: true classes `[N]`.

    Example:
        >>> balanced_accuracy([0, 0, 0, 0], [0, 0, 0, 1])
        0.5
    """
    return float(_balanced_accuracy(tally(confusion_matrix(prediction, target))))


def macro_f1(prediction: Any, target: Any) -> float:
    """Mean of the F1s of the classes with rows (not the F1 of the mean precision and the mean recall).

    Args:
        prediction: decided classes `[N]`, or scores `[N, C]` whose argmax decides.
        target: true classes `[N]`.

    Example:
        >>> round(macro_f1([0, 0, 0, 0], [0, 0, 0, 1]), 4)
        0.4286
    """
    return float(_macro_f1(tally(confusion_matrix(prediction, target))))


def g_mean(prediction: Any, target: Any) -> float:
    """Geometric mean of the recalls of the classes with rows; 0 as soon as one recall is 0 (see `zero_recall_classes`).

    Args:
        prediction: decided classes `[N]`, or scores `[N, C]` whose argmax decides.
        target: true classes `[N]`.

    Example:
        >>> round(g_mean([0, 0, 0, 1, 0, 1], [0, 0, 0, 0, 1, 1]), 4)
        0.6124
    """
    return float(_g_mean(tally(confusion_matrix(prediction, target))))


def mcc(prediction: Any, target: Any) -> float:
    """Matthews correlation of decided and true class, of any number of classes (Gorodkin, 2004); 0 where undefined.

        (N tr C - sum_c t_c q_c) / sqrt((N^2 - sum q_c^2)(N^2 - sum t_c^2)),   t row sums, q column sums

    Args:
        prediction: decided classes `[N]`, or scores `[N, C]` whose argmax decides.
        target: true classes `[N]`.

    Example:
        >>> mcc([0, 1, 0, 1], [0, 1, 0, 1]), mcc([0, 0, 0, 0], [0, 1, 0, 1])
        (1.0, 0.0)
    """
    return float(_mcc(tally(confusion_matrix(prediction, target))))


def worst_recall(prediction: Any, target: Any) -> float:
    """Smallest recall of the classes with rows; biased down by chance, see `worst_recall_null`.

    Args:
        prediction: decided classes `[N]`, or scores `[N, C]` whose argmax decides.
        target: true classes `[N]`.

    Example:
        >>> worst_recall([0, 0, 0, 1], [0, 0, 1, 1])
        0.5
    """
    return float(_worst_recall(tally(confusion_matrix(prediction, target))))


def zero_recall_classes(prediction: Any, target: Any) -> int:
    """How many of the classes with rows have recall 0.

    Args:
        prediction: decided classes `[N]`, or scores `[N, C]` whose argmax decides.
        target: true classes `[N]`.

    Example:
        >>> zero_recall_classes([0, 0, 0, 0], [0, 0, 1, 2])
        2
    """
    return int(_zero_recall_classes(tally(confusion_matrix(prediction, target))))
