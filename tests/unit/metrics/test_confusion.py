"""Metrics of decisions against scikit-learn, torchmetrics and loops."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn import metrics as sk

from steelyard import metrics
from steelyard.core.errors import ArgumentError
from steelyard.metrics.confusion import CONFUSION_METRICS, Tally, confusion_metric, group_recall, tally

CLASSES = 4
labels = arrays(np.int64, st.shared(st.integers(1, 40), key="rows"), elements=st.integers(0, CLASSES - 1))


@given(decided=labels, truth=labels)
def test_metrics_agree_with_scikit_learn_over_classes_with_rows(decided: np.ndarray, truth: np.ndarray) -> None:
    present = np.unique(truth)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # scikit-learn warns of what we say in a note
        assert metrics.accuracy(decided, truth) == pytest.approx(sk.accuracy_score(truth, decided))
        assert metrics.balanced_accuracy(decided, truth) == pytest.approx(sk.balanced_accuracy_score(truth, decided))
        f1 = sk.f1_score(truth, decided, labels=present, average="macro", zero_division=0)
        assert metrics.macro_f1(decided, truth) == pytest.approx(f1)
        assert metrics.mcc(decided, truth) == pytest.approx(sk.matthews_corrcoef(truth, decided), abs=1e-12)
        recall = sk.recall_score(truth, decided, labels=present, average=None, zero_division=0)
        precision = sk.precision_score(truth, decided, labels=present, average=None, zero_division=0)
    assert metrics.g_mean(decided, truth) == pytest.approx(np.prod(recall) ** (1 / len(present)))
    assert metrics.worst_recall(decided, truth) == pytest.approx(recall.min())
    assert metrics.zero_recall_classes(decided, truth) == (recall == 0).sum()
    expected = sk.confusion_matrix(truth, decided, labels=range(CLASSES))
    assert (metrics.confusion_matrix(decided, truth, CLASSES) == expected).all()
    per_class = metrics.evaluate(np.eye(CLASSES)[decided], truth).per_class
    assert np.array(per_class["recall"])[present] == pytest.approx(recall)
    assert np.array(per_class["precision"])[present] == pytest.approx(precision)
    assert np.isnan(np.delete(per_class["precision"], present)).all()


@given(decided=labels, truth=labels)
def test_the_number_of_resamples_is_a_leading_dimension(decided: np.ndarray, truth: np.ndarray) -> None:
    one = tally(metrics.confusion_matrix(decided, truth, CLASSES))
    many = Tally(np.stack([one.right] * 3), np.stack([one.said] * 3), one.truth)
    members = {"many": (0,), "medium": (1,), "few": (2, 3)}
    for name in (*CONFUSION_METRICS, "many_recall", "medium_recall", "few_recall"):
        expected = confusion_metric(name, one, members)
        assert np.array_equal(confusion_metric(name, many, members), np.stack([expected] * 3), equal_nan=True), name


def test_a_group_without_rows_is_undefined_and_not_zero() -> None:
    counted = tally(np.array([[3, 1, 0], [1, 1, 0], [0, 0, 0]]))
    assert np.isnan(group_recall(counted, ()))
    assert np.isnan(group_recall(counted, (2,)))
    assert group_recall(counted, (1, 2)) == 0.5
    assert group_recall(counted, (0, 1, 2)) == pytest.approx((0.75 + 0.5) / 2)


def test_scores_decide_by_their_largest_the_first_of_equals() -> None:
    scores = torch.tensor([[1.0, 1.0, 0.0], [-5.0, 2.0, 3.0]])
    assert metrics.confusion_matrix(scores, torch.tensor([0, 2])).diagonal().tolist() == [1, 0, 1]


def test_tensors_of_any_dtype_are_taken() -> None:
    truth = torch.tensor([0, 1, 1, 0], dtype=torch.int32)
    proba = torch.tensor([[0.75, 0.25], [0.25, 0.75], [0.5, 0.5], [1.0, 0.0]], dtype=torch.bfloat16, requires_grad=True)
    assert metrics.accuracy(proba, truth) == metrics.evaluate(proba, truth).values["accuracy"] == 0.75


@pytest.mark.parametrize(
    ("prediction", "target", "named"),
    [
        ([0, 1], [0, 1, 1], "prediction"),
        ([0, -1], [0, 1], "prediction"),
        ([0.5, 1.0], [0, 1], "prediction"),
        ([], [], "prediction"),
        ([[0.1, np.nan]], [0], "prediction"),
        ([[0.1, 0.9]], [2], "target"),
        ([0, 1], ["a", "b"], "target"),
    ],
)
def test_bad_input_is_named(prediction: list[float], target: list[int], named: str) -> None:
    with pytest.raises(ArgumentError, match=f"`{named}`"):
        metrics.accuracy(prediction, target)
