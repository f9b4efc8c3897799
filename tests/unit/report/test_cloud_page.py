from __future__ import annotations

import dataclasses
import json
import re
from pathlib import Path

import numpy as np
import pytest

from steelyard.core.errors import SteelyardError
from steelyard.report import cloud_page
from steelyard.report.cloud_page import Labelled, context, write_cloud_report


@pytest.fixture
def found() -> Labelled:
    proba = np.array([[0.9, 0.1], [0.4, 0.6], [np.nan, np.nan], [0.2, 0.8]], np.float32)
    xyz = np.array([[286_500.0, 4_649_776, 3]]) + np.arange(12.0).reshape(4, 3)
    return Labelled(
        "<plot>.laz", xyz, np.array([0, 1, -1, 1]), proba, ("wood", "leaf"), "method soul", "steelyard segment",
        {"leaf_recall": 0.5, "leaf_auroc": float("nan")},
    )  # fmt: skip


def test_the_page_is_whole_and_says_what_was_found(found: Labelled, tmp_path: Path) -> None:
    text = write_cloud_report(tmp_path / "a.html", found).read_text()
    head = text[: text.index('id="data"')]
    assert "3 points: 66.7 % leaf, 33.3 % wood." in head
    assert "&lt;plot&gt;.laz" in head
    assert "<plot>" not in text
    assert head.count("data:image/png;base64,") == 3
    assert "Of 33.3 % of the points the model is less than 75 % sure" in head
    assert "leaf recall" in head
    assert "0.5000" in head
    assert "1 points were left out" in head
    assert not re.search(r'(?:src|href)="(?!data:|#)', head)
    data = json.loads(re.search(r'<script type="application/json" id="data">(.*?)</script>', text, re.DOTALL)[1])
    assert [(group["name"], len(group["x"])) for group in data["groups"]] == [("wood", 1), ("leaf", 2)]
    assert data["groups"][1]["x"] == [3, 9]  # from the lowest corner


def test_without_labels_there_are_no_numbers(found: Labelled) -> None:
    assert context(dataclasses.replace(found, numbers={}))["numbers"] == []


def test_many_points_are_thinned_for_turning_only(found: Labelled, monkeypatch) -> None:
    monkeypatch.setattr(cloud_page, "MOST_POINTS", 2)
    told = context(found)
    assert told["data"]["cut"]
    assert sum(len(group["x"]) for group in told["data"]["groups"]) == 2
    assert told["verdict"].startswith("3 points")


def test_a_page_that_cannot_be_written(found: Labelled, tmp_path: Path) -> None:
    with pytest.raises(SteelyardError, match="cannot be written"):
        write_cloud_report(tmp_path / "no" / "a.html", found)
