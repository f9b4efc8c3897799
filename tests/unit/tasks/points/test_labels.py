from __future__ import annotations

import numpy as np
import pytest

from steelyard.core.errors import ArgumentError, DataError
from steelyard.data.clouds import Cloud
from steelyard.tasks.points.labels import find_labels


def cloud(**columns: list) -> Cloud:
    arrays = {name: np.array(values) for name, values in columns.items()}
    return Cloud(np.zeros((len(next(iter(arrays.values()))), 3)), arrays, "scan")


def test_the_usual_columns_are_found() -> None:
    both = cloud(classification=[0, 0, 0], Label=[3, 3, 1])
    assert find_labels([both], None, (), ()).column == "Label"
    found = find_labels([cloud(classification=[1, 2, 2])], None, (), ())
    assert (found.column, found.names) == ("classification", ("1", "2"))
    assert find_labels([cloud(WL=[2, 1, 2])], None, (), ()).names == ("wood", "leaf")


def test_values_become_classes_and_others_none() -> None:
    scan = cloud(kind=[2.0, 1.0, 7.0, np.nan, 0.0])
    found = find_labels([scan], "kind", ("1:wood", "2:leaf", "0:ground"), ("ground",))
    assert found.names == ("wood", "leaf")
    label, kept = found.of(scan)
    assert label.tolist() == [1, 0, -1, -1, -1]
    assert kept.tolist() == [True, True, True, True, False]
    words = find_labels([cloud(kind=["leaf", "wood", "ground"])], "kind", (), ("ground",))
    assert words.values == ("leaf", "wood")


@pytest.mark.parametrize(
    ("columns", "asked", "classes", "error", "said"),
    [
        ({"intensity": [1, 2]}, None, (), DataError, r"no labels .* \(intensity\)"),
        ({"label": [1, 1]}, None, (), DataError, "has two values"),
        ({"label": [1, 1]}, "label", (), DataError, "'1' alone"),
        ({"label": [1, 2]}, "kind", (), DataError, "no column 'kind'"),
        ({"label": [1, 2]}, None, ("wood",), ArgumentError, "classes"),
        ({"gps": list(range(200))}, "gps", (), DataError, "200 different values"),
    ],
)
def test_what_cannot_be_learnt_from(columns, asked, classes, error, said) -> None:
    with pytest.raises(error, match=said):
        find_labels([cloud(**columns)], asked, classes, ())
