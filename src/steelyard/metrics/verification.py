"""Are two pictures of one identity? Metrics of pairs: accuracy, true-accept rates at false-accept rates, equal error rate."""

from __future__ import annotations

from typing import Any

import numpy as np

from steelyard.core.errors import ArgumentError
from steelyard.metrics.arrays import Floats, as_array


def as_pairs(scores: Any, same: Any) -> tuple[Floats, np.ndarray]:
    """Scores `[P]` float64, the higher the more alike, and whether the two of each pair are of one identity, bool `[P]`.

    Raises:
        ArgumentError: shapes that do not fit, scores that are not finite, or pairs of one kind only.
    """
    values, truth = as_array(scores), as_array(same)
    if values.ndim != 1 or values.shape != truth.shape:
        raise ArgumentError("scores", "one for each pair [P], as `same`", f"shapes {values.shape} and {truth.shape}")
    values, flags = values.astype(np.float64), truth.astype(bool)
    if not np.isfinite(values).all():
        raise ArgumentError("scores", "finite", f"{int((~np.isfinite(values)).sum())} that are not")
    if not flags.any() or flags.all():
        raise ArgumentError("same", "pairs of one identity and pairs of two", f"no pairs of {'two' if flags.any() else 'one'}")
    return values, flags


def tar_at_far(scores: Any, same: Any, far: float) -> float:
    """True-accept rate at a false-accept rate: the share of genuine pairs above the threshold that lets so few others pass.

    Args:
        scores: of the pairs `[P]`.
        same: whether a pair is genuine `[P]`.
        far: share of the impostor pairs that may be accepted at most, from 0 to 1.

    Example:
        >>> tar_at_far([0.9, 0.8, 0.3, 0.7, 0.2, 0.1], [1, 1, 1, 0, 0, 0], 0.0)
        0.6666666666666666
    """
    values, flags = as_pairs(scores, same)
    return float((values[flags] > threshold_at_far(values, flags, far)).mean())


def threshold_at_far(scores: Any, same: Any, far: float) -> float:
    """The score that a pair has to exceed so that at most a share `far` of the impostor pairs is accepted.

    Example:
        >>> threshold_at_far([0.9, 0.8, 0.3, 0.7, 0.2, 0.1], [1, 1, 1, 0, 0, 0], 0.4)
        0.2
    """
    values, flags = as_pairs(scores, same)
    if not 0 <= far <= 1:
        raise ArgumentError("far", "a share from 0 to 1", far)
    impostors = np.sort(values[~flags])[::-1]
    passing = int(np.floor(far * len(impostors) * (1 + 1e-12)))
    return -np.inf if passing >= len(impostors) else float(impostors[passing])


def equal_error_rate(scores: Any, same: Any) -> float:
    """The error where as large a share of impostors is accepted as of genuine pairs is rejected, between thresholds by a line.

    Example:
        >>> equal_error_rate([0.9, 0.8, 0.3, 0.7, 0.2, 0.1], [1, 1, 1, 0, 0, 0])
        0.3333333333333333
    """
    values, flags = as_pairs(scores, same)
    order = np.argsort(-values, kind="stable")
    ends = np.append(np.flatnonzero(np.diff(values[order])), len(order) - 1)
    accepted = np.append(0, np.cumsum(~flags[order])[ends] / (~flags).sum())
    rejected = np.append(1, 1 - np.cumsum(flags[order])[ends] / flags.sum())
    gap = accepted - rejected  # rises from -1 to 1
    after = int(np.argmax(gap >= 0))
    before = after - 1
    share = -gap[before] / (gap[after] - gap[before])
    return float(accepted[before] + share * (accepted[after] - accepted[before]))


def verification_accuracy(scores: Any, same: Any, folds: Any) -> float:
    """Mean accuracy over folds, each decided by the threshold that is best for the others: the protocol of LFW.

    Args:
        scores: of the pairs `[P]`.
        same: whether a pair is genuine `[P]`.
        folds: fold of each pair `[P]`, two or more.

    Reference:
        Huang, Ramesh, Berg, Learned-Miller: Labeled faces in the wild, University of Massachusetts TR 07-49, 2007.

    Example:
        >>> verification_accuracy([0.9, 0.1, 0.8, 0.2, 0.7, 0.75], [1, 0, 1, 0, 1, 0], [0, 0, 1, 1, 2, 2])
        0.6666666666666666
    """
    values, flags = as_pairs(scores, same)
    fold = as_array(folds)
    if fold.shape != values.shape or len(np.unique(fold)) < 2:
        raise ArgumentError("folds", "a fold for each pair, two folds at least", f"{len(np.unique(fold))} folds")
    found = []
    for number in np.unique(fold):
        own = fold == number
        cut = _best_cut(values[~own], flags[~own])
        found.append(float(((values[own] >= cut) == flags[own]).mean()))
    return float(np.mean(found))


def _best_cut(values: Floats, flags: np.ndarray) -> float:
    """The threshold from which on a pair is accepted with the highest accuracy, halfway between two scores."""
    order = np.argsort(-values, kind="stable")
    ranked = values[order]
    ends = np.append(np.flatnonzero(np.diff(ranked)), len(ranked) - 1)
    right = np.append((~flags).sum(), (np.cumsum(flags[order]) + (~flags).sum() - np.cumsum(~flags[order]))[ends])
    best = int(right.argmax())
    if best == 0:
        return float("inf")
    last = ends[best - 1]
    return float(ranked[last] if last + 1 == len(ranked) else (ranked[last] + ranked[last + 1]) / 2)


FARS = (0.1, 0.01, 0.001)
"""False-accept rates that are looked at."""
GROUP_FAR = 0.01
"""The one at which groups are compared."""


def verification_metrics(scores: Any, same: Any, folds: Any, groups: Any = None) -> dict[str, float]:
    """The numbers that a comparison shows of pairs. More is better for each.

    Groups are judged at one threshold for all, that of all impostor pairs.

    Args:
        scores: of the pairs `[P]`.
        same: whether a pair is genuine `[P]`.
        folds: fold of each pair `[P]`.
        groups: group of both of a pair `[P]`, -1 for a pair of two groups; None for no groups.

    Returns:
        `verification_accuracy`, `tar_at_far_0.1`, `tar_at_far_0.01`, `tar_at_far_0.001`, `eer_accuracy` (1 less the equal error
        rate) and, with groups, `worst_group_tar` and `mean_group_tar` at a false-accept rate of 0.01 and
        `worst_group_accuracy`, the smallest 1 less the equal error rate of a group's own pairs (NaN without groups).

    Example:
        >>> found = verification_metrics([0.9, 0.1, 0.8, 0.2], [1, 0, 1, 0], [0, 0, 1, 1], [0, 0, 1, 1])
        >>> found["verification_accuracy"], found["worst_group_tar"]
        (1.0, 1.0)
    """
    values, flags = as_pairs(scores, same)
    found = {"verification_accuracy": verification_accuracy(values, flags, folds)}
    found |= {f"tar_at_far_{far:g}": tar_at_far(values, flags, far) for far in FARS}
    found["eer_accuracy"] = 1 - equal_error_rate(values, flags)
    rates = [] if groups is None else list(group_rates(values, flags, groups).values())
    own = [] if groups is None else list(_group_accuracies(values, flags, as_array(groups)))
    found["worst_group_tar"] = min(rates, default=float("nan"))
    found["mean_group_tar"] = float(np.mean(rates)) if rates else float("nan")
    found["worst_group_accuracy"] = min(own, default=float("nan"))
    return found


def group_rates(scores: Any, same: Any, groups: Any, far: float = GROUP_FAR) -> dict[int, float]:
    """True-accept rate of the genuine pairs of each group, at one threshold for all; groups without such pairs are left out.

    Example:
        >>> group_rates([0.9, 0.3, 0.5, 0.2], [1, 1, 0, 0], [0, 1, 0, 1])
        {0: 1.0, 1: 0.0}
    """
    values, flags = as_pairs(scores, same)
    group, cut = as_array(groups), threshold_at_far(values, flags, far)
    return {
        int(number): float((values[flags & (group == number)] > cut).mean())
        for number in np.unique(group)
        if number >= 0 and (flags & (group == number)).any()
    }


def _group_accuracies(values: Floats, flags: np.ndarray, group: np.ndarray) -> list[float]:
    found = []
    for number in np.unique(group[group >= 0]):
        own = group == number
        if flags[own].any() and not flags[own].all():
            found.append(1 - equal_error_rate(values[own], flags[own]))
    return found
