"""Rows blended with other rows, the rarer class getting more of the label."""

from __future__ import annotations

from steelyard.core.stage import Stage, Stages
from steelyard.core.task import TaskView
from steelyard.transforms import Remix
from steelyard.transforms.remix import Rule

SEARCH = {"alpha": "log(0.1..2)", "rule": "remix|mamix", "ratio": "1.5..10", "threshold": "0..1", "power": "-1..0"}


def remix(
    task: TaskView,
    *,
    alpha: float = 1.0,
    rule: Rule = "remix",
    ratio: float = 3.0,
    threshold: float = 0.5,
    power: float = -0.25,
) -> Stages:
    """Train on blends of two rows; the rarer class may take the whole label (Remix) or a larger part of it (MAMix).

    Formula:
        `x = lam * x_i + (1 - lam) * x_j`, `L = m * CE(z, y_i) + (1 - m) * CE(z, y_j)`. remix: `m = 0` where `n_i >= k n_j` and
        `lam < t`, 1 where `n_j >= k n_i` and `1 - lam < t`, else `lam`. mamix: `m` is one half where `1 - lam` is
        `n_i ** r / (n_i ** r + n_j ** r)`, and linear on either side.

    Args:
        task: its class counts are used.
        alpha: 0 or more; 0 leaves rows as they are, 1 draws `lam` uniformly.
        rule: "remix" or "mamix".
        ratio: k of remix, above 1.
        threshold: t of remix, in [0, 1]; 0 is `mixup`.
        power: r of mamix; 0 is `mixup`.

    Reference:
        Chou, Chang, Pan, Wei, Juan: Remix: rebalanced mixup, ECCV 2020 workshops; MAMix: Cheng, Mai, Lin: From SMOTE to mixup
        for deep imbalanced classification, TAAI 2023.

    Departures:
        none but for blends exactly at the margin of mamix, at which the released code fails.

    Example:
        >>> from steelyard.settings import describe_method
        >>> describe_method("remix").words
        {'transform': 'remix'}
    """
    yield Stage(transform=Remix(task.counts, alpha, rule=rule, ratio=ratio, threshold=threshold, power=power))
