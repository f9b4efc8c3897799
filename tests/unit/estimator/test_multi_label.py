"""The multi-label classifier: scikit-learn's conventions, and what it decides."""

from __future__ import annotations

import pickle
import warnings

import numpy as np
import pandas as pd
import polars as pl
import pytest
import torch
from scipy.sparse import csr_matrix
from sklearn.base import clone
from sklearn.datasets import make_multilabel_classification
from sklearn.exceptions import NotFittedError
from sklearn.metrics import average_precision_score, f1_score
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import check_estimator

import steelyard as sy
from steelyard import Regime, SteelyardMultiLabelClassifier
from steelyard.decisions import LabelThresholds
from steelyard.estimator.label_model import LabelModel, train_labels
from steelyard.tasks.multi_label.rows import log_odds

QUICK = Regime(epochs=4, batch_size=64, optimizer="adamw", lr=0.02)
ONE_CLASS_A_ROW = dict.fromkeys(
    [
        "check_estimators_dtypes", "check_classifier_data_not_an_array", "check_classifiers_classes", "check_classifiers_train",
        "check_decision_proba_consistency", "check_classifier_not_supporting_multiclass",
    ],
    "the check gives a class a row, or classes other than 0 and 1, whatever the tags say",
)  # fmt: skip

NOT_APPLICABLE = {"check_array_api_input", "check_classifiers_multilabel_output_format_decision_function"}


def quick(method="ce", **settings):
    return SteelyardMultiLabelClassifier(method, **{"regime": QUICK, "model": "mlp", "random_state": 0} | settings)


@pytest.fixture(scope="module")
def data():
    X, Y = make_multilabel_classification(260, 8, n_classes=4, n_labels=2, random_state=1)
    keep = np.random.default_rng(0).random(Y.shape) < [1, 0.6, 0.4, 0.3]
    return X, Y * keep


@pytest.fixture(scope="module")
def fitted(data):
    return quick(n_seeds=2).fit(*data)


def test_scikit_learn_finds_no_unexplained_fault():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        results = check_estimator(
            quick(decision=0.5, regime=QUICK.replace(epochs=2)), expected_failed_checks=ONE_CLASS_A_ROW, on_skip=None
        )
    status = {one["check_name"]: one["status"] for one in results}
    assert {name for name, found in status.items() if found == "xfail"} <= set(ONE_CLASS_A_ROW)
    assert {name for name, found in status.items() if found == "skipped"} <= NOT_APPLICABLE
    assert status["check_classifier_multioutput"] == "passed"
    assert sum(found == "passed" for found in status.values()) > 40


def test_answers_have_a_column_a_label_and_agree(fitted, data):
    X, Y = data
    proba = fitted.predict_proba(X)
    assert proba.shape == Y.shape and proba.min() >= 0 and proba.max() <= 1
    assert np.array_equal(fitted.predict(X), (proba >= fitted.thresholds_).astype(int))
    assert fitted.score(X, Y) == pytest.approx((fitted.predict(X) == Y).all(1).mean())
    assert [list(classes) for classes in fitted.classes_] == [[0, 1]] * 4
    assert isinstance(fitted.model_, LabelModel) and len(fitted.model_.networks) == 2
    assert fitted.n_iter_ == 4 and set(fitted.estimate_) == {"map", "label_f1", "micro_f1"}
    assert sy.SteelyardMultiLabelClassifier is SteelyardMultiLabelClassifier


def test_it_learns(data):
    X, Y = data
    model = quick(regime=QUICK.replace(epochs=30)).fit(X, Y)
    chance = Y.mean(0).mean()
    assert average_precision_score(Y, model.predict_proba(X), average="macro") > 2 * chance
    assert f1_score(Y, model.predict(X), average="macro") > 1.3 * f1_score(Y, np.ones_like(Y), average="macro")


def test_a_logit_adjusted_network_finds_rare_labels_at_one_half(data):
    X, Y = data
    found = {
        method: (quick(method, decision=0.5, regime=QUICK.replace(epochs=10)).fit(X, Y).predict(X)[Y == 1]).mean()
        for method in ("ce", "la")
    }
    assert found["la"] > found["ce"]


def test_decisions(data):
    X, Y = data
    given = [0.1, 0.2, 0.3, 0.9]
    one = quick(decision=given).fit(X, Y)
    assert one.thresholds_.tolist() == given
    assert np.array_equal(one.predict_proba(X), quick(decision=LabelThresholds(given)).fit(X, Y).predict_proba(X))
    assert quick(decision="balanced_accuracy").fit(X, Y).thresholds_.max() < 1
    alone = quick(decision=0.5, validation=0).fit(X, Y)
    assert alone.estimate_ is None and alone.model_.facts["rows"] == {"train": 260, "valid": 0}


def test_company(data):
    X, Y = data
    pipe = make_pipeline(StandardScaler(), quick()).fit(X, Y)
    again = pickle.loads(pickle.dumps(pipe))
    assert np.array_equal(again.predict_proba(X), pipe.predict_proba(X))
    assert clone(quick("la", n_seeds=3)).get_params() == quick("la", n_seeds=3).get_params()
    for scoring in ("average_precision", "f1_macro", "roc_auc"):
        assert np.isfinite(cross_val_score(quick(), X, Y[:, :2], scoring=scoring, cv=2, error_score="raise")).all()
    search = GridSearchCV(quick(), {"method": ["ce", "asymmetric"]}, cv=2, scoring="average_precision").fit(X, Y)
    assert search.best_params_["method"] in ("ce", "asymmetric")


def test_the_same_seed_gives_the_same_bits_and_global_generators_rest(data):
    states = torch.get_rng_state(), np.random.get_state()[1].copy()
    one, two = (quick("mixup").fit(*data).predict_proba(data[0]) for _ in range(2))
    assert np.array_equal(one, two)
    assert torch.equal(states[0], torch.get_rng_state()) and np.array_equal(states[1], np.random.get_state()[1])
    assert not np.array_equal(one, quick("mixup", random_state=1).fit(*data).predict_proba(data[0]))


def test_frames_missing_values_and_labels_that_are_not_known(data):
    X, Y = data
    frame = pd.DataFrame(X, columns=list("abcdefgh")).assign(town=np.where(X[:, 0] > 1, "n", "s"))
    frame.loc[::7, "b"] = np.nan
    labels = pd.DataFrame(Y, columns=["p", "q", "r", "s"]).astype(float)
    labels.loc[::3, "p"] = np.nan
    model = quick("distribution-balanced").fit(frame, labels)
    assert list(model.label_names_) == ["p", "q", "r", "s"] and list(model.feature_names_in_) == list(frame)
    assert np.array_equal(model.predict_proba(pl.from_pandas(frame)), model.predict_proba(frame))
    assert model.predict_proba(frame.iloc[:1]).shape == (1, 4)
    np.testing.assert_array_equal(model.predict_proba(frame.iloc[5:9]), model.predict_proba(frame)[5:9])
    sparse = quick().fit(X, csr_matrix(Y))
    assert np.array_equal(sparse.predict_proba(X), quick().fit(X, Y).predict_proba(X))


def test_a_network_of_ones_own_has_a_score_a_label(data):
    X, Y = data
    model = quick(model=lambda: torch.nn.Linear(8, 4)).fit(X, Y)
    inside = model.model_
    inputs = inside.encoder.encode(pd.DataFrame(X, columns=[str(i) for i in range(8)]), onehot=True)
    with torch.no_grad():
        wanted = log_odds(inside.networks[0](inputs)).sigmoid()
    np.testing.assert_allclose(model.predict_proba(X), wanted.numpy(), atol=1e-5)


@pytest.mark.parametrize(
    ("change", "settings", "says"),
    [
        (lambda Y: Y[:, 0], {}, "for one class a row there is SteelyardClassifier"),
        (lambda Y: Y * 2, {}, "label '.' of Y has the value 2"),
        (lambda Y: Y * 0.5, {}, "continuous"),
        (lambda Y: np.where(np.arange(4) == 2, 0, Y), {}, "label '2' has no positive example"),
        (lambda Y: np.where(np.arange(4) == 2, 1, Y), {}, "label '2' is present in every example"),
        (lambda Y: Y[:50], {}, "inconsistent numbers of samples"),
        (lambda Y: None, {}, "requires y to be passed"),
        (lambda Y: Y, {"decision": "f2"}, "unknown metric 'f2'"),
        (lambda Y: Y, {"decision": [0.5]}, "a threshold for each of the 4 labels"),
        (lambda Y: Y, {"decision": "f1", "validation": 0}, "no rows are left to choose by"),
        (lambda Y: Y, {"validation": 1.5}, "`validation`"),
        (lambda Y: Y, {"n_seeds": 0}, "`n_seeds`"),
        (lambda Y: Y, {"method": "curvenet"}, "several rows"),
        (lambda Y: Y, {"method": "asymetric"}, "'asymmetric'"),
    ],
)
def test_wrong_inputs_are_one_sentence(data, change, settings, says):
    X, Y = data
    with pytest.raises(ValueError, match=says):
        quick(**settings).fit(X, change(Y))


def test_nothing_is_predicted_before_fitting(data):
    with pytest.raises(NotFittedError):
        quick().predict_proba(data[0])


def test_training_without_scikit_learn(data):
    X, Y = data
    frame = pd.DataFrame(X, columns=[f"x{i}" for i in range(8)])
    model = train_labels(frame, torch.tensor(Y, dtype=torch.float32), list("pqrs"), regime=QUICK, model="mlp", verbose=False)
    assert model.predict_proba(frame).shape == Y.shape
    with pytest.raises(ValueError, match="no rows to score"):
        model.predict_proba(frame.iloc[:0])
