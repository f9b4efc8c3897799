"""Recall against the ratio of the classes, measured: equally many rows of two classes, drawn at one ratio after another."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from steelyard.core.seeds import derive
from steelyard.diagnosis.finite_sample import lda_equivalents
from steelyard.diagnosis.prepare import prepare
from steelyard.diagnosis.scores import discriminant
from steelyard.diagnosis.shrinkage import Shrinkage
from steelyard.metrics.arrays import Floats, Ints

LEAST = 12
"""With fewer rows of the minority nothing is drawn: four of them would be held out."""

MOST_ROWS, MOST_ROWS_WIDE = 4000, 800
"""Rows of the two classes that are used at most; the second where there are more than `WIDE` features."""

WIDE = 300

DRAWS, DRAWS_WIDE = 20, 5
"""How often rows are drawn at each ratio."""

RATIOS = 6
SHRINK_BELOW = 3
"""As in the taxonomy: degrees of freedom to a feature below which the covariance is shrunk."""


@dataclass(frozen=True)
class MeasuredRatios:
    """What was measured.

    Args:
        rows: that each model was fitted to.
        held_out: rows of the minority that each was judged on.
        draws: at each ratio.
        eta: ratios `[E]`.
        recall: of the minority, mean over the draws `[E]`.
        low: in the worst draw `[E]`.
        high: in the best draw `[E]`.
        predicted: by the closed form for so many rows `[E]`; NaN where the covariance is shrunk.
    """

    rows: int
    held_out: int
    draws: int
    eta: Floats
    recall: Floats
    low: Floats
    high: Floats
    predicted: Floats


def measured_ratios(
    X: NDArray[Any], minority: Ints, majority: Ints, *, delta: float = float("nan"), seed: int = 0
) -> MeasuredRatios | None:
    """Measure the minority recall of linear discriminant analysis at several ratios and one number of rows.

    As many rows as there can be at equal counts are kept in all, so that nothing but the ratio changes. A third of the minority
    (and of the majority, up to as many) is held out in each draw.

    Args:
        X: numbers `[n, d]`, without missing values.
        minority: numbers of its rows.
        majority: numbers of its rows, at least as many.
        delta: separability of the two, for the prediction; NaN where it is not known.
        seed: of the draws.

    Returns:
        What was measured; None where the minority has fewer than 12 rows, or nothing varies.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> X = rng.normal(size=(2000, 4))
        >>> X[1600:, 0] += 2
        >>> found = measured_ratios(X, np.arange(1600, 2000), np.arange(1600), delta=2.0)
        >>> bool(found.recall[0] > 0.75 > 0.4 > found.recall[-1])
        True
    """
    if len(minority) < LEAST or len(majority) < len(minority):
        return None
    rng = np.random.default_rng(derive(seed, "diagnosis", "ratios"))
    wide = X.shape[1] > WIDE
    most = MOST_ROWS_WIDE if wide else MOST_ROWS
    few = rng.permutation(minority)[: most // 4]
    held = len(few) // 3
    n = 2 * (len(few) - held)
    many = rng.permutation(majority)[: n + held]
    eta = _ratios(n, len(many) - held)
    prepared = prepare(X[np.concatenate([few, many])], np.repeat([1, 0], [len(few), len(many)]))
    shrink: Shrinkage | None = "ledoit-wolf" if n - 2 < SHRINK_BELOW * prepared.dim else None
    draws = DRAWS_WIDE if wide else DRAWS
    recalls = np.empty((len(eta), draws))
    for i, ratio in enumerate(eta):
        small = max(round(n / (1 + ratio)), 2)
        for k in range(draws):
            own, other = rng.permutation(len(few)), len(few) + rng.permutation(len(many))
            train = np.zeros(len(prepared.target), dtype=bool)
            train[own[held : held + small]] = train[other[held : held + n - small]] = True
            scores = discriminant(prepared, train, prepared.rows[own[:held]], shrink)
            recalls[i, k] = (scores[:, 1] > scores[:, 0]).mean()
    predicted = np.full(len(eta), np.nan)
    if shrink is None and np.isfinite(delta):
        small_rows = np.maximum(np.round(n / (1 + eta)), 2)
        predicted = np.asarray(lda_equivalents(delta, prepared.dim, n - 2).recalls(n - small_rows, small_rows).minority)
    return MeasuredRatios(n, held, draws, eta, recalls.mean(1), recalls.min(1), recalls.max(1), predicted)


def _ratios(n: int, majority: int) -> Floats:
    """Ratios from 1 on, as far as both classes have rows: two of the minority at least."""
    most = min(n / 2 - 1, 1000.0)
    if n > majority:
        most = min(most, majority / (n - majority))
    return np.unique(np.round(np.geomspace(1.0, max(most, 1.0), RATIOS), 3))
