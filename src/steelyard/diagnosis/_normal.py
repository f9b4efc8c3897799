"""The normal distribution as the diagnosis needs it: scipy's functions, imported when they are first called."""

from __future__ import annotations

from typing import Any

import numpy as np

from steelyard.metrics.arrays import Floats

SQRT_2PI = float(np.sqrt(2 * np.pi))


def cdf(x: Any) -> Floats:
    """Phi(x)."""
    from scipy.special import ndtr

    return np.asarray(ndtr(x), dtype=np.float64)[()]


def log_cdf(x: Any) -> Floats:
    """Logarithm of Phi(x), also far out on the left."""
    from scipy.special import log_ndtr

    return np.asarray(log_ndtr(x), dtype=np.float64)[()]


def pdf(x: Any) -> Floats:
    """Density of the standard normal distribution; beyond 40 it is 0 to double precision."""
    return np.asarray(np.exp(-0.5 * np.square(np.clip(x, -40.0, 40.0))) / SQRT_2PI, dtype=np.float64)[()]


def quantile(p: Any) -> Floats:
    """The inverse of Phi; infinite at 0 and 1."""
    from scipy.special import ndtri

    return np.asarray(ndtri(p), dtype=np.float64)[()]


def log_tail_ratio(middle: Any, width: Any) -> Floats:
    """Logarithm of Phi(width/2 - middle) / Phi(-width/2 - middle), with the digits that a difference far out would lose."""
    from scipy.special import erfcx

    middle, width = np.broadcast_arrays(np.asarray(middle, dtype=np.float64), np.asarray(width, dtype=np.float64))
    near, far = middle - width / 2, middle + width / 2
    direct = log_cdf(-near) - log_cdf(-far)
    # Phi(-x) = exp(-x^2 / 2) erfcx(x / sqrt 2) / 2, and half the difference of the squares is middle * width.
    root = np.sqrt(2)
    scaled = middle * width + np.log(erfcx(np.maximum(near, -3.0) / root) / erfcx(np.maximum(far, -3.0) / root))
    return np.asarray(np.where(near > -3.0, scaled, direct), dtype=np.float64)[()]
