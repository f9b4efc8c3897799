from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from steelyard.diagnosis.gaussian import bayes
from steelyard.diagnosis.regimes import regime, regime_limits

NAMES = ("Normal", "Mild", "Extreme", "Catastrophic")


@pytest.mark.parametrize(
    ("delta", "limits"),
    [(1, (1.148, 1.649, 8.541)), (2, (1.459, 7.389, 198.3)), (3, (2.526, 90.02, 1.251e4)), (4, (8.825, 2981, 2.147e6))],
)
def test_known_limits(delta: float, limits: tuple[float, ...]) -> None:
    np.testing.assert_allclose([float(limit) for limit in regime_limits(delta)], limits, rtol=4e-4)


@given(st.floats(0.05, 5), st.sampled_from([0, 1, 2]))
def test_the_name_changes_at_the_limits(delta: float, which: int) -> None:
    limits = [float(limit) for limit in regime_limits(delta)]
    balanced = float(bayes(1, delta).minority_recall)

    def name(eta: float) -> int:
        return NAMES.index(regime(float(bayes(eta, delta).minority_recall), balanced))

    assert limits == sorted(limits)
    assert name(limits[which] * 0.9999) <= which < name(limits[which] * 1.0001)


def test_identical_classes() -> None:
    assert regime(0.5, 0.5) == "Normal"
    assert regime(0.0, 0.5) == "Catastrophic"
