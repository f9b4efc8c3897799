from __future__ import annotations

import json

import numpy as np
import pytest

from steelyard.core.errors import DataError
from steelyard.diagnosis import bayes, diagnose, recall_at, regime_limits
from steelyard.diagnosis.sources import Source, array_source


def gaussians(counts: tuple[int, ...], dim: int = 10, delta: float = 2.0, seed: int = 0) -> Source:
    """Class c has its mean `delta` from the origin along axis c - 1; class 0 at the origin."""
    rng = np.random.default_rng(seed)
    y = np.repeat(np.arange(len(counts)), counts)
    X = rng.normal(size=(len(y), dim))
    for c in range(1, len(counts)):
        X[y == c, c - 1] += delta
    return array_source("mine", X, [f"class {c}" for c in y])


@pytest.fixture(scope="module")
def facts() -> dict:
    return diagnose(gaussians((1800, 200)))


def test_facts_are_json_and_name_the_classes(facts: dict) -> None:
    assert json.loads(json.dumps(facts, allow_nan=False)) == facts
    assert [line["name"] for line in facts["classes"]] == ["class 1", "class 0"]
    assert facts["lost"]["minority"] == facts["curve"]["minority"] == "class 1"
    assert facts["data"]["counts"] == [1800, 200]
    assert facts["data"]["eta"] == facts["taxonomy"]["eta"] == 9


def test_the_curves_are_the_closed_forms(facts: dict) -> None:
    curve, delta = facts["curve"], facts["taxonomy"]["delta"]
    eta = np.array(curve["eta"])
    assert abs(delta - 2) < 0.3
    np.testing.assert_allclose(curve["limit"], bayes(eta, delta).minority_recall, atol=1e-6)
    # 1998 degrees of freedom instead of 2000 rows.
    np.testing.assert_allclose(curve["recall"], recall_at(eta, 200.0, delta), atol=2e-3)
    assert (np.diff(curve["recall"]) < 0).all()
    here = curve["eta"].index(curve["point"]["eta"])
    for name in ("recall", "adjusted"):
        assert curve[name][here] == pytest.approx(curve["point"][name], abs=1e-5)
    assert curve["point"]["low"] < curve["point"]["recall"] < curve["point"]["high"]


def test_the_map_has_the_borders_of_the_regimes_and_a_place_a_class(facts: dict) -> None:
    shown = facts["map"]
    limits = regime_limits(np.array(shown["delta"]))
    for name, limit in zip(("Normal", "Mild", "Extreme"), limits, strict=True):
        np.testing.assert_allclose(shown["limits"][name], np.log10(limit), atol=1e-5)
    # At the ratio where these rows lose half of the minority, they do.
    assert recall_at(10 ** shown["half"][60], shown["kappa"], shown["delta"][60]) == pytest.approx(0.5, abs=1e-4)
    assert {place["name"]: place["eta"] for place in shown["places"]} == {"class 0": pytest.approx(1 / 9), "class 1": 9}


def test_more_features_than_rows_have_no_line_of_their_own() -> None:
    facts = diagnose(gaussians((60, 12), dim=200, delta=9.0))
    assert facts["map"]["half"] == []
    assert facts["lost"]["ideal"] is None
    assert facts["taxonomy"]["pairs"][0]["delta_kind"] == "achievable"
    assert len(facts["curve"]["recall"]) == len(facts["curve"]["eta"])
    assert any("do not say how far apart" in line for line in facts["advice"]["also"])


def test_many_classes_are_ordered_by_what_they_lose() -> None:
    facts = diagnose(gaussians((900, 300, 90, 30), delta=3.0))
    recalls = [line["recall"] for line in facts["classes"]]
    assert recalls == sorted(recalls)
    assert facts["classes"][0]["name"] == "class 3"
    assert facts["classes"][0]["confuser"] == "class 0"
    assert facts["classes"][0]["adjusted"] > facts["classes"][0]["recall"] + 0.1
    assert len(facts["map"]["places"]) == 4


def test_adjusting_equal_classes_changes_nothing() -> None:
    for line in diagnose(gaussians((50, 50, 50), delta=2.0))["classes"]:
        assert line["adjusted"] == pytest.approx(line["recall"], abs=1e-12)


def test_two_identical_classes_are_answered() -> None:
    facts = diagnose(gaussians((500, 100), delta=0.0))
    assert any("may well be the same" in line for line in facts["advice"]["cannot"])
    assert facts["advice"]["methods"]


def test_two_rows_a_class_and_a_thousand_classes_are_answered() -> None:
    rng = np.random.default_rng(0)
    X = np.repeat(rng.normal(size=(1000, 8)), 2, axis=0) + 0.1 * rng.normal(size=(2000, 8))
    facts = diagnose(array_source("mine", X, np.repeat(np.arange(1000), 2)))
    assert len(facts["classes"]) == 1000
    assert facts["taxonomy"]["deltas"] is None
    assert json.dumps(facts, allow_nan=False)


def test_rows_that_repeat_across_classes_are_said() -> None:
    source = gaussians((100, 30))
    X = source.X.copy()
    X[100:105] = X[:5]
    facts = diagnose(array_source("mine", X, source.y))
    assert facts["duplicates"]["exact"]["rows_across_classes"] == 10
    assert any("10 rows are the same as one of another class" in note for note in facts["notes"])


def test_wrong_labels_are_counted_where_they_are_asked_for() -> None:
    pytest.importorskip("cleanlab")
    source = gaussians((200, 100), dim=4, delta=6.0)
    y = source.y.copy()
    y[:20] = 1
    facts = diagnose(array_source("mine", source.X, y), noise=True)
    assert 0.03 < facts["noise"]["share"] < 0.12
    assert any("seem wrong" in line for line in facts["advice"]["also"])


def test_accuracy_asks_for_nothing_else() -> None:
    assert diagnose(gaussians((300, 30)), metric="accuracy")["advice"]["methods"][0]["method"] == "ce"


def test_columns_that_do_not_vary_are_refused() -> None:
    with pytest.raises(DataError, match="no column of `X` varies"):
        diagnose(array_source("mine", np.ones((20, 3)), np.arange(20) % 2))
