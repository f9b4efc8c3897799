from __future__ import annotations

import copy
import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from trained_facts import trained_facts

from steelyard.report.diagnosis_page import write_diagnosis
from steelyard.report.models_page import COLUMNS, context, curved_lines, model_lines, models_page, verdict
from steelyard.report.vocabulary import DASH

NASTY = "paid </script><script>alert(1)</script>"
PLOTS = ("map", "eta", "lost", "norms", "angles", "classifier", "classifier-ideal", "means", "means-ideal", "weights")


@pytest.fixture
def facts() -> dict[str, Any]:
    return copy.deepcopy(trained_facts())


def test_the_table_has_a_line_a_model(facts: dict[str, Any]) -> None:
    lines = model_lines(facts)
    assert [line["method"] for line in lines] == ["ce", "inverse-frequency"]
    assert lines[0]["recall"] == f"{100 * facts['models'][0]['groups']['all']['recall']:.1f} %"
    assert all(set(line) == {key for key, _, _ in COLUMNS} for line in lines)


def test_the_headline_names_the_best_model_and_what_it_lost(facts: dict[str, Any]) -> None:
    for number, recall in enumerate((0.2, 0.6)):
        facts["models"][number]["groups"]["few"]["recall"] = recall
    few = facts["groups"]["few"][0]
    facts["models"][1]["classes"][few]["lost"] = {"shift": 0.3, "rows": 0.2, "fit": -0.1}
    said = verdict(facts)
    assert said[0].startswith("inverse-frequency finds 60.0 % of the test rows of few-shot classes")
    assert "Of the 40.0 points" in said[1]
    assert "30.0 would come back" in said[1]
    facts["models"][0]["geometry"]["collapsed"] = True
    assert "In ce the classifiers of few-shot classes point the same way" in verdict(facts)[-1]


@pytest.mark.parametrize(
    ("recalls", "said"),
    [
        ((0.0, 0.0), "None of these models finds any of the test rows of few-shot classes."),
        ((0.0, 0.00004), "None of these models finds any"),
        ((0.4, 0.40001), "All of these models find 40.0 % of the test rows"),
        ((0.1, 0.4), "inverse-frequency finds 40.0 % of the test rows of few-shot classes, the most of these models."),
    ],
)
def test_equal_models_are_not_ranked(facts: dict[str, Any], recalls: tuple[float, float], said: str) -> None:
    for model, recall in zip(facts["models"], recalls, strict=True):
        model["groups"]["few"]["recall"] = recall
    assert verdict(facts)[0].startswith(said)


def test_some_of_the_models_may_be_equal(facts: dict[str, Any]) -> None:
    facts["models"].append(copy.deepcopy(facts["models"][1]) | {"method": "la"})
    for model, recall in zip(facts["models"], (0.1, 0.4, 0.4), strict=True):
        model["groups"]["few"]["recall"] = recall
    assert verdict(facts)[0].startswith("inverse-frequency and la find 40.0 % of the test rows")
    facts["models"] = facts["models"][:1]
    facts["models"][0]["groups"]["few"]["recall"] = 0.0
    assert verdict(facts)[0] == "ce finds none of the test rows of few-shot classes."


def test_what_was_not_measured_is_a_dash_and_a_note(facts: dict[str, Any]) -> None:
    facts["models"][0] |= {"geometry": None, "grams": None, "held_out": None, "embeddings": None, "notes": ["no geometry: why"]}
    shown = context(facts)
    assert shown["lines"][0]["nc1"] == DASH
    assert "ce: no geometry: why" in shown["notes"]
    assert "no geometry: why" in models_page(facts)


def test_curvature_has_a_line_a_group() -> None:
    pytest.importorskip("curvlinops")
    found = trained_facts(curved=True)
    lines = curved_lines(found["models"][0])
    assert {line["part"] for line in lines} == {"many", "medium", "few"}
    assert 'id="spectra"' in models_page(found)


def test_the_page_is_complete_and_escapes_names(facts: dict[str, Any]) -> None:
    for one in facts["models"]:
        one["classes"][0]["name"] = NASTY
    page = models_page(facts)
    assert "<script>alert" not in page
    markup = page.split('<script type="application/json"')[0]
    assert not re.search(r'(?:src|href)="(?!#|data:)', markup)
    for name in PLOTS:
        assert f'id="{name}"' in page
    assert 'id="spectra"' not in page


@pytest.mark.browser
def test_a_browser_draws_everything(facts: dict[str, Any], tmp_path: Path, chromium: str) -> None:
    facts["models"][0]["classes"][0]["name"] = NASTY
    page = write_diagnosis(tmp_path / "out", facts)
    assert json.loads((tmp_path / "out" / "diagnosis.json").read_text())["models"]
    flags = ("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--disable-dev-shm-usage")
    drawn = subprocess.run(
        [
            chromium,
            *flags,
            "--virtual-time-budget=15000",
            f"--user-data-dir={tmp_path / 'profile'}",
            "--dump-dom",
            page.as_uri(),
        ],
        capture_output=True,
        text=True,
        timeout=300,
    ).stdout
    shutil.rmtree(tmp_path / "profile", ignore_errors=True)
    assert 'data-ready="true"' in drawn
    for name in PLOTS:
        assert re.search(
            rf'id="{name}"[^>]*class="[^"]*js-plotly-plot|class="[^"]*js-plotly-plot[^"]*"[^>]*id="{name}"', drawn
        ), name
