from __future__ import annotations

import base64
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from steelyard.report import figures as module
from steelyard.report.figures import figures
from steelyard.report.page import context
from steelyard.report.store import Run, read

Fabricate = Callable[..., Path]


def bars(values: list[Any], *, by_method: bool = False, **more: Any) -> dict[str, Any]:
    panel = {"label": "share", "percent": True, "level": 0.5, "series": [{"name": "", "values": values, "expected": None}]}
    return {
        "form": "bars", "title": "T", "note": "N.", "x": "class", "categories": ["a", "b"], "by_method": by_method,
        "panels": [panel],
    } | more  # fmt: skip


def cloud(decided: list[int], **more: Any) -> dict[str, Any]:
    xyz = [[100.0, 0, 0], [104.0, 2, 1]]
    return {
        "form": "cloud", "title": "T", "note": "N.", "classes": ["wood", "x"], "xyz": xyz, "true": [0, 1], "decided": decided,
        "whole": 9,
    } | more  # fmt: skip


def runs(**found: dict[str, Any]) -> list[Run]:
    """Runs by "method_seed"."""
    return [Run(name.split("_")[0], int(name.split("_")[1]), {}, [], {"one": figure}) for name, figure in found.items()]


def unpacked(text: str) -> list[int]:
    return np.frombuffer(base64.b64decode(text), "<u2").tolist()


def test_what_is_the_same_in_all_runs_is_shown_once() -> None:
    (made,), notes = figures(runs(ce_0=bars([0.25, None]), la_0=bars([0.25, None])))
    assert notes == []
    assert (made["form"], made["title"], made["note"], made["x"], made["size"]) == ("bars", "T", "N.", "class", 1)
    assert [(view["method"], view["seed"], view["categories"]) for view in made["views"]] == [(None, None, ["a", "b"])]
    series = [{"name": "", "values": [0.25, None], "expected": None}]
    assert made["views"][0]["panels"] == [{"label": "share", "percent": True, "level": 0.5, "series": series}]


def test_runs_that_differ_can_be_chosen_and_need_not_have_the_same_categories() -> None:
    longer = bars([1, 2, 3], categories=["a", "b", "c"])
    (made,), notes = figures(runs(ce_0=bars([0.1, 0.2]), ce_1=longer, la_0=bars([0.3, 0.4])))
    assert notes == []
    assert [(v["method"], v["seed"], len(v["categories"])) for v in made["views"]] == [("ce", 0, 2), ("ce", 1, 3), ("la", 0, 2)]


def test_methods_side_by_side_have_the_mean_and_the_reach_of_their_seeds() -> None:
    given = runs(
        ce_0=bars([0.1, None], by_method=True), ce_1=bars([0.3, 0.2], by_method=True), la_0=bars([0.5, 0.6], by_method=True)
    )  # fmt: skip
    (made,), notes = figures(given)
    assert notes == []
    assert made["form"] == "methods"
    assert made["methods"]["ce"] == [{"mean": [0.2, 0.2], "low": [0.1, 0.2], "high": [0.3, 0.2]}]
    assert made["methods"]["la"] == [{"mean": [0.5, 0.6]}]


def test_a_cloud_is_stored_once_with_the_classes_that_each_run_decided() -> None:
    other = cloud([0, 0], xyz=[[0, 0, 0], [1, 1, 1]])
    (made,), notes = figures(runs(ce_0=cloud([0, 1]), ce_1=cloud([1, 1]), la_0=other))
    assert notes == []
    assert [(v["method"], v["seed"], v["cloud"], unpacked(v["decided"])) for v in made["views"]] == [
        ("ce", 0, 0, [0, 1]),
        ("ce", 1, 0, [1, 1]),
        ("la", 0, 1, [0, 0]),
    ]
    first, second = made["clouds"]
    assert (first["x"], first["y"], first["z"], first["whole"]) == ([-2, 2], [-1, 1], [-0.5, 0.5], 9)
    assert unpacked(first["true"]) == [0, 1]
    assert second["x"] == [-0.5, 0.5]
    assert made["colours"][0] == "#a8470e"  # wood is brown on every page
    assert len(set(made["colours"])) == 2


def test_of_very_many_clouds_the_first_seed_of_each_method_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PACKED", 20)
    (made,), _ = figures(runs(ce_3=cloud([0, 1]), ce_1=cloud([1, 1]), la_3=cloud([0, 0]), la_1=cloud([1, 0])))
    assert [(view["method"], view["seed"]) for view in made["views"]] == [("ce", 3), ("la", 3)]


@pytest.mark.parametrize(
    "broken",
    [
        {},
        {"form": "pie"},
        bars([1]),
        bars([1, 2], panels=[]),
        bars([1, 2], panels=["a"]),
        bars([1, 2], panels=[{"series": [{"values": "ab"}]}]),
        bars([1, 2], categories=[]),
        cloud([0, 1], xyz=[[0, 0], [1, 1]]),
        cloud([0, 1], xyz=[[0, 0, None], [1, 1, 1]]),
        cloud([0, 2]),
        cloud([0]),
        cloud([0, 1], classes=[]),
    ],
)
def test_what_cannot_be_drawn_is_left_out_with_a_note(broken: dict[str, Any]) -> None:
    made, notes = figures(runs(ce_0=bars([0.1, 0.2]), la_0=broken, la_1=bars([0.3, 0.2])))
    assert [(view["method"], view["seed"]) for view in made[0]["views"]] == [("ce", 0), ("la", 1)]
    said = ["The picture 'one' of la (seed 0) cannot be drawn, or not with the others, and is left out."]
    assert notes == said
    assert figures(runs(la_0=broken)) == ([], said)


def test_pictures_of_another_form_than_the_first_are_left_out() -> None:
    others = {"la_0": bars([1, 2], by_method=True), "la_1": cloud([0, 1]), "la_2": bars([1, 2])}
    made, notes = figures(runs(ce_0=bars([0.1, 0.2]), **others))
    assert [(view["method"], view["seed"]) for view in made[0]["views"]] == [("ce", 0), ("la", 2)]
    assert "of la (seed 0) and la (seed 1) cannot" in notes[0]


def test_runs_without_pictures_have_none() -> None:
    assert figures([Run("ce", 0, {}, [])]) == ([], [])


def test_a_folder_with_pictures(fabricate: Fabricate, tmp_path: Path) -> None:
    out = fabricate(tmp_path, methods=5, seeds=2, epochs=2, pictured=True, unfinished=(("la", 1),))
    (out / "runs" / "ce-0" / "figures.json").write_text("[1")
    shown = context(read(out))
    assert [figure["form"] for figure in shown["data"]["figures"]] == ["bars", "methods", "cloud", "bars"]
    assert [view["method"] for view in shown["data"]["figures"][3]["views"]] == ["focal", "focal"]
    assert any("figures.json cannot be read" in note for note in shown["notes"])
    json.dumps(shown["data"], allow_nan=False)


def test_a_folder_from_before_there_were_pictures(fabricate: Fabricate, tmp_path: Path) -> None:
    assert context(read(fabricate(tmp_path, methods=2, epochs=2)))["data"]["figures"] == []
