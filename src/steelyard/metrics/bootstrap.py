"""Intervals of any metric by resampling the rows of each class with replacement, so that no class is ever lost.

Metrics of decisions depend on the confusion matrix only, whose rows are multinomials: they are drawn directly, which is the
same bootstrap and far faster. Metrics of scores draw how often each row is counted. Percentile intervals.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

from steelyard.core.errors import ArgumentError, UnknownName
from steelyard.metrics.arrays import Floats, Ints, as_pair, same_rows
from steelyard.metrics.calibration import CALIBRATION_METRICS, Binned, brier_rows, log_loss_rows, top_label
from steelyard.metrics.confusion import CONFUSION_METRICS, GROUP_METRICS, Members, Tally, confusion_metric
from steelyard.metrics.groups import GroupsLike, members_of
from steelyard.metrics.ranking import RANKING_METRICS, RankedClass, scored_classes

DEFAULT = ("accuracy", "balanced_accuracy", "macro_f1", "g_mean", "mcc", "worst_recall", *GROUP_METRICS)
"""Metrics of decisions: exact and fast."""

ON_DECISIONS = (*CONFUSION_METRICS, *GROUP_METRICS)
ON_SCORES = (*RANKING_METRICS, *CALIBRATION_METRICS)
CHUNK = 1_000_000
"""Numbers held at once when rows are redrawn (and at least 16 resamples)."""

Replicates: TypeAlias = dict[str, Floats]


@dataclass(frozen=True)
class Difference:
    """A metric of one classifier less that of another on the same rows, with its interval.

    Attributes:
        difference: first less second, on the rows as they are.
        low: lower limit.
        high: upper limit.
    """

    difference: float
    low: float
    high: float


def intervals(
    proba: Any,
    target: Any,
    metrics: Sequence[str] = DEFAULT,
    *,
    level: float = 0.95,
    resamples: int = 1000,
    seed: int = 0,
    groups: GroupsLike | None = None,
    class_counts: Any = None,
    bins: int = 15,
) -> dict[str, tuple[float, float]]:
    """Percentile bootstrap intervals over the rows of a split, stratified by class.

    They say what another draw of test rows might give, for this model: another training run is not in them. A class with one
    row has nothing to vary, so that intervals of averages are too narrow where classes have a handful of rows; `ece` and
    `worst_recall` are biased, and so is every resample of them.

    Args:
        proba: probabilities `[N, C]`.
        target: true classes `[N]`.
        metrics: names as in `evaluate`; metrics of decisions by default.
        level: confidence, between 0 and 1.
        resamples: how often the rows are redrawn, at least 2.
        seed: of the draws; the same seed gives the same intervals, whatever other metrics are asked for.
        groups: for `many_recall`, `medium_recall` and `few_recall`, which are NaN without.
        class_counts: training rows per class `[C]`; names the positive one of two classes.
        bins: of the calibration errors.

    Returns:
        `(low, high)` for each name; NaN where the metric is undefined.

    Raises:
        ArgumentError: a bad level, number of resamples, probabilities or classes.
        UnknownName: no such metric.

    Reference:
        Efron and Tibshirani, An Introduction to the Bootstrap, 1993, chapter 13.

    Example:
        >>> proba, target = [[0.9, 0.1]] * 90 + [[0.2, 0.8]] * 30, [0] * 80 + [1] * 40
        >>> low, high = intervals(proba, target, ("balanced_accuracy",))["balanced_accuracy"]
        >>> 0.78 < low < 0.875 < high < 0.96
        True
    """
    values, truth = as_pair(proba, target)
    _check(metrics, level, resamples)
    setting = _Setting(truth, values.shape[1], members_of(groups), class_counts, bins)
    replicates = _replicates(setting, [values], metrics, resamples, seed)[0]
    return {name: _limits(replicates[name], level) for name in metrics}


def paired_intervals(
    proba: Any,
    other: Any,
    target: Any,
    metrics: Sequence[str] = DEFAULT,
    *,
    level: float = 0.95,
    resamples: int = 1000,
    seed: int = 0,
    groups: GroupsLike | None = None,
    class_counts: Any = None,
    bins: int = 15,
) -> dict[str, Difference]:
    """Bootstrap intervals of the difference of two classifiers on the same rows; both see the same resamples.

    Args:
        proba: probabilities of the first classifier `[N, C]`.
        other: probabilities of the second `[N, C]`, of the same rows in the same order.
        target: true classes `[N]`.
        metrics: names as in `evaluate`.
        level: confidence, between 0 and 1.
        resamples: how often the rows are redrawn, at least 2.
        seed: of the draws.
        groups: for `many_recall`, `medium_recall` and `few_recall`, which are NaN without.
        class_counts: training rows per class `[C]`; names the positive one of two classes.
        bins: of the calibration errors.

    Returns:
        First less second for each name.

    Raises:
        ArgumentError: a bad level, number of resamples, probabilities or classes, or not the same shape.
        UnknownName: no such metric.

    Example:
        >>> good, poor, target = [[0.9, 0.1]] * 50 + [[0.1, 0.9]] * 50, [[0.9, 0.1]] * 100, [0] * 50 + [1] * 50
        >>> paired_intervals(good, poor, target, ("accuracy",))["accuracy"].difference
        0.5
    """
    values, truth = as_pair(proba, target)
    against, _ = as_pair(other, target, "other")
    if against.shape != values.shape:
        raise ArgumentError("other", f"of the shape of `proba`, {values.shape}", f"shape {against.shape}")
    same_rows(against.shape[0], truth.shape[0], "other")
    _check(metrics, level, resamples)
    setting = _Setting(truth, values.shape[1], members_of(groups), class_counts, bins)
    first, second = _replicates(setting, [values, against], metrics, resamples, seed)
    here, there = (_once(setting, p, metrics) for p in (values, against))
    found = {}
    for name in metrics:
        low, high = _limits(first[name] - second[name], level)
        found[name] = Difference(here[name] - there[name], low, high)
    return found


def _check(metrics: Sequence[str], level: float, resamples: int) -> None:
    if isinstance(metrics, str):
        raise ArgumentError("metrics", "a sequence of names, such as ('accuracy',)", repr(metrics))
    for name in metrics:
        if name not in ON_DECISIONS and name not in ON_SCORES:
            raise UnknownName("metric", name, (*ON_DECISIONS, *ON_SCORES))
    if not 0 < level < 1:
        raise ArgumentError("level", "between 0 and 1, such as 0.95", level)
    if resamples < 2:
        raise ArgumentError("resamples", "at least 2", resamples)


def _limits(replicates: Floats, level: float) -> tuple[float, float]:
    low, high = np.quantile(replicates, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


@dataclass(frozen=True)
class _Setting:
    truth: Ints
    classes: int
    members: Members
    class_counts: Any
    bins: int


def _replicates(setting: _Setting, probas: list[Floats], metrics: Sequence[str], resamples: int, seed: int) -> list[Replicates]:
    """Every metric on every resample `[resamples]`, for each classifier on the same resamples."""
    # Two streams, so that asking for a metric of scores does not change the intervals of the metrics of decisions.
    found: list[Replicates] = [{} for _ in probas]
    on_decisions = [name for name in metrics if name in ON_DECISIONS]
    if on_decisions:
        decided = [p.argmax(1) for p in probas]
        tallies = _draw_tallies(setting, decided, resamples, np.random.default_rng([seed, 0]))
        for replicates, drawn in zip(found, tallies, strict=True):
            replicates.update({name: confusion_metric(name, drawn, setting.members) for name in on_decisions})
    on_scores = [name for name in metrics if name in ON_SCORES]
    if on_scores:
        scorers = [_Scorers(setting, p, on_scores) for p in probas]
        parts = [
            [scorer(weights) for scorer in scorers]
            for weights in _draw_weights(setting.truth, resamples, np.random.default_rng([seed, 1]))
        ]
        for k, replicates in enumerate(found):
            replicates.update({name: np.concatenate([part[k][name] for part in parts]) for name in on_scores})
    return found


def _once(setting: _Setting, proba: Floats, metrics: Sequence[str]) -> dict[str, float]:
    """The metrics on the rows as they are."""
    decided, ones = proba.argmax(1), np.ones((setting.truth.size, 1), dtype=np.int64)
    right = np.bincount(setting.truth[decided == setting.truth], minlength=setting.classes)
    said, truth = (np.bincount(of, minlength=setting.classes) for of in (decided, setting.truth))
    scores = _Scorers(setting, proba, [name for name in metrics if name in ON_SCORES])(ones)
    whole = Tally(right, said, truth)
    return {n: float(scores[n][0]) if n in scores else float(confusion_metric(n, whole, setting.members)) for n in metrics}


def _draw_tallies(setting: _Setting, decided: list[Any], resamples: int, rng: np.random.Generator) -> list[Tally]:
    """Tallies of resampled confusion matrices; the classifiers share each resample of rows.

    Within a true class a row matters by what the classifiers decided for it only, so the classes' rows of the (joint)
    confusion table are drawn as multinomials.
    """
    classes, truth = setting.classes, np.bincount(setting.truth, minlength=setting.classes)
    right = [np.zeros((resamples, classes), dtype=np.int64) for _ in decided]
    said = [np.zeros((resamples, classes), dtype=np.int64) for _ in decided]
    joint = np.zeros_like(setting.truth)
    for decisions in decided:
        joint = joint * classes + decisions
    for c in np.flatnonzero(truth):
        cells, rows = np.unique(joint[setting.truth == c], return_counts=True)
        drawn = rng.multinomial(int(truth[c]), rows / truth[c], size=resamples)
        for k in range(len(decided)):
            column = cells // classes ** (len(decided) - 1 - k) % classes
            for j in np.unique(column):
                part = drawn[:, column == j].sum(1)
                said[k][:, j] += part
                if j == c:
                    right[k][:, c] = part
    return [Tally(r, s, truth) for r, s in zip(right, said, strict=True)]


def _draw_weights(truth: Ints, resamples: int, rng: np.random.Generator) -> Iterator[Ints]:
    """How often each row is counted `[N, b]`, a chunk of resamples at a time; each class keeps its number of rows."""
    order = np.argsort(truth, kind="stable")
    sizes = np.bincount(truth)
    bounds = np.concatenate([[0], np.cumsum(sizes)])
    chunk = max(16, CHUNK // truth.size)
    for done in range(0, resamples, chunk):
        b = min(chunk, resamples - done)
        weights = np.empty((truth.size, b), dtype=np.int64)
        for c in np.flatnonzero(sizes):
            n = int(sizes[c])
            picks = rng.integers(0, n, (n, b)) * b + np.arange(b)
            weights[order[bounds[c] : bounds[c + 1]]] = np.bincount(picks.ravel(), minlength=n * b).reshape(n, b)
        yield weights


class _Scorers:
    """The metrics of scores of one classifier under many weightings of its rows; everything is sorted once."""

    def __init__(self, setting: _Setting, proba: Floats, names: Sequence[str]) -> None:
        self.parts: list[Callable[[Ints], Mapping[str, Floats]]] = []
        truth = setting.truth
        if any(name in RANKING_METRICS for name in names):
            chosen = scored_classes(truth, setting.classes, setting.class_counts)
            ranked = [RankedClass(proba[:, c], truth == c) for c in chosen]
            self.parts.append(lambda weights: _mean_areas(ranked, weights))
        if "ece" in names:
            confidence, right = top_label(proba, truth)
            top = Binned(confidence, setting.bins)
            self.parts.append(lambda weights: {"ece": top.error(right, weights)})
        if "classwise_ece" in names:
            each = [(Binned(proba[:, c], setting.bins), (truth == c).astype(np.float64)) for c in np.unique(truth)]
            self.parts.append(
                lambda weights: {"classwise_ece": np.mean([binned.error(kept, weights) for binned, kept in each], axis=0)}
            )
        if "brier" in names:
            squares = brier_rows(proba, truth)
            self.parts.append(lambda weights: {"brier": squares @ weights / truth.size})
        if "log_loss" in names:
            logs = log_loss_rows(proba, truth)
            self.parts.append(lambda weights: {"log_loss": logs @ weights / truth.size})

    def __call__(self, weights: Ints) -> dict[str, Floats]:
        """The metrics `[B]` with every row counted `weights[n, b]` times `[N, B]`."""
        return {name: values for part in self.parts for name, values in part(weights).items()}


def _mean_areas(ranked: list[RankedClass], weights: Ints) -> dict[str, Floats]:
    """Mean AUROC over classes with negatives, and mean average precision, `[B]`; NaN where no class is left."""
    undefined = np.full(weights.shape[1], np.nan)
    areas = [one.areas(weights) for one in ranked]
    with_negatives = [roc for one, (roc, _) in zip(ranked, areas, strict=True) if not one.only]
    return {
        "auroc": np.mean(with_negatives, axis=0) if with_negatives else undefined,
        "auprc": np.mean([precision for _, precision in areas], axis=0) if areas else undefined,
    }
