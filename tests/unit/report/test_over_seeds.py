"""Means over seeds of what was found of trained models."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest
from trained_facts import trained_facts

from steelyard.metrics.paired import t_interval
from steelyard.report.models_page import context, model_lines, models_page, numbers_of, verdict
from steelyard.report.over_seeds import over_seeds


@pytest.fixture
def found() -> list[dict[str, Any]]:
    """Three seeds, of which few-shot recall and NC1 differ."""
    made = []
    for seed, recall in enumerate((0.2, 0.3, 0.7)):
        facts = copy.deepcopy(trained_facts()) | {"seed": seed}
        facts["models"][0]["groups"]["few"]["recall"] = recall
        facts["models"][0]["geometry"]["nc1"] = None if seed == 1 else 1.0 + seed
        facts["models"][1]["groups"]["few"]["recall"] = 0.35
        made.append(facts)
    return made


def test_the_table_has_means_with_intervals(found: list[dict[str, Any]]) -> None:
    facts = over_seeds(found, numbers_of)
    mean, _, high = t_interval([0.2, 0.3, 0.7])
    line = model_lines(facts)[0]
    assert line["few"] == f"{100 * mean:.1f} ±{100 * (high - mean):.1f} %"
    assert line["nc1"].startswith("2 ±")  # of the two seeds that have one
    assert facts["models"][0]["over_seeds"]["nc1"] == [1.0, None, 3.0]
    assert verdict(facts)[0].startswith("ce finds 40.0 % of the test rows")  # though not with the first seed


def test_what_is_drawn_is_the_first_seed_s_and_is_said_to_be(found: list[dict[str, Any]]) -> None:
    facts = over_seeds(found, numbers_of)
    assert facts["models"][0]["grams"] == found[0]["models"][0]["grams"]
    shown = context(facts | {"command": "steelyard diagnose runs/mine --all-seeds"})
    assert ("Seeds", "0, 1, 2") in shown["facts"]
    assert "that of seed 0" in shown["notes"][0]
    assert "±" in models_page(facts)
    json.dumps(facts, allow_nan=False)


def test_a_method_that_a_seed_lacks_is_averaged_over_the_others(found: list[dict[str, Any]]) -> None:
    found[1]["models"] = found[1]["models"][1:]
    found[1]["notes"] = ["ce has no finished run"]
    facts = over_seeds(found, numbers_of)
    assert facts["models"][0]["groups"]["few"]["recall"] == pytest.approx(0.45)
    assert "ce has no finished run" in facts["notes"]


def test_one_seed_is_as_it_was(found: list[dict[str, Any]]) -> None:
    facts = over_seeds(found[:1], numbers_of)
    assert model_lines(facts) == model_lines(found[0])
    assert facts["notes"] == found[0]["notes"] and facts["seed"] == "0"
