"""Mahalanobis distance of class means, without the bias that estimated means and covariance have, and intervals that hold.

The ordinary bootstrap does not hold here: repeated rows make the spread within classes look smaller than it is.
"""

from __future__ import annotations

from typing import Any, Literal

import numpy as np

from steelyard.core.errors import ArgumentError
from steelyard.diagnosis._normal import cdf, quantile
from steelyard.diagnosis.prepare import Within
from steelyard.metrics.arrays import Floats, Ints

IntervalKind = Literal["auto", "noncentral-f", "jackknife"]

NEAR_NORMAL = 3.0
"""Mardia's kurtosis may be this many standard errors off before rows no longer count as near Gaussian."""

ROUNDS = 200
"""Halvings of the interval in which a noncentrality is looked for; doubles have fewer digits."""


def squared_distances(found: Within) -> Floats:
    """Squared Mahalanobis distances D2 of all pairs of class means `[K, K]`, with the pooled covariance; biased upwards.

    Raises:
        numpy.linalg.LinAlgError: the pooled covariance is singular.
    """
    root = np.linalg.cholesky(found.covariance())
    points = np.linalg.solve(root, found.means.T).T
    norms = np.square(points).sum(1)
    squares = np.maximum(norms[:, None] + norms[None, :] - 2 * points @ points.T, 0.0)
    np.fill_diagonal(squares, 0.0)
    return np.asarray(squares, dtype=np.float64)


def debiased(squares: Any, n_i: Any, n_j: Any, dim: int, dof: int) -> Floats:
    """Unbiased estimate of the squared distance for Gaussian classes; may be negative.

        E[D2] = m/(m-d-1) (delta^2 + d/n_i + d/n_j)   so   (m-d-1)/m D2 - d (1/n_i + 1/n_j)

    Args:
        squares: D2, any shape.
        n_i: rows of one class.
        n_j: rows of the other.
        dim: features d.
        dof: degrees of freedom m of the covariance, above d + 1.

    Raises:
        ArgumentError: too few degrees of freedom.

    Example:
        >>> round(float(debiased(5.6437, 200, 20, 20, 218)), 3)
        4.0
    """
    if dof - dim - 1 <= 0:
        raise ArgumentError("dof", f"above {dim + 1} for {dim} features", dof)
    noise = dim * (1 / np.asarray(n_i, dtype=np.float64) + 1 / np.asarray(n_j, dtype=np.float64))
    return np.asarray((dof - dim - 1) / dof * np.asarray(squares, dtype=np.float64) - noise)[()]


def noncentral_f_interval(
    squares: Any, n_i: Any, n_j: Any, dim: int, dof: int, *, level: float = 0.95
) -> tuple[Floats, Floats]:
    """Exact interval of the Mahalanobis distance `delta` for Gaussian classes.

        k = n_i n_j/(n_i + n_j);   k (m-d+1)/(m d) D2 ~ F(d, m-d+1; noncentrality k delta^2), solved for the noncentrality

    Args:
        squares: D2, any shape.
        n_i: rows of one class, of a shape that broadcasts.
        n_j: rows of the other.
        dim: features d.
        dof: degrees of freedom m of the covariance, at least d.
        level: confidence, between 0 and 1.

    Returns:
        Lower and upper limits of `delta` (not squared).

    Raises:
        ArgumentError: too few degrees of freedom, or a level outside (0, 1).

    Example:
        >>> low, high = noncentral_f_interval(5.6437, 200, 20, 20, 218)
        >>> round(float(low) ** 2, 3), round(float(high) ** 2, 3)
        (2.147, 6.584)
    """
    from scipy.stats import ncf

    if not 0 < level < 1:
        raise ArgumentError("level", "between 0 and 1", level)
    if dof < dim:
        raise ArgumentError("dof", f"at least {dim} for {dim} features", dof)
    squares, n_i, n_j = np.broadcast_arrays(*(np.asarray(value, dtype=np.float64) for value in (squares, n_i, n_j)))
    k = n_i * n_j / (n_i + n_j)
    statistic = k * (dof - dim + 1) / (dof * dim) * squares

    def solve(p: float) -> Floats:
        low, high = np.zeros_like(statistic), 10.0 + 2 * k * squares

        def above(at: Floats) -> Any:
            # The distribution function falls with the noncentrality; at 0 itself scipy wants the central one.
            return ncf.cdf(statistic, dim, dof - dim + 1, np.maximum(at, 1e-9)) > p

        while (far := above(high)).any():
            low, high = np.where(far, high, low), np.where(far, 2 * high, high)
        for _ in range(ROUNDS):
            middle = (low + high) / 2
            if not ((middle > low) & (middle < high)).any():
                break
            up = above(middle)
            low, high = np.where(up, middle, low), np.where(up, high, middle)
        return np.where(low > 1e-8, np.sqrt(low / k), 0.0)

    return solve((1 + level) / 2)[()], solve((1 - level) / 2)[()]


def jackknife_interval(
    found: Within, target: Ints, counts: Ints, dim: int, pair: tuple[int, int], *, level: float = 0.95
) -> tuple[float, float]:
    """Interval of `delta` of two classes that needs no Gaussian classes: every row is left out once, in closed form.

        variance = sum over classes (n_c - 1)/n_c * sum over rows (value without the row - mean)^2

    for the unbiased squared distance, taken as normal. Leaving a row out changes covariance and means by rank one, so all n
    values together cost n r^2 operations.

    Args:
        found: means and residuals of all rows.
        target: class of each row `[n]`.
        counts: rows of each class `[K]`; both classes of the pair need two.
        dim: features d.
        pair: the two classes.
        level: confidence.

    Returns:
        Lower and upper limits of `delta`; the lower one is 0 where the squared distance may be.

    Raises:
        ArgumentError: a class of the pair with one row, or too few degrees of freedom.
    """
    i, j = pair
    if min(counts[i], counts[j]) < 2:
        raise ArgumentError("pair", "classes with at least two rows", f"{counts[i]} and {counts[j]} rows")
    m, r = found.dof, found.residuals
    solved = np.linalg.solve(found.residuals.T @ found.residuals, np.column_stack([found.means[i] - found.means[j]]))[:, 0]
    u = found.means[i] - found.means[j]
    inverse_root = np.linalg.inv(np.linalg.cholesky(r.T @ r))
    h = np.square(r @ inverse_root.T).sum(1)
    p, whole = r @ solved, float(u @ solved)
    sizes = counts[target].astype(np.float64)
    usable = sizes > 1
    step = 1 / np.where(usable, sizes - 1, 1.0)
    sign = np.where(target == i, -1.0, 0.0) + np.where(target == j, 1.0, 0.0)
    # Without the row the difference of means is u + sign * step * r, and the scatter loses sizes * step * r r'.
    quadratic = whole + 2 * sign * step * p + np.square(sign * step) * h
    crossed = p + sign * step * h
    gain = sizes * step
    squares = (m - 1) * (quadratic + gain * crossed**2 / np.maximum(1 - gain * h, 1e-12))
    n_i, n_j = counts[i] - (target == i), counts[j] - (target == j)
    values = debiased(squares, n_i, n_j, dim, m - 1)
    variance = 0.0
    for c in np.flatnonzero(counts > 1):
        mine = values[target == c]
        variance += (counts[c] - 1) / counts[c] * float(np.square(mine - mine.mean()).sum())
    middle = float(debiased(m * whole, counts[i], counts[j], dim, m))
    half = float(quantile((1 + level) / 2)) * np.sqrt(variance)
    return float(np.sqrt(max(middle - half, 0.0))), float(np.sqrt(max(middle + half, 0.0)))


def near_gaussian(found: Within) -> bool:
    """Whether the rows' Mardia kurtosis is what Gaussian classes would give, within `NEAR_NORMAL` standard errors.

    Reference:
        Mardia, Biometrika 57, 1970: with d axes the mean of the squared Mahalanobis distances' squares is d(d+2), with the
        variance 8 d (d+2) / n.
    """
    n, d = found.residuals.shape
    inverse_root = np.linalg.inv(np.linalg.cholesky(found.residuals.T @ found.residuals / n))
    fourth = float(np.square(np.square(found.residuals @ inverse_root.T).sum(1)).mean())
    # Exact mean for the maximum-likelihood covariance of n Gaussian rows about one mean.
    expected = d * (d + 2) * (n - 1) / (n + 1)
    return bool(abs(fourth - expected) <= NEAR_NORMAL * np.sqrt(8 * d * (d + 2) / n))


def eta_interval(n0: float, n1: float, *, level: float = 0.95) -> tuple[float, float]:
    """Interval of the ratio of two classes whose counts are a sample: log(n0/n1) +- z sqrt(1/n0 + 1/n1).

    Args:
        n0: majority rows, above 0.
        n1: minority rows, above 0.
        level: confidence.

    Example:
        >>> low, high = eta_interval(900, 100)
        >>> round(low, 3), round(high, 3)
        (7.32, 11.065)
    """
    half = float(quantile((1 + level) / 2)) * np.sqrt(1 / n0 + 1 / n1)
    return float(n0 / n1 * np.exp(-half)), float(n0 / n1 * np.exp(half))


def auroc_interval(area: float, variance: float, n0: int, n1: int, *, level: float = 0.95) -> tuple[float, float]:
    """Interval of an area under the ROC curve from DeLong's variance, on the scale of logits; exact where nothing overlaps.

    Args:
        area: in [0, 1].
        variance: DeLong's.
        n0: rows of one class.
        n1: rows of the other.
        level: confidence.

    Reference:
        DeLong, DeLong and Clarke-Pearson, Biometrics 44, 1988.

    Departures:
        An area of 1 has DeLong variance 0. The limit is then what the smaller class's rows alone say, each being a trial: all
        of them right has probability area^n, so the lower limit is ((1 - level)/2)^(1/n).

    Example:
        >>> low, high = auroc_interval(0.9, 0.0004, 100, 50)
        >>> round(low, 3), round(high, 3)
        (0.853, 0.933)
    """
    tail = (1 - level) / 2
    surely = tail ** (1 / min(n0, n1))
    if area >= 1:
        return surely, 1.0
    if area <= 0:
        return 0.0, 1 - surely
    logit = np.log(area / (1 - area))
    half = float(quantile(1 - tail)) * np.sqrt(variance) / (area * (1 - area))
    low, high = 1 / (1 + np.exp(-np.clip([logit - half, logit + half], -700.0, 700.0)))
    return float(low), float(high)


def multiclass_recalls(z: Floats) -> tuple[Floats, Floats, Floats]:
    """Recalls of K classes from how surely each beats each other one: lower bound, prediction, upper bound, each `[K]`.

        max(0, 1 - sum_j Phi(-z_ij))  <=  recall_i  <=  min_j Phi(z_ij);      prediction: product over j of Phi(z_ij)

    The bounds hold exactly for jointly normal scores; the product lies between them, and for two classes all three agree.

    Args:
        z: mean over standard deviation of the score of class i against class j, in rows of class i `[K, K]`; the diagonal is
            not read.
    """
    from scipy.special import log_ndtr

    others = np.where(np.eye(z.shape[0], dtype=bool), np.inf, z)
    lower = np.maximum(0.0, 1 - cdf(-others).sum(1))
    middle = np.exp(log_ndtr(others).sum(1))
    upper = cdf(others.min(1))
    return lower, np.clip(middle, lower, upper), np.asarray(upper)
