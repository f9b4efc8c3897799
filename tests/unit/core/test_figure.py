from __future__ import annotations

import json

import numpy as np
import pytest

from steelyard.bench.records import to_plain
from steelyard.core.errors import ArgumentError
from steelyard.core.figure import Panel, bars, cloud


def test_bars_are_values_that_json_holds_with_gaps_where_nothing_is_known() -> None:
    panel = Panel("share", {"a": np.array([0.5, np.nan]), "b": [1, 0]}, {"b": (0.9, 0.1)}, level=0.5, percent=True)
    made = json.loads(json.dumps(to_plain(bars("T", "N.", x="class", categories=("one", "two"), panels=[panel]))))
    assert (made["form"], made["by_method"], made["x"], made["categories"]) == ("bars", False, "class", ["one", "two"])
    assert made["panels"] == [
        {
            "label": "share",
            "percent": True,
            "level": 0.5,
            "series": [
                {"name": "a", "values": [0.5, None], "expected": None},
                {"name": "b", "values": [1, 0], "expected": [0.9, 0.1]},
            ],
        }
    ]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"categories": []}, "`categories` should be at least one"),
        ({"panels": []}, "`panels` should be at least one"),
        ({"panels": [Panel("p", {"": [1, 2, 3]})]}, "2 numbers a series"),
        ({"panels": [Panel("p", {"": [1, 2]}, {"": [1]})]}, "2 numbers a series"),
        ({"panels": [Panel("p", {"": [1, 2]}, {"other": [1, 2]})]}, "of a series that is there"),
        ({"panels": [Panel("p", {})]}, "with a series"),
        ({"panels": [Panel("p", {"a": [1, 2]})], "by_method": True}, 'one series named ""'),
        ({"panels": [Panel("p", {"": [1, 2]}, {"": [1, 2]})], "by_method": True}, "nothing expected"),
    ],
)
def test_bars_that_cannot_be_drawn_are_refused(changes: dict, said: str) -> None:
    settings = {"x": "x", "categories": ["a", "b"], "panels": [Panel("p", {"": [1, 2]})]}
    assert bars("T", "N", **settings)["panels"]
    with pytest.raises(ArgumentError, match=said):
        bars("T", "N", **settings | changes)


POINTS = {"xyz": np.zeros((2, 3)), "classes": ("wood", "leaf"), "true": [0, 1], "decided": [1, 1], "whole": 5}


def test_a_cloud_is_values_that_json_holds() -> None:
    made = json.loads(json.dumps(to_plain(cloud("T", "N.", **POINTS))))
    assert made == {
        "form": "cloud", "title": "T", "note": "N.", "xyz": [[0, 0, 0], [0, 0, 0]], "classes": ["wood", "leaf"],
        "true": [0, 1], "decided": [1, 1], "whole": 5,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"xyz": np.zeros((3, 3))}, "3, 2 and 2"),
        ({"xyz": [], "true": [], "decided": []}, "at least one point"),
        ({"true": [0, 2]}, "classes from 0 to 1"),
        ({"decided": [-1, 0]}, "classes from 0 to 1"),
    ],
)
def test_points_without_a_place_or_a_name_are_refused(changes: dict, said: str) -> None:
    with pytest.raises(ArgumentError, match=said):
        cloud("T", "N", **POINTS | changes)
