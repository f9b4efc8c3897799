"""Metrics with row weights, for one set of weights or for many at once: a bootstrap is one matrix product."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

from steelyard.core.errors import ArgumentError, UnknownName
from steelyard.core.seeds import derive

Array: TypeAlias = "np.ndarray"
Judge: TypeAlias = "Callable[..., float]"

ON_DECISIONS = ("accuracy", "balanced_accuracy", "f1", "macro_f1", "g_mean", "mcc", "worst_recall", "expected_cost")
"""Metrics of what is decided."""
ON_RANKS = ("auprc", "auroc")
"""Metrics of the order of the rows."""
ON_PROBABILITIES = ("log_loss", "brier")
"""Metrics of the probabilities themselves."""
METRICS = ON_DECISIONS + ON_RANKS + ON_PROBABILITIES
LOWER_IS_BETTER = ("expected_cost", "log_loss", "brier")
RESAMPLES = 200
HELD_DRAWS = 20_000_000
"""Weights of resampled rows that are in memory at once."""
FLOOR = 1e-12
"""Smallest probability whose logarithm is taken."""


@dataclass(frozen=True)
class Metric:
    """A metric by name, or a function of the user's.

    Attributes:
        name: one of `METRICS`, or the function's name.
        cost: `[C, C]`, what it costs to decide j (column) where the truth is i (row); for "expected_cost".
        function: `(proba [N, C], target [N]) -> number`, the higher the better, called with `sample_weight=` where rows differ
            in weight and it takes that; None for a metric by name.
    """

    name: str
    cost: Array | None = None
    function: Judge | None = None

    @property
    def sign(self) -> float:
        """1 where higher is better, else -1."""
        return -1.0 if self.name in LOWER_IS_BETTER and self.function is None else 1.0

    def values(self, proba: Array, decided: Array, target: Array, weights: Array) -> Array:
        """The metric under each of several weightings of the rows.

        Args:
            proba: `[N, C]`.
            decided: `[N]`, classes.
            target: `[N]`, classes.
            weights: `[B, N]`.

        Returns:
            `[B]`; NaN where undefined.
        """
        if self.function is not None:
            return np.array([self._asked(proba, target, one) for one in weights])
        if self.name in ON_DECISIONS:
            return self._of_decisions(_confusions(decided, target, weights, proba.shape[1]))
        if self.name in ON_RANKS:
            return _ranked(self.name, proba, target, weights)
        if self.name == "log_loss":
            losses = -np.log(np.maximum(proba[np.arange(len(target)), target], FLOOR))
        else:
            losses = np.square(proba - np.eye(proba.shape[1])[target]).sum(1)
        return _ratio(weights @ losses, weights.sum(1))

    def value(self, proba: Array, decided: Array, target: Array, weights: Array | None = None) -> float:
        """The metric on rows that count by their weights."""
        one = np.ones(len(target)) if weights is None else weights
        return float(self.values(proba, decided, target, one[None])[0])

    def resampled(self, proba: Array, decided: Array, target: Array, weights: Array | None, seed: int) -> Array:
        """The metric on `RESAMPLES` bootstrap samples of the rows `[B]`: the same samples for every model of the same rows."""
        if self.function is not None:
            raise ArgumentError("metric", "a metric by name, for which resampling is cheap", self.name)
        draw, rows = np.random.default_rng(derive(seed, "bootstrap")), len(target)
        found = []
        for start in range(0, RESAMPLES, size := max(1, HELD_DRAWS // max(rows, 1))):
            draws = draw.poisson(1.0, (min(size, RESAMPLES - start), rows)).astype(np.float64)
            found.append(self.values(proba, decided, target, draws if weights is None else draws * weights))
        return np.concatenate(found)

    def estimated(
        self, proba: Array, decided: Array, target: Array, weights: Array | None, seed: int
    ) -> tuple[float | None, float | None, float | None]:
        """The metric, and the ends of its 95 % bootstrap interval; None for what is unknown, and for ends of a function's."""
        value = self.value(proba, decided, target, weights)
        draws = np.empty(0) if self.function is not None else self.resampled(proba, decided, target, weights, seed)
        draws = draws[np.isfinite(draws)]
        low, high = (float(end) for end in np.quantile(draws, (0.025, 0.975))) if len(draws) else (None, None)
        return value if np.isfinite(value) else None, low, high

    def _asked(self, proba: Array, target: Array, weights: Array) -> float:
        """A user's function on rows of weight above 0, told the weights if they differ and it takes them."""
        assert self.function is not None
        kept = weights > 0
        value = self.function(proba[kept], target[kept], **weights_for(self.function, weights[kept]))
        try:
            return float(value)
        except (TypeError, ValueError):
            raise ArgumentError("metric", "a function that gives a number", repr(value)) from None

    def _of_decisions(self, confusion: Array) -> Array:
        """`[B]` from confusion matrices `[B, C, C]`, rows the truth."""
        total = confusion.sum((1, 2))
        right = np.diagonal(confusion, axis1=1, axis2=2)
        truth, said = confusion.sum(2), confusion.sum(1)
        recall = _ratio(right, truth)
        match self.name:
            case "accuracy":
                return _ratio(right.sum(1), total)
            case "balanced_accuracy":
                return _mean(recall)
            case "worst_recall":
                worst: Array = np.where(truth > 0, recall, np.inf).min(1)
                return worst
            case "g_mean":
                seen = truth > 0
                logs = np.where(seen, np.log(np.maximum(recall, 1e-300, where=seen, out=np.ones_like(recall))), 0.0)
                return np.where((recall == 0).any(1), 0.0, np.exp(_ratio(logs.sum(1), seen.sum(1))))
            case "f1" | "macro_f1":
                f1 = np.where(truth > 0, _ratio(2 * right, truth + said), np.nan)
                if self.name == "macro_f1" or confusion.shape[1] != 2:
                    return _mean(f1)
                rare = int(truth.sum(0).argmin()) if truth[:, 0].sum() != truth[:, 1].sum() else 1
                return np.nan_to_num(f1[:, rare])
            case "expected_cost":
                assert self.cost is not None
                return _ratio((confusion * self.cost).sum((1, 2)), total)
            case _:
                covariance = right.sum(1) * total - (truth * said).sum(1)
                spread = np.sqrt((total**2 - (truth**2).sum(1)) * (total**2 - (said**2).sum(1)))
                return np.where(spread > 0, _ratio(covariance, spread), 0.0)


def weights_for(function: Callable[..., Any], weights: Array | None) -> dict[str, Array]:
    """What a user's function is told about the weights of rows: `sample_weight`, if it takes that and they differ.

    Example:
        >>> weights_for(lambda proba, target, sample_weight=None: 0.0, np.array([1.0, 2.0]))
        {'sample_weight': array([1., 2.])}
        >>> weights_for(lambda proba, target: 0.0, np.array([1.0, 2.0]))
        {}
    """
    if weights is None or bool((weights == weights[:1]).all()):
        return {}
    try:
        named = inspect.signature(function).parameters
    except (TypeError, ValueError):  # what is written in C may not say
        return {}
    taken = "sample_weight" in named or any(one.kind is inspect.Parameter.VAR_KEYWORD for one in named.values())
    return {"sample_weight": weights} if taken else {}


def metric_of(metric: Any, cost: Array | None = None) -> Metric:
    """Read what a user asks for.

    Args:
        metric: a name, or a `Judge`: a function of probabilities and classes, the higher the better.
        cost: the cost matrix in use, if any.

    Raises:
        UnknownName: no such metric.
        ArgumentError: neither, or "expected_cost" without a cost matrix.
    """
    if isinstance(metric, str):
        if metric not in METRICS:
            raise UnknownName("metric", metric, METRICS)
        if metric == "expected_cost" and cost is None:
            raise ArgumentError("decision", "a cost matrix [C, C], for metric='expected_cost'", "none")
        return Metric(metric, cost)
    if not callable(metric):
        expected = "a metric's name, or a function of probabilities [N, C] and classes [N]"
        raise ArgumentError("metric", expected, f"a {type(metric).__name__}")
    return Metric(getattr(metric, "__name__", type(metric).__name__), cost, metric)


def _confusions(decided: Array, target: Array, weights: Array, classes: int) -> Array:
    """Weighted confusion matrices `[B, C, C]`, rows the truth."""
    cell = target * classes + decided
    found = np.stack([np.bincount(cell, weights=one, minlength=classes * classes) for one in weights])
    return found.reshape(len(weights), classes, classes)


def _ranked(name: str, proba: Array, target: Array, weights: Array) -> Array:
    """Average precision or area under the ROC curve: of the rarer of two classes, else the mean over classes."""
    classes = proba.shape[1]
    if classes == 2:
        mass = np.bincount(target, minlength=2)
        chosen = [int(mass.argmin()) if mass[0] != mass[1] else 1]
    else:
        chosen = [c for c in range(classes) if (target == c).any()]
    one = _average_precision if name == "auprc" else _area
    return _mean(np.stack([one(proba[:, c], target == c, weights) for c in chosen], axis=1))


def _groups(score: Array) -> tuple[Array, Array]:
    """Order of falling scores, and where each run of equal scores ends in it."""
    order = np.argsort(-score, kind="stable")
    ends = np.flatnonzero(np.append(np.diff(score[order]) != 0, True))
    return order, ends


def _average_precision(score: Array, positive: Array, weights: Array) -> Array:
    order, ends = _groups(score)
    ordered = weights[:, order]
    all_rows = np.cumsum(ordered, axis=1)[:, ends]
    found = np.cumsum(ordered * positive[order], axis=1)[:, ends]
    steps = np.diff(found, axis=1, prepend=0.0)
    precision = np.where(all_rows > 0, _ratio(found, all_rows), 0.0)
    return _ratio((precision * steps).sum(1), found[:, -1])


def _area(score: Array, positive: Array, weights: Array) -> Array:
    order, ends = _groups(score)
    ordered = weights[:, order]
    found = np.cumsum(ordered * positive[order], axis=1)[:, ends]
    wrong = np.cumsum(ordered * ~positive[order], axis=1)[:, ends]
    width = np.diff(wrong, axis=1, prepend=0.0)
    height = found - np.diff(found, axis=1, prepend=0.0) / 2
    return _ratio((width * height).sum(1), found[:, -1] * wrong[:, -1])


def _ratio(above: Array, below: Array) -> Array:
    """Quotients, NaN where the denominator is 0."""
    below = np.asarray(below, dtype=np.float64)
    out: Array = np.full(np.broadcast(above, below).shape, np.nan)
    np.divide(above, below, out=out, where=below > 0)
    return out


def _mean(values: Array) -> Array:
    """Mean over the last axis of what is not NaN; NaN where nothing is left."""
    known = ~np.isnan(values)
    return _ratio(np.where(known, values, 0.0).sum(1), known.sum(1))
