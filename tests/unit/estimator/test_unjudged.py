"""What is said where rows that judge have not all classes, and other odd things that a user may hand in."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from sklearn.datasets import make_classification

from steelyard.core.errors import ArgumentError
from steelyard.decisions import Thresholds
from steelyard.estimator import SteelyardClassifier
from steelyard.report.model_page import verdict

SHORT = {"method": "ce", "regime": "tables(epochs=1)", "random_state": 0}


def rows(many: int = 300) -> tuple[np.ndarray, np.ndarray]:
    return make_classification(many, 6, n_informative=4, weights=[0.7], random_state=0)


@pytest.fixture(scope="module")
def model() -> SteelyardClassifier:
    inputs, target = rows()
    return SteelyardClassifier(**SHORT).fit(inputs, np.array(["bad", "ok"])[1 - target])


def test_a_class_of_which_no_row_was_held_out_is_named():
    inputs, target = rows(60)
    target[:] = 0
    target[0] = 1
    few = SteelyardClassifier(**SHORT).fit(inputs, np.array(["no", "yes"])[target])
    assert any("no row of 'yes' was held out" in note for note in few.model_.facts["notes"])
    inputs, target = rows()
    assert not SteelyardClassifier(**SHORT).fit(inputs, target).model_.facts["notes"]


def test_the_verdict_names_classes_without_test_rows():
    test = {
        "per_class": {"support": [500, 0], "recall": [0.4, None], "precision": [1.0, None]},
        "metrics": {"balanced_accuracy": 0.4, "worst_recall": 0.4},
        "intervals": {"balanced_accuracy": [0.3, 0.5]},
    }
    facts = {"test": test, "data": {"class_names": ["no", "yes"], "counts": {"train": [90, 10]}}, "metric": "balanced_accuracy"}
    assert verdict(facts).startswith("On 500 test rows, none of them of 'yes', which is not judged: ")


def test_a_series_of_shares_goes_by_its_labels(model):
    inputs, _ = rows()
    shares = pd.Series({"ok": 0.9, "bad": 0.1})
    wanted = model.predict_proba(inputs, prior=shares.to_dict())
    np.testing.assert_array_equal(model.predict_proba(inputs, prior=shares), wanted)
    np.testing.assert_array_equal(model.predict_proba(inputs, prior=pd.Series([0.1, 0.9])), wanted)
    with pytest.raises(ArgumentError, match="prior"):
        model.predict_proba(inputs, prior=pd.Series({"ok": 0.9, "worse": 0.1}))


def test_a_series_with_numbers_for_labels_is_not_taken_by_place():
    inputs, target = rows()
    numbered = SteelyardClassifier(**SHORT).fit(inputs, target)
    found = numbered.predict_proba(inputs, prior=pd.Series({1: 0.2, 0: 0.8}))
    np.testing.assert_array_equal(found, numbered.predict_proba(inputs, prior=[0.8, 0.2]))


def test_no_rows_tell_no_class_mix(model):
    frame = pd.DataFrame(rows()[0])
    with pytest.raises(ArgumentError, match=r"prior.*no rows"):
        model.model_.predict_proba(frame.set_axis(model.model_.encoder.columns(), axis=1).iloc[:0], prior="em")


@pytest.mark.parametrize("numbers", [True, False])
def test_columns_in_another_order_are_refused(numbers):
    inputs, target = rows()
    frame = pd.DataFrame(inputs) if numbers else pd.DataFrame(inputs, columns=list("abcdef"))
    fitted = SteelyardClassifier(**SHORT).fit(frame, target)
    fitted.predict(frame)
    with pytest.raises(ValueError, match="order"):
        fitted.predict(frame[frame.columns[::-1]])


@pytest.mark.parametrize(("found", "match"), [(np.nan, "NaN for all"), (None, "None"), ("x", "x")])
def test_a_metric_that_gives_no_number_is_named(found, match):
    proba = np.random.default_rng(0).dirichlet([1, 1], 50)
    with pytest.raises(ArgumentError, match=rf"metric.*{match}"):
        Thresholds.for_metric(proba, (proba[:, 1] > 0.5).astype(int), lambda target, decided: found)


def test_a_judge_that_gives_no_number_is_named():
    inputs, target = rows()
    with pytest.raises(ArgumentError, match=r"metric.*'x'"):
        SteelyardClassifier(**SHORT, metric=lambda proba, target: "x").fit(inputs, target)


def test_a_cost_that_is_not_finite_is_shown():
    inputs, target = rows()
    with pytest.raises(ArgumentError, match=r"decision.*nan"):
        SteelyardClassifier(**SHORT, decision=[[0, np.nan], [1, 0]]).fit(inputs, target)
