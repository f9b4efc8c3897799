from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from diagnosed import diagnosed

from steelyard.core.errors import DataError, SteelyardError
from steelyard.report.diagnosis_page import (
    MOST_CLASSES,
    MOST_COLUMNS,
    class_line,
    context,
    headline_facts,
    lost_lines,
    percent,
    verdict,
    write_diagnosis,
    write_diagnosis_report,
)

NASTY = "paid </script><script>alert(1)</script>"


@pytest.fixture(scope="module")
def two() -> dict[str, Any]:
    return diagnosed()


def data_of(page: str) -> dict[str, Any]:
    found = re.search(r'<script type="application/json" id="data">(.*?)</script>', page, re.DOTALL)
    assert found is not None
    return dict(json.loads(found.group(1)))


def test_the_headline_gives_the_recall_of_the_class_that_is_worst_off(two: dict[str, Any]) -> None:
    worst = two["classes"][0]
    assert worst["name"] == "class 1"
    said = verdict(two)
    assert said.startswith(two["taxonomy"]["regime"])
    assert f"find {100 * worst['recall']:.1f} % of 'class 1'" in said
    assert f"and {100 * worst['adjusted']:.1f} % once" in said


def test_the_headline_says_where_rows_held_out_disagree(two: dict[str, Any]) -> None:
    assert "Rows held out" not in verdict(two)
    off = [{**two["classes"][0], "held_out": 1.0}, *two["classes"][1:]]
    assert "Rows held out say 100.0 %" in verdict(two | {"classes": off})
    assert "Rows held out" not in verdict(two | {"classes": [{**off[0], "held_out": None}]})


def test_the_headline_says_how_little_is_known_of_many_classes(two: dict[str, Any]) -> None:
    assert "between" not in verdict(two)
    loose = {**two["classes"][0], "recall": 0.0, "recall_low": 0.0, "recall_high": 0.8, "held_out": 0.3}
    assert "0.0 % of 'class 1' (between 0.0 % and 80.0 %)" in verdict(two | {"classes": [loose]})


def test_the_scales_are_given_with_their_intervals(two: dict[str, Any]) -> None:
    shown = dict(headline_facts(two))
    low, high = two["taxonomy"]["intervals"]["delta"]
    assert shown["eta, largest class to smallest"].startswith("9 (")
    assert f"({low:.3g} to {high:.3g})" in shown["delta, distance of the means"]
    assert shown["Rows"] == "200"
    sampled = two | {"data": {**two["data"], "rows": 5000}}
    assert dict(headline_facts(sampled))["Rows"] == "5,000, 200 of them measured"


def test_the_lost_recall_is_left_out_where_it_is_not_known(two: dict[str, Any]) -> None:
    assert [line["name"] for line in lost_lines(two)] == ["prior", "count_bias", "estimation"]
    assert lost_lines(two)[0]["share"] == percent(two["lost"]["prior"])
    unknown = two | {"lost": {**two["lost"], "ideal": None, "estimation": None}}
    assert lost_lines(unknown) == []
    assert 'id="lost"' not in rendered(unknown)


def rendered(facts: dict[str, Any]) -> str:
    from steelyard.report.diagnosis_page import SCRIPTS
    from steelyard.report.html import render

    return render("diagnosis.html", SCRIPTS, context(facts))


def test_bounds_are_shown_where_there_are_any() -> None:
    line = diagnosed((90, 60, 20))["classes"][0]
    assert re.fullmatch(r"\d+\.\d % \(\d+ to \d+\)", class_line(line)["recall"])
    assert class_line({**line, "recall_low": line["recall"], "recall_high": line["recall"]})["recall"] == percent(
        line["recall"]
    )


def test_a_folder_has_the_numbers_and_the_page(tmp_path: Path, two: dict[str, Any]) -> None:
    page = write_diagnosis(tmp_path / "new" / "folder", two)
    assert page == tmp_path / "new" / "folder" / "report.html"
    assert json.loads((page.parent / "diagnosis.json").read_text(encoding="utf-8")) == two
    text = page.read_text(encoding="utf-8")
    assert not re.search(r'(src|href)="(?!data:|#)', text.split('<script type="application/json"')[0])
    assert data_of(text)["curve"] == two["curve"]
    for one in two["advice"]["methods"]:
        assert one["method"] in text
    assert two["advice"]["also"][0].replace("'", "&#39;") in text


def test_names_cannot_leave_their_place() -> None:
    facts = diagnosed(names=("no", NASTY))
    facts["data"]["columns"] = [{"name": NASTY, "kind": "number", "missing": 0.5, "used": False, "note": NASTY}]
    page = rendered(facts)
    assert "<script>alert" not in page
    assert NASTY in {place["name"] for place in data_of(page)["map"]["places"]}


def test_of_many_classes_and_columns_the_page_shows_some() -> None:
    facts = diagnosed(tuple([30] * 60), delta=3.0)
    column = {"name": "a", "kind": "number", "missing": 0.0, "used": True, "note": ""}
    facts["data"]["columns"] = [
        *({**column, "name": f"a{i}"} for i in range(MOST_COLUMNS)),
        {**column, "name": "gone", "used": False},
    ]
    shown = context(facts)
    assert shown["cut"]
    assert len(shown["classes"]) == MOST_CLASSES
    assert shown["columns"][0]["name"] == "gone"
    assert (len(shown["columns"]), shown["more_columns"]) == (MOST_COLUMNS, 1)


def test_what_cannot_be_written_or_read_is_told(tmp_path: Path, two: dict[str, Any]) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(SteelyardError, match="cannot be written"):
        write_diagnosis(tmp_path / "file", two)
    with pytest.raises(DataError, match="steelyard diagnose"):
        write_diagnosis_report(tmp_path)
    (tmp_path / "diagnosis.json").write_text("{")
    with pytest.raises(DataError, match="diagnose the data again"):
        write_diagnosis_report(tmp_path)
