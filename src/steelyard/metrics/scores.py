"""Every number that a comparison shows about one model on one split, in one call."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from steelyard.core.errors import ArgumentError
from steelyard.metrics.arrays import Ints, as_array, as_pair
from steelyard.metrics.calibration import CALIBRATION_METRICS, brier, classwise_ece, ece, log_loss, reliability
from steelyard.metrics.confusion import (
    CONFUSION_METRICS,
    GROUP_METRICS,
    GROUPS,
    confusion_matrix,
    confusion_metric,
    f1s,
    precisions,
    recalls,
    tally,
)
from steelyard.metrics.groups import GroupsLike, members_of, rule_of
from steelyard.metrics.proportion import wilson, worst_recall_null
from steelyard.metrics.ranking import RANKING_METRICS, auprc, auroc, positive_class

METRICS = (
    "accuracy",
    "balanced_accuracy",
    "macro_f1",
    "g_mean",
    "mcc",
    "worst_recall",
    *GROUP_METRICS,
    *RANKING_METRICS,
    *CALIBRATION_METRICS,
    "zero_recall_classes",
)
"""All names, in the order in which tables show them."""

LOWER_IS_BETTER = frozenset({*CALIBRATION_METRICS, "zero_recall_classes"})
"""Of the rest, higher is better."""

BOUNDS = {"mcc": (-1.0, 1.0), "brier": (0.0, 2.0), "log_loss": (0.0, float("inf")), "zero_recall_classes": (0.0, float("inf"))}
"""Smallest and largest value that a metric can take; 0 and 1 where it is not named here."""


def clipped(metric: str, low: float, high: float, *, difference: bool = False) -> tuple[float, float]:
    """The limits of an interval, cut at what the metric, or a difference of two of its values, can be.

    For display only. A t interval over few seeds reaches past the bounds; its width stays what the seeds say.

    Example:
        >>> clipped("accuracy", 0.62, 1.08), clipped("mcc", -0.2, 0.5), clipped("log_loss", -0.1, 3.0)
        ((0.62, 1.0), (-0.2, 0.5), (0.0, 3.0))
        >>> clipped("accuracy", -0.4, 1.2, difference=True)
        (-0.4, 1.0)
    """
    least, most = BOUNDS.get(metric, (0.0, 1.0)) if metric in METRICS else (-float("inf"), float("inf"))
    if difference:
        least, most = least - most, most - least
    return max(low, least), min(high, most)


@dataclass(frozen=True)
class Scores:
    """What one model did on one split.

    Attributes:
        values: metric by name, all of `METRICS`; NaN where undefined.
        per_class: `recall`, `precision`, `f1`, `recall_low` and `recall_high` (Wilson, 95 %) and `support`, each `[C]`;
            NaN for a class without rows.
        confusion: rows of true class i decided to be class j, int64 `[C, C]`.
        reliability: `bin_low`, `bin_high`, `count`, `confidence`, `accuracy`, a value a bin.
        absent: classes without rows in the split.
        notes: what a reader must know to read the values rightly, a sentence each.
    """

    values: dict[str, float]
    per_class: dict[str, list[float]]
    confusion: Ints
    reliability: dict[str, list[float]]
    absent: tuple[int, ...]
    notes: list[str]

    def record(self) -> dict[str, Any]:
        """The scores as plain lists and numbers, by the names they have in a result file."""
        return {
            "metrics": dict(self.values),
            "per_class": {name: list(column) for name, column in self.per_class.items()},
            "confusion": self.confusion.tolist(),
            "reliability": {name: list(column) for name, column in self.reliability.items()},
            "notes": list(self.notes),
        }


def evaluate(proba: Any, target: Any, class_counts: Any = None, groups: GroupsLike | None = None, bins: int = 15) -> Scores:
    """Every metric of a model's probabilities on a split.

    Classes without rows in the split are left out of every average over classes and named in `notes`.

    Args:
        proba: probabilities `[N, C]`, array or tensor; the largest decides (the first of equals).
        target: true classes `[N]`, 0 to C-1.
        class_counts: training rows per class `[C]`: of two classes the smaller is the positive one; class 1 without.
        groups: from `steelyard.core.counts.group_classes`, or a mapping with "many", "medium", "few" and "rule"; without,
            the recalls of the groups are NaN.
        bins: equal-width bins of the calibration errors and of the reliability diagram, at least 1.

    Returns:
        A `Scores`.

    Raises:
        ArgumentError: not probabilities, not classes, or shapes that do not fit.

    Example:
        >>> scores = evaluate([[0.8, 0.2], [0.7, 0.3], [0.4, 0.6], [0.9, 0.1]], [0, 0, 1, 1], class_counts=[90, 10])
        >>> scores.values["balanced_accuracy"], scores.per_class["recall"], scores.absent
        (0.75, [1.0, 0.5], ())
    """
    values, truth = as_pair(proba, target)
    classes = values.shape[1]
    _check_counts(class_counts, classes)
    members = members_of(groups)
    _check_members(members, classes)
    confusion = confusion_matrix(values, truth)
    counted = tally(confusion)
    found = {name: float(confusion_metric(name, counted, members)) for name in (*CONFUSION_METRICS, *GROUP_METRICS)}
    found |= {"auroc": auroc(values, truth, class_counts), "auprc": auprc(values, truth, class_counts)}
    found |= {"ece": ece(values, truth, bins), "classwise_ece": classwise_ece(values, truth, bins)}
    found |= {"brier": brier(values, truth), "log_loss": log_loss(values, truth)}
    low, high = wilson(counted.right, counted.truth)
    per_class = {"recall": recalls(counted), "precision": precisions(counted), "f1": f1s(counted)}
    per_class |= {"recall_low": low, "recall_high": high, "support": counted.truth.astype(np.float64)}
    return Scores(
        values={name: found[name] for name in METRICS},
        per_class={name: column.tolist() for name, column in per_class.items()},
        confusion=confusion,
        reliability=reliability(values, truth, bins),
        absent=tuple(np.flatnonzero(counted.truth == 0).tolist()),
        notes=_notes(found, counted.truth, class_counts, groups),
    )


def _check_counts(class_counts: Any, classes: int) -> None:
    if class_counts is not None and as_array(class_counts).shape != (classes,):
        found = f"shape {as_array(class_counts).shape}"
        raise ArgumentError("class_counts", f"training rows of each of the {classes} classes of `proba`", found)


def _check_members(members: Any, classes: int) -> None:
    strangers = [c for name in GROUPS for c in members[name] if not 0 <= c < classes]
    if strangers:
        raise ArgumentError("groups", f"classes from 0 to {classes - 1}", strangers[:8])


def _notes(values: dict[str, float], support: Ints, class_counts: Any, groups: GroupsLike | None) -> list[str]:
    classes, notes = support.size, []
    absent = np.flatnonzero(support == 0).tolist()
    if absent:
        verb = "is" if len(absent) == 1 else "are"
        notes.append(f"{_listed(absent)} no rows in this split and {verb} left out of averages over classes")
    if classes == 2:
        c = positive_class(class_counts)
        why = "the class with fewer training rows" if class_counts is not None else "as no class counts were given"
        if class_counts is not None and len(set(as_array(class_counts).tolist())) == 1:
            why = "as both classes have the same number of training rows"
        share = support[c] / support.sum()
        notes.append(f"AUROC and AUPRC take class {c} as positive, {why}; a constant score would get an AUPRC of {share:.3g}")
    else:
        share = 1 / int((support > 0).sum())
        notes.append(
            "AUROC and AUPRC are means over classes of one class against the rest; "
            f"a constant score would get an AUPRC of {share:.3g}"
        )
    if groups is None:
        notes.append("many / medium / few recall is undefined without `groups`, such as group_classes(class_counts) makes")
    else:
        notes.append(f"many / medium / few: {rule_of(groups)}")
        empty = [name for name in GROUPS if np.isnan(values[f"{name}_recall"])]
        if empty:
            notes.append(f"no rows in this split for {' and '.join(empty)}: recall is undefined there, not 0")
    if values["zero_recall_classes"]:
        n = int(values["zero_recall_classes"])
        notes.append(f"G-mean and worst-class recall are 0 because {n} {'class has' if n == 1 else 'classes have'} recall 0")
    elif int((support > 0).sum()) > 2:
        common = values["balanced_accuracy"]
        null = worst_recall_null(common, support)
        notes.append(
            f"worst-class recall is a minimum and so biased down: were the true recall of every class {common:.3f}, "
            f"it would average {null:.3f} on a split of this size"
        )
    return notes


def _listed(classes: Sequence[int], most: int = 12) -> str:
    shown = ", ".join(map(str, classes[:most])) + (f" and {len(classes) - most} more" if len(classes) > most else "")
    return f"class {shown} has" if len(classes) == 1 else f"classes {shown} have"
