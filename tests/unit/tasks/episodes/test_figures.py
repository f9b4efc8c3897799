"""Pictures of few-shot episodes: the bias audit as it is printed, and shares of decisions."""

from __future__ import annotations

import numpy as np
import pytest

from steelyard.tasks.episodes import bias_audit
from steelyard.tasks.episodes.figures import audit_figure, ranks_figure


def test_the_audit_is_drawn_with_its_numbers_and_what_theory_expects() -> None:
    made = audit_figure((5, 3, 1), queries=400)
    audit = bias_audit((5, 3, 1), queries=400)
    panel = made["panels"][0]
    assert made["categories"] == list(audit.shares)
    assert [one["name"] for one in panel["series"]] == ["5 shots", "3 shots", "1 shot"]
    for place, one in enumerate(panel["series"]):
        assert one["values"] == [audit.shares[rule][place] for rule in audit.shares]
        for rule, expected in zip(made["categories"], one["expected"], strict=True):
            assert expected == audit.expected[rule][place] if rule in audit.expected else np.isnan(expected)
    assert (panel["level"], panel["percent"], made["by_method"]) == (pytest.approx(1 / 3), True, False)
    assert "400 decisions" in made["note"]


def test_classes_of_equal_support_are_told_apart() -> None:
    names = [one["name"] for one in audit_figure((2, 1, 1), queries=20)["panels"][0]["series"]]
    assert names == ["rank 1: 2 shots", "rank 2: 1 shot", "rank 3: 1 shot"]


def test_shares_of_decisions() -> None:
    proba = np.eye(3)[[0, 0, 0, 2]]
    made = ranks_figure(["rank 1", "rank 2", "rank 3"], proba)
    assert made["by_method"]
    assert made["panels"][0]["series"][0]["values"] == [0.75, 0, 0.25]
    assert made["panels"][0]["level"] == pytest.approx(1 / 3)
