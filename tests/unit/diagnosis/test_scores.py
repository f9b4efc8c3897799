from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import logsumexp
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.metrics import roc_auc_score

from steelyard.diagnosis.prepare import prepare
from steelyard.diagnosis.scores import _components, _folds, _log_odds, discriminant, held_out


def blobs(counts: list[int], d: int, apart: float, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    y = np.repeat(np.arange(len(counts)), counts)
    return rng.normal(size=(y.size, d)) + apart * rng.normal(size=(len(counts), d))[y], y


@settings(max_examples=40)
@given(st.lists(st.integers(0, 4), min_size=1, max_size=8), st.lists(st.integers(0, 4), min_size=1, max_size=8))
def test_components_average_to_the_area(positive: list[int], negative: list[int]) -> None:
    one, two = _components(np.array(positive, float), np.array(negative, float))
    area = roc_auc_score([1] * len(positive) + [0] * len(negative), positive + negative)
    assert one.mean() == pytest.approx(area)
    assert two.mean() == pytest.approx(area)


def test_log_odds_keep_their_digits() -> None:
    scores = np.array([[0.0, 1.0, 2.0], [0.0, -900.0, -901.0], [5.0, 5.0, 5.0]])
    for c in range(3):
        expected = scores[:, c] - logsumexp(np.delete(scores, c, axis=1), axis=1)
        np.testing.assert_allclose(_log_odds(scores)[:, c], np.maximum(expected, -1e4), rtol=0.3)
    np.testing.assert_allclose(
        _log_odds(scores)[[0, 2]], [[s[c] - logsumexp(np.delete(s, c)) for c in range(3)] for s in scores[[0, 2]]]
    )
    assert _log_odds(scores)[1].argmax() == 0
    assert _log_odds(scores[:, :2]).tolist() == [[-1, 1], [900, -900], [0, 0]]


def test_folds_are_stratified_and_keep_single_rows() -> None:
    target = np.repeat([0, 1, 2, 3], [50, 7, 2, 1])
    fold = _folds(target, np.bincount(target), 5, np.random.default_rng(0))
    assert np.bincount(fold[target == 0]).tolist() == [10] * 5
    assert sorted(np.bincount(fold[target == 1], minlength=5)) == [1, 1, 1, 2, 2]
    assert len(set(fold[target == 2])) == 2
    assert fold[target == 3].tolist() == [-1]


def test_the_discriminant_is_scikit_learn_s() -> None:
    X, y = blobs([60, 25, 15], 4, 1.0)
    prepared = prepare(X, y)
    train = np.arange(100) % 2 == 0
    scores = discriminant(prepared, train, prepared.rows[~train], None)
    model = LinearDiscriminantAnalysis(solver="lsqr").fit(prepared.rows[train], y[train])
    # scikit-learn divides by the rows, we by the rows less the classes.
    ratio = (train.sum() - 3) / train.sum()
    priors = np.log(np.bincount(y[train]) / train.sum())
    theirs = (model.decision_function(prepared.rows[~train]) - priors) * ratio + priors
    np.testing.assert_allclose(scores - scores[:, :1], theirs - theirs[:, :1], atol=1e-5)


def test_areas_and_recalls_of_held_out_rows() -> None:
    rng = np.random.default_rng(0)
    y = np.repeat([0, 1], [1500, 500])
    X = rng.normal(size=(2000, 3))
    X[y == 1, 0] += 2
    held = held_out(prepare(X, y), np.array([1, 0]), shrink=None)
    assert held.pair.area == pytest.approx([0.921, 0.921], abs=0.02)
    np.testing.assert_allclose(held.pair.area, held.rest.area)
    # DeLong's variance against that of the area over fresh samples: about 0.0067 squared.
    assert np.sqrt(held.pair.variance[1]) == pytest.approx(0.0067, rel=0.25)
    assert held.recall == pytest.approx([0.94, 0.67], abs=0.06)
    assert (held.share, held.folds) == (0.8, 5)


def test_what_cannot_be_held_out_is_nan() -> None:
    X, y = blobs([20, 10, 1], 3, 3.0)
    held = held_out(prepare(X, y), np.array([1, 0, 0]), shrink="ledoit-wolf")
    assert np.isnan(held.recall).tolist() == [False, False, True]
    assert np.isnan(held.rest.area).tolist() == [False, False, True]


def test_the_same_seed_gives_the_same_numbers() -> None:
    prepared = prepare(*blobs([30, 12], 80, 0.5))
    one, two, other = (held_out(prepared, np.array([1, 0]), shrink="oas", seed=seed) for seed in (3, 3, 4))
    np.testing.assert_array_equal(one.pair.area, two.pair.area)
    assert one.pair.area.tolist() != other.pair.area.tolist()
