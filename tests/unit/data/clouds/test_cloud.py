from __future__ import annotations

import numpy as np
import pytest

from steelyard.core.errors import DataError
from steelyard.data.clouds.cloud import Cloud


def test_coordinates_in_utm_keep_their_millimetres() -> None:
    far = np.array([[286_500.123, 4_649_776.456, 12.3], [286_500.125, 4_649_776.458, 12.301]])
    local, corner = Cloud(far).local()
    assert local.dtype == np.float64
    np.testing.assert_allclose(local[1], [0.002, 0.002, 0.001], atol=1e-9)
    np.testing.assert_allclose(corner + local[0], far[0])


@pytest.mark.parametrize(
    ("xyz", "columns", "said"),
    [
        (np.zeros((3, 2)), {}, r"should be \[N, 3\]"),
        (np.zeros((3, 3)), {"label": np.zeros(2)}, "column 'label'"),
    ],
)
def test_what_does_not_fit_together_is_refused(xyz, columns, said) -> None:
    with pytest.raises(DataError, match=said):
        Cloud(xyz, columns)


def test_missing_coordinates_are_counted_and_the_first_is_named() -> None:
    xyz = np.zeros((5, 3))
    xyz[2, 1], xyz[4, 0] = np.nan, np.inf
    with pytest.raises(DataError, match=r"2 of the 5 points .* first is point 3"):
        Cloud(xyz).check()
    with pytest.raises(DataError, match="no points"):
        Cloud(np.zeros((0, 3))).check()


def test_taking_points_takes_their_columns() -> None:
    cloud = Cloud(np.arange(9.0).reshape(3, 3), {"label": np.array([5, 6, 7])})
    taken = cloud.take(np.array([True, False, True]))
    assert taken.columns["label"].tolist() == [5, 7]
    assert taken.xyz[1].tolist() == [6, 7, 8]
    assert cloud.with_columns(more=np.ones(3)).columns.keys() == {"label", "more"}
