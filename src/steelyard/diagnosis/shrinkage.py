"""A covariance that holds with more features than rows, and the separability that discriminant analysis reaches with it.

Everything is computed from the rows in the axes that they span, so 50,000 features of 200 rows cost as much as 200.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from steelyard.core.errors import ArgumentError
from steelyard.diagnosis.finite_sample import Equivalents
from steelyard.diagnosis.prepare import Within
from steelyard.metrics.arrays import Floats

Shrinkage = Literal["ledoit-wolf", "oas"]


def shrinkage(residuals: Floats, dim: int, kind: Shrinkage = "ledoit-wolf") -> float:
    """Intensity rho of the shrunk covariance (1 - rho) S + rho (tr S / d) I of centred rows.

    Args:
        residuals: rows less the mean of their class `[n, r]`, in any axes that span them.
        dim: features d, at least r.
        kind: "ledoit-wolf", or "oas" (oracle approximating, better for few rows that are near Gaussian).

    Raises:
        ArgumentError: an unknown kind.

    Reference:
        Ledoit and Wolf, Journal of Multivariate Analysis 88, 2004; Chen, Wiesel, Eldar and Hero, IEEE TSP 58(10), 2010.

    Departures:
        The values are scikit-learn's, for which `LedoitWolf` and `OAS` work through d x d matrices; here they come from the
        spectrum of the rows.

    Example:
        >>> rows = np.array([[2.0, 0.0], [-1.0, 1.0], [-1.0, -1.0]])
        >>> round(shrinkage(rows, dim=2), 6), round(shrinkage(rows, dim=2, kind="oas"), 6)
        (1.0, 1.0)
    """
    if kind not in ("ledoit-wolf", "oas"):
        raise ArgumentError("kind", "'ledoit-wolf' or 'oas'", repr(kind))
    n, r = residuals.shape
    cross = residuals @ residuals.T if r > n else residuals.T @ residuals
    trace, square = float(np.trace(cross)) / n, float(np.square(cross).sum()) / n**2
    spread = square - trace**2 / dim
    if spread <= 1e-14 * square:
        # Already a multiple of the identity: every intensity gives the same.
        return 0.0
    if kind == "oas":
        rho = (square / dim**2 + (trace / dim) ** 2) / ((n + 1) * spread / dim**2)
    else:
        fourth = float(np.square(np.square(residuals).sum(1)).sum())
        rho = (fourth / n**2 - square / n) / spread
    return float(np.clip(rho, 0.0, 1.0))


def parts_of(residuals: Floats, dof: int, dim: int, kind: Shrinkage = "ledoit-wolf") -> tuple[float, float]:
    """The shrunk covariance as keep * S + lam * I, with S = residuals' squares over `dof`: (1 - rho, rho tr S / d).

    Args:
        residuals: rows less the mean of their class `[n, r]`.
        dof: degrees of freedom m.
        dim: features d.
        kind: of the shrinkage.
    """
    rho = shrinkage(residuals, dim, kind)
    return 1 - rho, rho * float(np.square(residuals).sum()) / dof / dim


@dataclass(frozen=True)
class Shrunk:
    """What shrinkage LDA does with these rows, pair by pair, from the rows alone.

    Args:
        rho: intensity of the shrinkage.
        equivalents: fields `a` and `c` are matrices over pairs of classes `[K, K]`, `b` and `d` numbers.
        ridge_dof: trace of S over the shrunk covariance, the degrees of freedom that the shrinkage leaves.
    """

    rho: float
    equivalents: Equivalents
    ridge_dof: float


def shrunk(found: Within, counts: Floats, dim: int, kind: Shrinkage = "ledoit-wolf") -> Shrunk:
    """Estimate the equivalents of shrinkage LDA without knowing the covariance.

        Q = (keep S + lam I)^-1,  w the eigenvalues of S,  f = keep tr(S Q)/m,  u = difference of two class means
        B = tr(S Q) / (1-f)                                A = u'Qu - B (1/n_i + 1/n_j)
        D = (tr(S Q S Q) - tr(S Q)^2 / m) / (1-f)^4        C = u'QSQu / (1-f)^2 - D (1/n_i + 1/n_j)

    A and C subtract what the noise of the class means adds; powers of 1/(1-f) correct for S having seen the rows that it is
    applied to. Without shrinkage these are the closed forms of `lda_equivalents` at the unbiased squared distance, but for
    terms of the order 1/m.

    Args:
        found: means and residuals.
        counts: rows of each class `[K]`.
        dim: features d.
        kind: of the shrinkage.

    Reference:
        Deterministic equivalents as in Wang and Jiang, Electronic Journal of Statistics 12(2), 2018; derived here again.
    """
    m = found.dof
    keep, lam = parts_of(found.residuals, m, dim, kind)
    w, axes = np.linalg.eigh(found.covariance())
    w = np.maximum(w, 0.0)
    # Rows that all lie on their class means leave nothing to divide by.
    shape = keep * w + max(lam, 1e-12 * max(float(w[-1]), 1e-12))
    f = min(keep * float((w / shape).sum()) / m, 1 - 1e-9)
    b = float((w / shape).sum()) / (1 - f)
    d = max(float(np.square(w / shape).sum()) - float((w / shape).sum()) ** 2 / m, 0.0) / (1 - f) ** 4
    noise = 1 / counts[:, None] + 1 / counts[None, :]
    means = found.means @ axes
    a = np.maximum(_squared(means / np.sqrt(shape)) - b * noise, 0.0)
    c = np.maximum(_squared(means * np.sqrt(w) / shape) / (1 - f) ** 2 - d * noise, 0.0)
    np.fill_diagonal(a, 0.0)
    np.fill_diagonal(c, 0.0)
    return Shrunk(1 - keep, Equivalents(a, np.asarray(b), c, np.asarray(d)), float((keep * w / shape).sum()))


def _squared(points: Floats) -> Floats:
    """Squared distances between points `[K, K]`."""
    norms = np.square(points).sum(1)
    squares: Floats = np.maximum(norms[:, None] + norms[None, :] - 2 * points @ points.T, 0.0)
    return squares
