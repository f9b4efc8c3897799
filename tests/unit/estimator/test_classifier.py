"""The scikit-learn classifier: its conventions, and the company it works in."""

from __future__ import annotations

import pickle
import warnings

import numpy as np
import pandas as pd
import polars as pl
import pytest
import torch
from imblearn.ensemble import BalancedBaggingClassifier, EasyEnsembleClassifier
from imblearn.over_sampling import RandomOverSampler
from imblearn.pipeline import make_pipeline as make_imblearn_pipeline
from imblearn.utils.estimator_checks import estimator_checks_generator
from sklearn.base import clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.datasets import make_classification
from sklearn.ensemble import BaggingClassifier
from sklearn.exceptions import NotFittedError
from sklearn.frozen import FrozenEstimator
from sklearn.model_selection import GridSearchCV, TunedThresholdClassifierCV, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import check_estimator

from steelyard import Regime, Stage, SteelyardClassifier
from steelyard.estimator import TableModel

QUICK = Regime(epochs=4, batch_size=64, optimizer="adamw", lr=0.02)
STOCHASTIC = {
    "check_sample_weight_equivalence_on_dense_data": "batches and folds are drawn from the rows as they are, so repeated rows "
    "are drawn otherwise than weighted ones; with full batches and no folds both are equal (test_table.py)"
}


def quick(method="ce", **settings):
    return SteelyardClassifier(method, **{"regime": QUICK, "model": "mlp", "validation": 2, "random_state": 0} | settings)


@pytest.fixture(scope="module")
def data():
    return make_classification(300, 6, n_informative=4, weights=[0.85], random_state=1)


@pytest.fixture(scope="module")
def fitted(data):
    return quick(n_seeds=3).fit(*data)


def test_scikit_learn_finds_no_unexplained_fault():
    estimator = quick(regime=QUICK.replace(epochs=8, lr=0.03), random_state=None)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the checks provoke warnings, and skip what needs an environment variable
        results = check_estimator(estimator, expected_failed_checks=STOCHASTIC, on_skip=None)
    assert {one["check_name"] for one in results if one["status"] == "xfail"} == set(STOCHASTIC)
    assert {one["check_name"] for one in results if one["status"] == "skipped"} <= {"check_array_api_input"}
    assert len(results) > 50


def test_imbalanced_learn_finds_no_fault():
    names = []
    for estimator, check in estimator_checks_generator(quick(), expected_failed_checks={}):
        name = getattr(check, "func", check).__name__
        if name in ("check_classifier_on_multilabel_or_multioutput_targets", "check_classifiers_with_encoded_labels"):
            check(estimator)
            names.append(name)
    assert len(names) == 2


def test_parameters_are_kept_as_given():
    estimator = SteelyardClassifier("rdr-la", regime="short", decision=[[0, 5], [1, 0]], n_seeds=4)
    assert clone(estimator).get_params() == estimator.get_params()
    assert estimator.set_params(method=_own).method is _own
    assert clone(SteelyardClassifier(_own, regime=QUICK)).method is _own


def test_the_same_seed_gives_the_same_bits_and_global_generators_rest(data):
    states = torch.get_rng_state(), np.random.get_state()[1].copy()
    one, two = (quick("mixup").fit(*data).predict_proba(data[0]) for _ in range(2))
    assert np.array_equal(one, two)
    assert torch.equal(states[0], torch.get_rng_state())
    assert np.array_equal(states[1], np.random.get_state()[1])
    assert not np.array_equal(one, quick("mixup", random_state=1).fit(*data).predict_proba(data[0]))


def test_answers_agree_with_each_other(fitted, data):
    X, _ = data
    proba = fitted.predict_proba(X)
    assert np.array_equal(fitted.predict(X), (fitted.decision_function(X) > 0).astype(int))
    odds = np.log(proba[:, 1] / proba[:, 0]) - np.log(fitted.prior_[1] / fitted.prior_[0])
    assert np.allclose(fitted.decision_function(X), odds)
    assert np.allclose(fitted.predict_log_proba(X), np.log(proba))
    assert fitted.predict_spread(X).min() > 0
    assert fitted.n_iter_ == 4
    assert isinstance(fitted.model_, TableModel)
    assert fitted.method_ == "ce"
    assert fitted.candidates_ == []
    assert fitted.estimate_["metric"] == "balanced_accuracy"


def test_it_can_be_pickled_and_frozen(fitted, data):
    X, _ = data
    again = pickle.loads(pickle.dumps(fitted))
    assert np.array_equal(again.predict_proba(X), fitted.predict_proba(X))
    assert np.array_equal(FrozenEstimator(again).predict(X), fitted.predict(X))


def test_costs_and_priors_of_the_deployment(data):
    X, y = data
    cost = [[0, 1], [50, 0]]
    model = quick(metric="expected_cost", decision=cost).fit(X, y)
    assert np.array_equal(model.predict(X), (model.predict_proba(X) @ np.array(cost)).argmin(1))
    assert np.array_equal(
        model.predict(X, prior=[0.99, 0.01]), (model.predict_proba(X, prior=[0.99, 0.01]) @ np.array(cost)).argmin(1)
    )


def test_decisions_over_class_shares_stay_where_classes_are_equally_frequent(data):
    """As after re-sampling: thresholds over equal shares look like those for the largest probability."""
    X, y = data
    kept = np.sort(np.concatenate([np.flatnonzero(y == c)[:40] for c in (0, 1)]))
    for metric, stays in (("balanced_accuracy", True), ("accuracy", False)):
        model = quick(metric=metric).fit(X[kept], y[kept])
        assert model.prior_.tolist() == [0.5, 0.5]
        assert np.array_equal(model.predict(X, prior=[0.95, 0.05]), model.predict(X)) == stays


def test_lazy_frames_are_collected(data):
    X, y = data
    frame = pl.DataFrame(X, schema=list("abcdef"))
    model = quick().fit(frame.lazy(), y)
    assert np.array_equal(model.predict_proba(frame.lazy()), quick().fit(frame, y).predict_proba(frame))
    assert model.feature_names_in_.tolist() == list("abcdef")


def test_labels_keep_their_type_and_frames_their_columns(data):
    X, y = data
    frame = pd.DataFrame(X, columns=list("abcdef")).assign(city=np.where(X[:, 0] > 0, "x", None), flag=X[:, 1] > 0)
    frame["kind"] = pd.Categorical(np.where(X[:, 2] > 0, "u", "v"))
    frame.loc[::5, "a"] = np.nan
    labels = np.where(y == 1, "bad", "good")
    model = quick("la").fit(frame, labels)
    assert model.classes_.tolist() == ["bad", "good"]
    assert model.feature_names_in_.tolist() == list(frame.columns)
    assert set(model.predict(frame)) == {"bad", "good"}
    assert [column.name for column in model.model_.encoder.categorical] == ["city", "kind"]
    as_polars = pl.from_pandas(frame)
    assert np.array_equal(model.predict_proba(as_polars), model.predict_proba(frame))
    assert np.array_equal(quick("la").fit(as_polars, labels).predict_proba(frame), model.predict_proba(frame))
    with pytest.raises(ValueError, match="feature names"):
        model.predict(frame.rename(columns={"a": "z"}))
    with pytest.warns(UserWarning, match="valid feature names"):
        from_objects = model.predict_proba(frame.to_numpy(dtype=object))
    assert np.allclose(from_objects, model.predict_proba(frame))


def test_rows_of_weight_zero_are_not_there(data):
    X, y = data
    weights = np.ones(len(y))
    weights[::3] = 0
    some = weights > 0
    left_out = quick("la").fit(X, y, sample_weight=weights)
    assert np.array_equal(left_out.predict_proba(X), quick("la").fit(X[some], y[some]).predict_proba(X))
    weights[y == 0] *= 3
    assert not np.array_equal(quick("la").fit(X, y, weights).predict_proba(X), left_out.predict_proba(X))


def test_what_cannot_be_learnt_from_is_refused(data):
    X, y = data
    with pytest.raises(ValueError, match="class"):
        quick().fit(X, np.zeros(len(y)))
    with pytest.raises(ValueError, match="did you mean"):
        quick("rdrla").fit(X, y)
    with pytest.raises(NotFittedError):
        quick().predict(X)
    with pytest.raises(ValueError, match="infinit"):
        quick().fit(np.where(X > 2, np.inf, X), y)


def _own(task):
    yield Stage(epochs=1)


COMPANY = {
    "pipeline": lambda: make_pipeline(StandardScaler(), quick()),
    "grid": lambda: GridSearchCV(quick(), {"method": ["ce", _own]}, cv=2, scoring="average_precision"),
    "calibrated": lambda: CalibratedClassifierCV(quick(), cv=2),
    "threshold": lambda: TunedThresholdClassifierCV(quick(), cv=2),
    "bagging": lambda: BaggingClassifier(quick(), n_estimators=2, random_state=0),
    "resampled": lambda: make_imblearn_pipeline(RandomOverSampler(random_state=0), quick()),
    "balanced bagging": lambda: BalancedBaggingClassifier(quick(), n_estimators=2, random_state=0),
    "easy ensemble": lambda: EasyEnsembleClassifier(estimator=quick(), n_estimators=2, random_state=0),
}


@pytest.mark.parametrize("name", COMPANY)
def test_it_works_in_the_company_of(name, data):
    X, y = data
    model = COMPANY[name]().fit(X, y)
    assert model.predict(X).shape == y.shape
    assert np.allclose(model.predict_proba(X).sum(1), 1)


def test_cross_validation_gives_every_row_a_probability(data):
    X, y = data
    assert cross_val_predict(quick(), X, y, cv=2, method="predict_proba").shape == (len(y), 2)


@pytest.mark.parametrize("method", ["metabalance", "rdr-la", "cdb", "mw-net", "imb-sam", "tau-norm"])
def test_methods_by_name(method, data):
    X, y = data
    model = quick(method, regime=QUICK.replace(epochs=2)).fit(X, y)
    assert model.method_ == method
    assert np.isfinite(model.predict_proba(X)).all()
    assert model.estimate_["value"] is not None


def test_auto_keeps_what_it_tried(data):
    X, y = data
    model = quick("auto", metric="auprc").fit(X, y)
    assert [one["method"] for one in model.candidates_ if one["chosen"]] == [model.method_]
    assert all(one["score"] is not None for one in model.candidates_)


def test_a_column_without_news_is_not_used_though_scikit_learn_asks_for_it(data):
    X, y = data
    frame = pd.DataFrame(X).rename(columns=str).assign(still=3.0, at=pd.to_timedelta(X[:, 0].round(), unit="h"))
    frame["clock"] = (pd.Timestamp(0) + frame["at"] * 7).dt.time
    model = quick().fit(frame, y)
    assert model.n_features_in_ == 9 and list(model.feature_names_in_) == list(frame.columns)
    assert "still" not in model.model_.encoder.columns() and {"at", "clock"} <= set(model.model_.encoder.columns())
    proba = model.predict_proba(frame)
    assert (model.predict_proba(frame.assign(still=-50.0)) == proba).all()
    assert (model.model_.predict_proba(frame.drop(columns="still")) == proba).all()
    with pytest.raises(ValueError, match="still"):
        model.predict(frame.drop(columns="still"))
