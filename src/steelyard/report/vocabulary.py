"""The metrics as a reader meets them: labels, direction, unit; and how numbers are written."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

MINUS = "\N{MINUS SIGN}"
DASH = "\N{EN DASH}"


@dataclass(frozen=True)
class Metric:
    """One metric of the leaderboard.

    Attributes:
        name: its key in the store.
        label: its heading.
        meaning: one line for a tooltip.
        higher_is_better: its direction.
        percent: shown as 100 times the value, differences in points.
        digits: decimals shown.
        core: shown by default; the others after asking.
    """

    name: str
    label: str
    meaning: str
    higher_is_better: bool = True
    percent: bool = True
    digits: int = 1
    core: bool = True

    def text(self, value: float | None) -> str:
        """The value as it is printed; a dash where there is none.

        Example:
            >>> METRICS["accuracy"].text(0.7123), METRICS["brier"].text(0.2)
            ('71.2', '0.200')
        """
        return DASH if value is None else f"{self.scaled(value):.{self.digits}f}".replace("-", MINUS)

    def signed(self, value: float | None) -> str:
        """A difference, always with its sign."""
        return DASH if value is None else f"{self.scaled(value):+.{self.digits}f}".replace("-", MINUS)

    def scaled(self, value: float) -> float:
        """The value in the unit that is printed."""
        return 100 * value if self.percent else value

    @property
    def unit(self) -> str:
        """What follows the number in a sentence."""
        return " %" if self.percent else ""

    def better(self, first: float, second: float) -> bool:
        """Whether `first` is better than `second`."""
        return first > second if self.higher_is_better else first < second


def _metrics() -> dict[str, Metric]:
    every = (
        Metric("balanced_accuracy", "Balanced acc.", "mean recall over classes, each class counting the same"),
        Metric("many_recall", "Many", "mean recall over the classes with many training rows"),
        Metric("medium_recall", "Medium", "mean recall over the classes of medium size"),
        Metric("few_recall", "Few", "mean recall over the classes with few training rows"),
        Metric("worst_recall", "Worst class", "the lowest recall of any class"),
        Metric("accuracy", "Accuracy", "share of test rows that are right"),
        Metric("macro_f1", "Macro F1", "mean F1 over classes"),
        Metric("auroc", "AUROC", "area under the ROC curve (mean of one-vs-rest for several classes)", core=False),
        Metric("auprc", "AUPRC", "average precision (mean of one-vs-rest for several classes)"),
        Metric("ece", "ECE", "expected calibration error, lower is better", higher_is_better=False),
        Metric("g_mean", "G-mean", "geometric mean of the class recalls", core=False),
        Metric("mcc", "MCC", "Matthews correlation coefficient, -1 to 1", percent=False, digits=3, core=False),
        Metric(
            "classwise_ece", "Class-wise ECE", "calibration error averaged over classes", higher_is_better=False, core=False
        ),
        Metric("brier", "Brier", "mean squared error of the probabilities", False, percent=False, digits=3, core=False),
        Metric("log_loss", "Log loss", "mean negative log-likelihood of the true class", False, False, 3, core=False),
        Metric("zero_recall_classes", "Lost classes", "classes of which no test row is right", False, False, 1, core=False),
    )
    return {metric.name: metric for metric in every}


METRICS = _metrics()
OF_DECISIONS = {
    "f1": Metric("f1", "F1", "F1 of the rarer class; of more than two classes their mean"),
    "expected_cost": Metric("expected_cost", "Expected cost", "mean cost of a decision, lower is better", False, False, 3),
}
"""Metrics of one model's decisions, which no comparison has."""


def metric_of(name: str) -> Metric:
    """The metric of a name; one that is not known is shown as it is, in its own unit.

    Example:
        >>> metric_of("few_recall").label, metric_of("lift_at_5").label
        ('Few', 'lift at 5')
    """
    known = METRICS.get(name) or OF_DECISIONS.get(name)
    return known or Metric(name, name.replace("_", " "), name, percent=False, digits=3)


def in_words(metric: Metric) -> str:
    """The metric's name inside a sentence."""
    long = {"balanced_accuracy": "balanced accuracy", "many_recall": "recall of the Many group", "accuracy": "accuracy"}
    long |= {"medium_recall": "recall of the Medium group", "few_recall": "recall of the Few group"}
    long |= {"macro_f1": "macro F1", "worst_recall": "recall of the worst class", "expected_cost": "expected cost"}
    return long.get(metric.name, metric.label)


def number(value: Any) -> float | None:
    """A finite float, or None for whatever is missing, not a number, NaN or infinite.

    Example:
        >>> number(0.5), number(float("nan")), number(None), number("x")
        (0.5, None, None, None)
    """
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if math.isfinite(value) else None


def p_text(p: float | None) -> str:
    """A p value.

    Example:
        >>> p_text(0.0312), p_text(0.0004), p_text(None)
        ('p = .031', 'p < .001', '')
    """
    if p is None:
        return ""
    return "p < .001" if p < 0.001 else "p = " + (f"{p:.3f}".removeprefix("0") if p < 0.9995 else "1.00")


def ratio_text(ratio: float | None) -> str:
    """A cost ratio, e.g. `1.04 x` with a multiplication sign."""
    return DASH if ratio is None else f"{ratio:.2f}\N{MULTIPLICATION SIGN}"


def listed(names: list[str], most: int = 4) -> str:
    """Names in a sentence, the rest counted.

    Example:
        >>> listed(["a", "b", "c"]), listed(["a", "b", "c"], most=2)
        ('a, b and c', 'a, b and 1 more')
    """
    shown = names if len(names) <= most else [*names[:most], f"{len(names) - most} more"]
    return shown[0] if len(shown) == 1 else ", ".join(shown[:-1]) + " and " + shown[-1] if shown else ""
