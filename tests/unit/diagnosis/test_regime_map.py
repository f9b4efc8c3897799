from __future__ import annotations

import numpy as np
import pytest

from steelyard.diagnosis import regime_limits
from steelyard.diagnosis.regime_map import LEAST, MOST, regime_map


def test_the_limits_are_those_of_the_regimes() -> None:
    found = regime_map([2.0, None])
    limits = regime_limits(np.array(found["delta"]))
    for name, limit in zip(("Normal", "Mild", "Extreme"), limits, strict=True):
        assert found["limits"][name] == pytest.approx(np.log10(limit), abs=1e-3)


@pytest.mark.parametrize(("deltas", "top"), [([], LEAST), ([10.0], 11.5), ([500.0], 1.15 * MOST)])
def test_it_has_room_for_the_data_but_not_for_endless_distances(deltas: list[float], top: float) -> None:
    assert regime_map(deltas)["delta"][-1] == pytest.approx(top)
