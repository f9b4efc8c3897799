"""`method="auto"`: successive halving over a short list of methods by the metric that the user names."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, TypeAlias

import numpy as np

from steelyard.core.errors import SteelyardError
from steelyard.core.regime import Regime
from steelyard.estimator.deciding import Decision, Held, cross_adjusted
from steelyard.estimator.scoring import Metric
from steelyard.estimator.table import Table
from steelyard.settings import Recipe, resolve_method

Fit: TypeAlias = Callable[[Table, Recipe, Regime, int], "Held | None"]

CANDIDATES = ("la", "ce", "sqrt-sampling", "mixup")
"""What is tried, the simplest first: of methods that cannot be told apart, the first is taken."""
ROUNDS = (0.15, 0.4)
"""Epochs of each round as a share of the regime's; half of the methods leave after a round, and the last one decides."""
SEARCH_ROWS = 20_000
"""Rows on which methods are compared at most, so that the search costs little beside training on many rows."""
LEAST_ROWS = 300
LEAST_OF_A_CLASS = 30
"""With fewer rows, or fewer of the rarest class, no comparison could tell methods apart: the first is taken unseen."""
UNDEFINED = "the metric is undefined"
ERRORS = 1.0
"""Standard errors by which a method has to beat an earlier one of the list."""


@dataclass
class Candidate:
    """What became of a method of the list.

    Attributes:
        method: its name with settings.
        score: the metric on rows that it had not learnt from, in its last round; None where undefined or not tried.
        low: lower end of the 95 % bootstrap interval; None without.
        high: upper end.
        rounds: rounds it was in.
        seconds: spent on it.
        chosen: is it the one that is used?
        note: why it left, in a few words.
    """

    method: str
    score: float | None = None
    low: float | None = None
    high: float | None = None
    rounds: int = 0
    seconds: float = 0.0
    chosen: bool = False
    note: str = ""

    def to_json(self) -> dict[str, Any]:
        """All of it as JSON values."""
        return asdict(self)


def choose(
    table: Table,
    regime: Callable[[int], Regime],
    metric: Metric,
    decision: Decision,
    *,
    fit: Fit,
    seed: int = 0,
    candidates: Sequence[str] = CANDIDATES,
) -> tuple[Recipe, list[Candidate]]:
    """The method that is best by the metric on rows not learnt from.

    All methods are trained for 15 % of the epochs, the better half of them for 40 %, always on the same rows with the same
    seed, on at most 20,000 rows: together about as long as two trainings of such a table. Each is calibrated and given its
    decision before it is judged, as it would be in use. A method beats an earlier one of
    the list only by more than the standard error of their difference (paired bootstrap).

    Args:
        table: the rows and their split.
        regime: the recipe for so many rows.
        metric: what counts.
        decision: how is decided.
        fit: trains one method on a table and gives its held-out scores; None where nothing was held out.
        seed: of training and resampling.
        candidates: names, the simplest first.

    Returns:
        The method, and what became of each of the list.
    """
    tried = [Candidate(name) for name in candidates]
    first = resolve_method(candidates[0])
    mass = np.bincount(table.target[table.split.judged].numpy(), minlength=len(table.class_names))
    if mass.sum() < LEAST_ROWS or mass.min() < LEAST_OF_A_CLASS:
        tried[0].chosen, tried[0].note = True, "too few rows to compare methods"
        for other in tried[1:]:
            other.note = "not tried: too few rows to compare methods"
        return first, tried
    small = table.thinned(SEARCH_ROWS, seed)
    whole = regime(len(small.split.train))
    left = list(range(len(tried)))
    draws: dict[int, np.ndarray] = {}
    for number, share in enumerate(ROUNDS, 1):
        epochs = max(round(whole.epochs * share), 1)
        short = whole.replace(epochs=epochs, warmup_epochs=min(whole.warmup_epochs, epochs / 4), patience=None, select="last")
        for place in list(left):
            draws[place] = _judge(tried[place], small, short, metric, decision, fit, seed)
            tried[place].rounds = number
        scored = [place for place in left if tried[place].score is not None]
        if not scored:
            break
        left = scored
        if number < len(ROUNDS):
            for place in _worse_half(left, draws, metric):
                left.remove(place)
                tried[place].note = f"out after round {number}"
    if scored:
        best = _winner(left, draws, metric)
    else:  # the first that can be used at all
        best = next((place for place in left if tried[place].note == UNDEFINED), left[0])
    tried[best].chosen = True
    return resolve_method(candidates[best]), tried


def without_comparison(tried: Sequence[Candidate], metric: Metric) -> list[str]:
    """A note where the metric was a number for none of the methods that were tried."""
    taken = [one.method for one in tried if one.chosen and one.note == UNDEFINED]
    return [f"'{metric.name}' gave no number for any method on the rows held out, so {name} was taken" for name in taken]


def _judge(
    candidate: Candidate, table: Table, regime: Regime, metric: Metric, decision: Decision, fit: Fit, seed: int
) -> np.ndarray:
    """Train and judge a method; returns its bootstrap values, or one value where the metric is a function."""
    started = time.perf_counter()
    nothing = np.full(1, np.nan)
    try:
        held = fit(table, resolve_method(candidate.method), regime, seed)
    except SteelyardError as error:
        candidate.score, candidate.note = None, f"cannot be used: {error}"
        return nothing
    assert held is not None
    proba, decided = cross_adjusted(held, metric, decision, seed)
    target, weights = held.target.numpy(), held.weights_array()
    value = metric.value(proba, decided, target, weights)
    candidate.seconds += time.perf_counter() - started
    if not np.isfinite(value):
        candidate.score, candidate.note = None, UNDEFINED
        return nothing
    candidate.score = value
    if metric.function is not None:
        return np.full(1, value)
    values = metric.resampled(proba, decided, target, weights, seed)
    candidate.low, candidate.high = (float(limit) for limit in np.nanquantile(values, (0.025, 0.975)))
    return values


def _worse_half(left: list[int], draws: dict[int, np.ndarray], metric: Metric) -> list[int]:
    """Those that leave: the worse half by mean score, of equals the later ones; the first of the list always stays."""
    score = {place: metric.sign * float(np.nanmean(draws[place])) for place in left}
    order = sorted(left, key=lambda place: (-score[place], place))
    kept = order[: -(-len(left) // 2)]
    return [place for place in left if place not in kept and place != left[0]]


def _winner(left: list[int], draws: dict[int, np.ndarray], metric: Metric) -> int:
    """The first of the list that the best does not beat by more than the standard error of their difference."""
    best = max(left, key=lambda place: (metric.sign * float(np.nanmean(draws[place])), -place))
    for place in left:
        gain = metric.sign * (draws[best] - draws[place])
        gain = gain[np.isfinite(gain)]
        error = float(gain.std()) if len(gain) > 1 else 0.0
        if len(gain) and float(gain.mean()) <= ERRORS * error:
            return place
    return best
