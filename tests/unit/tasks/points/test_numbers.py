from __future__ import annotations

import math

import numpy as np
import pytest
from sklearn import metrics

from steelyard.core.errors import ArgumentError
from steelyard.tasks.points.numbers import numbers_of


def test_against_scikit_learn() -> None:
    draw = np.random.default_rng(0)
    for classes in (2, 3):
        proba = np.round(draw.dirichlet(np.ones(classes), 300), 1) + 1e-3  # with ties
        target = draw.integers(0, classes, 300)
        for positive in range(classes):
            found = numbers_of(proba, target, positive)
            truth, said = target == positive, proba.argmax(1) == positive
            recall, specificity = metrics.recall_score(truth, said), metrics.recall_score(~truth, ~said)
            assert found["recall"] == pytest.approx(recall)
            assert found["specificity"] == pytest.approx(specificity)
            assert found["g_mean"] == pytest.approx(math.sqrt(recall * specificity))
            assert found["mcc"] == pytest.approx(metrics.matthews_corrcoef(truth, said))
            assert found["auroc"] == pytest.approx(metrics.roc_auc_score(truth, proba[:, positive]))


def test_a_predictor_that_says_leaf_always() -> None:
    target = np.array([0] * 5 + [1] * 95)
    found = numbers_of(np.tile([0.1, 0.9], (100, 1)), target, positive=1)
    assert found == {"recall": 1.0, "specificity": 0.0, "g_mean": 0.0, "mcc": 0.0, "auroc": 0.5}


def test_without_one_side_what_needs_it_is_undefined() -> None:
    found = numbers_of(np.tile([0.1, 0.9], (3, 1)), np.ones(3, int), positive=1)
    assert found["recall"] == 1.0
    assert math.isnan(found["specificity"])
    assert math.isnan(found["g_mean"])
    assert math.isnan(found["auroc"])
    assert found["mcc"] == 0.0
    with pytest.raises(ArgumentError, match="positive"):
        numbers_of(np.ones((1, 2)), np.zeros(1, int), 2)
