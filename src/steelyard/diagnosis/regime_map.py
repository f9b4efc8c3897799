"""The map of the regimes: ratio of the classes against separability."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from steelyard.diagnosis.plain import rounded
from steelyard.diagnosis.regimes import regime_limits

LEAST = 6.0
"""The map reaches to this separability, or beyond that of the data."""

MOST = 20.0
"""Separabilities beyond this are drawn at the upper edge."""

POINTS = 120


def regime_map(deltas: Iterable[float | None]) -> dict[str, Any]:
    """What a picture of the regimes of the Bayes rule needs.

    Args:
        deltas: separabilities that should have room on it; None is left out.

    Returns:
        "delta": a grid; "limits": for "Normal", "Mild" and "Extreme" the decimal logarithms of the ratios up to which the best
        possible classifier is in that regime.

    Example:
        >>> found = regime_map([2.0])
        >>> found["delta"][-1], found["limits"]["Mild"][-1]
        (6.0, 7.817301)
    """
    top = max([LEAST, *(1.15 * min(float(one), MOST) for one in deltas if one is not None)])
    delta = np.linspace(0.05, top, POINTS)
    limits = zip(("Normal", "Mild", "Extreme"), regime_limits(delta), strict=True)
    return {"delta": rounded(delta), "limits": {name: rounded(np.log10(limit)) for name, limit in limits}}
