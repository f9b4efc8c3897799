from __future__ import annotations

import json

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from steelyard.core.errors import ArgumentError, DataError
from steelyard.diagnosis.noise import label_noise

Arrays = tuple[np.ndarray, np.ndarray, np.ndarray]


def clouds(counts: list[int], rates: list[float], seed: int, apart: float = 4.5) -> Arrays:
    """Rows, labels, true classes; a share of each class carries another label."""
    rng = np.random.default_rng(seed)
    true = np.repeat(np.arange(len(counts)), counts)
    rows = np.eye(len(counts), 6)[true] * apart + rng.normal(size=(len(true), 6))
    given = true.copy()
    for label, rate in enumerate(rates):
        own = np.flatnonzero(true == label)
        wrong = rng.choice(own, round(rate * len(own)), replace=False)
        given[wrong] = (label + rng.integers(1, len(counts), len(wrong))) % len(counts)
    return rows, given, true


LEARNER = LogisticRegression(max_iter=300)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize(
    ("counts", "rates"),
    [([400, 400, 400], [0.1, 0.2, 0.0]), ([1500, 200, 60], [0.02, 0.1, 0.2]), ([800, 800, 80, 80], [0.05, 0.0, 0.1, 0.0])],
)
def test_planted_noise_is_found_at_its_rate(counts: list[int], rates: list[float], seed: int) -> None:
    rows, given, true = clouds(counts, rates, seed)
    found = label_noise(rows, given, classifier=LEARNER, seed=seed)
    wrong = given != true
    for label, one in enumerate(found.classes):
        own = given == label
        tolerance = 0.05 + 2 / np.sqrt(own.sum()) * np.sqrt(wrong[own].mean() * wrong[~own].mean() + 1e-3)
        assert one.share == pytest.approx(wrong[own].mean(), abs=tolerance)
        assert one.interval[0] <= one.share <= one.interval[1]
        assert one.missed == pytest.approx((wrong & (true == label)).sum() / (true == label).sum(), abs=0.07)
    assert found.share == pytest.approx(wrong.mean(), abs=0.03)
    assert wrong[found.suspects].mean() > 0.9
    assert wrong[found.suspects].sum() > 0.65 * wrong.sum()
    right = [suggested == true[row] for row, suggested in zip(found.suspects, found.suggested, strict=True)]
    assert np.mean(right) > 0.9
    np.testing.assert_allclose(found.true_given_label.sum(1), 1)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("counts", [[300, 300], [1000, 100, 12]])
def test_no_alarm_on_clean_rows(counts: list[int], seed: int) -> None:
    rows, given, _ = clouds(counts, [0.0] * len(counts), seed, apart=7)
    found = label_noise(rows, given, classifier=LEARNER, seed=seed)
    assert found.share < 0.002
    assert len(found.suspects) <= 1
    assert max(one.share for one in found.classes) <= 0.01


def test_the_better_classifier_is_taken() -> None:
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(900, 2))
    inside = (np.linalg.norm(rows, axis=1) < 1).astype(int)
    given = inside.copy()
    wrong = np.arange(0, 900, 12)
    given[wrong] = 1 - given[wrong]
    found = label_noise(rows, given)
    assert found.classifier == "gradient boosting"
    assert found.share == pytest.approx(1 / 12, abs=0.04)
    assert np.isin(found.suspects, wrong).mean() > 0.75
    line = label_noise(*clouds([300, 100], [0, 0], 0, apart=1.5)[:2])
    assert line.classifier == "logistic regression"


def test_labels_of_any_kind_and_classes_too_small_to_be_judged() -> None:
    rows, given, _ = clouds([300, 80, 3], [0.1, 0.0, 0.0], 0)
    named = np.array(["cat", "dog", "owl"])[given]
    few = np.flatnonzero(named == "owl")
    named[few[3:]] = "dog"
    found = label_noise(rows, named, classifier=LEARNER)
    assert [one.label for one in found.classes] == ["cat", "dog", "owl"]
    assert found.classes[2].rows == 0
    assert np.isnan(found.classes[2].share)
    assert found.classes[1].confused_with == "cat"
    assert any("owl" in note for note in found.notes)
    assert not np.isin(few[:3], found.suspects).any()
    values = json.loads(found.to_json())
    assert values["classes"][2]["share"] is None
    assert values["suspects"][0] == {"row": int(found.suspects[0]), "suggested": found.suggested[0]}


def test_probabilities_may_be_given() -> None:
    """A confident joint by hand: thresholds .85 and .75, one row of each label that reaches the other's."""
    proba = np.array([[0.99, 0.01]] * 9 + [[0.1, 0.9]] + [[0.02, 0.98]] * 4 + [[0.95, 0.05]])
    given = np.array([0] * 10 + [1] * 5)
    found = label_noise(None, given, proba=proba)
    assert [one.share for one in found.classes] == pytest.approx([0.1, 0.2])
    assert sorted(found.suspects.tolist()) == [9, 14]
    np.testing.assert_allclose(found.true_given_label, [[0.9, 0.1], [0.2, 0.8]])
    assert found.classes[0].interval == pytest.approx((0.017876, 0.404150), abs=1e-6)  # Wilson for 1 of 10
    assert found.classifier == "given"


def test_rows_are_drawn_where_there_are_many() -> None:
    rows, given, true = clouds([6000, 300], [0.01, 0.1], 1)
    found = label_noise(rows, given, classifier=LEARNER, rows=1500)
    assert found.judged < 1800
    assert found.classes[1].rows == 200
    assert found.classes[0].share == pytest.approx((true[given == 0] != 0).mean(), abs=0.03)
    assert found.classes[1].share == pytest.approx((true[given == 1] != 1).mean(), abs=0.07)
    assert any("of 6300 rows" in note for note in found.notes)


def test_overlap_is_said_to_look_like_noise() -> None:
    rng = np.random.default_rng(0)
    found = label_noise(rng.normal(size=(400, 3)), rng.integers(0, 2, 400), classifier=LEARNER)
    assert any("overlap" in note for note in found.notes)
    again = label_noise(rng.normal(size=(400, 3)), rng.integers(0, 2, 400), classifier=LEARNER, seed=3)
    assert again.to_json() != found.to_json()


def test_the_same_again() -> None:
    rows, given, _ = clouds([200, 50], [0.1, 0.1], 0)
    assert label_noise(rows, given, seed=2).to_json() == label_noise(rows, given, seed=2).to_json()


def test_arguments() -> None:
    rows, given, _ = clouds([20, 20], [0, 0], 0)
    with pytest.raises(ArgumentError, match="folds"):
        label_noise(rows, given, folds=1)
    with pytest.raises(ArgumentError, match="one row for each"):
        label_noise(rows[1:], given)
    with pytest.raises(ArgumentError, match=r"\[40, 2\]"):
        label_noise(None, given, proba=np.full((40, 3), 1 / 3))
    with pytest.raises(DataError, match="fewer than two classes"):
        label_noise(rows, np.zeros(40))
