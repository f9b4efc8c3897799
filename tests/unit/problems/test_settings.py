from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
from torch import nn

from steelyard.core.errors import ArgumentError, UnknownName
from steelyard.problems._settings import ProblemSettings


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"factor": -5}, "factor"),
        ({"factor": 0}, "factor"),
        ({"factor": 0.5}, "factor"),
        ({"factor": math.nan}, "factor"),
        ({"factor": math.inf}, "factor"),
        ({"factor": "100"}, "factor"),
        ({"factor": 2, "class_order": "name"}, "class_order"),
        ({"class_order": "size"}, "class_order"),
        ({"profile": "step"}, "profile"),
        ({"noise": 1.0}, "noise"),
        ({"noise": -0.1}, "noise"),
        ({"noise_kind": "asymmetric"}, "noise_kind"),
        ({"valid_fraction": 1}, "valid_fraction"),
        ({"test_fraction": 0}, "test_fraction"),
        ({"test_fraction": math.nan}, "test_fraction"),
        ({"missing": "mean"}, "missing"),
        ({"resize": 0}, "resize"),
        ({"resize": 10**6}, "resize"),
        ({"max_rows": 0}, "max_rows"),
        ({"residence": "disk"}, "residence"),
        ({"workers": -1}, "workers"),
    ],
)
def test_values_out_of_range_and_settings_that_would_do_nothing(changes: dict[str, Any], named: str) -> None:
    with pytest.raises(ArgumentError) as caught:
        ProblemSettings(**changes)
    assert caught.value.argument == named


@pytest.mark.parametrize(
    "changes",
    [{"factor": 10, "profile": "expo"}, {"noise": 0.1, "noise_kind": "symetric"}, {"factr": 10}, {"task": "image"}],
)
def test_unknown_words_get_a_suggestion(changes: dict[str, Any]) -> None:
    with pytest.raises(UnknownName, match=r"did you mean '(exp|symmetric|factor|images)'"):
        ProblemSettings().replace(**changes)


def test_drop_takes_one_name_or_several() -> None:
    assert ProblemSettings(drop="a").drop == ("a",)  # type: ignore[arg-type]
    assert ProblemSettings(drop=["a", "b"]).drop == ("a", "b")  # type: ignore[arg-type]


def test_settings_survive_json() -> None:
    settings = ProblemSettings(factor=10, drop=("a", "b"), test="x.csv", model_settings={"width": 3})
    assert ProblemSettings(**json.loads(json.dumps(settings.to_json()))) == settings


def test_objects_are_written_by_their_name() -> None:
    written = ProblemSettings(model=nn.Linear(2, 2), test=Path("a/b.csv")).to_json()
    assert (written["model"], written["test"]) == ("Linear", "a/b.csv")
    assert ProblemSettings(model=nn.Linear).to_json()["model"] == "Linear"
