"""How many dimensions data really have: several answers, each named, for they differ.

The closed forms need the features that a classifier is given. These numbers compare data sets, embeddings above all.
"""

from __future__ import annotations

import numpy as np

from steelyard.core.seeds import derive
from steelyard.metrics.arrays import Floats

NEIGHBOURS_OF = 2_000
"""Rows among which two nearest neighbours are looked for."""


def participation_ratio(residuals: Floats, dof: int) -> float:
    """(tr Sigma)^2 / tr(Sigma^2) of the within-class covariance, from unbiased estimates of both.

        with t1 = tr S, t2 = tr S^2:   tr(Sigma^2) ~ m^2/((m-1)(m+2)) (t2 - t1^2/m),
                                       (tr Sigma)^2 ~ (m (m+1) t1^2 - 2 m t2)/((m-1)(m+2))

    Equal variances in d directions give d, whatever the number of rows; the plain ratio would give d/(1 + d/m).

    Args:
        residuals: rows less the mean of their class `[n, r]`.
        dof: degrees of freedom m, rows less classes.

    Returns:
        At least 1; NaN with fewer than two degrees of freedom or where rows are too few to tell.
    """
    if dof < 2:
        return float("nan")
    n, r = residuals.shape
    cross = residuals @ residuals.T if r > n else residuals.T @ residuals
    t1, t2 = float(np.trace(cross)) / dof, float(np.square(cross).sum()) / dof**2
    square = dof**2 * (t2 - t1**2 / dof)
    total = dof * (dof + 1) * t1**2 - 2 * dof * t2
    return max(1.0, total / square) if square > 1e-12 * total else float("nan")


def components(rows: Floats, share: float = 0.99) -> int:
    """Principal components of centred rows `[n, r]` that hold a share of their variance."""
    n, r = rows.shape
    spectrum = np.linalg.eigvalsh(rows @ rows.T if r > n else rows.T @ rows)[::-1]
    held = np.cumsum(np.maximum(spectrum, 0.0))
    return int(np.searchsorted(held, share * held[-1] * (1 - 1e-12)) + 1)


def two_nearest(rows: Floats, seed: int = 0) -> float:
    """Dimension from the ratio of the distances to the two nearest rows (TwoNN); of a manifold, not of a covariance.

    -log(1 - F(mu)) = dimension * log(mu) for mu = second distance / first; a line through the origin, the largest tenth of the
    ratios left out. Low above some ten dimensions.

    Args:
        rows: `[n, r]`; some of them are drawn where there are many.
        seed: of the draw.

    Returns:
        NaN for fewer than five distinct rows.

    Reference:
        Facco, d'Errico, Rodriguez and Laio, Scientific Reports 7, 2017.
    """
    from sklearn.neighbors import NearestNeighbors

    if rows.shape[0] > NEIGHBOURS_OF:
        rows = rows[
            np.random.default_rng(derive(seed, "diagnosis", "neighbours")).choice(rows.shape[0], NEIGHBOURS_OF, replace=False)
        ]
    if rows.shape[0] < 5:
        return float("nan")
    distances = NearestNeighbors(n_neighbors=2).fit(rows).kneighbors()[0]
    first, second = distances[:, 0], distances[:, 1]
    apart = first > 1e-6 * second.max()
    ratios = np.sort(second[apart] / first[apart])
    kept = int(0.9 * ratios.size)
    if kept < 4:
        return float("nan")
    x = np.log(ratios[:kept])
    y = -np.log(1 - np.arange(1, kept + 1) / ratios.size)
    below = float((x * x).sum())
    return float((x * y).sum() / below) if below > 0 else float("nan")
