"""From a table to a fitted model, and what that model says."""

from __future__ import annotations

import copy
import json
import pickle

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.metrics import roc_auc_score

from steelyard.core.errors import ArgumentError, DataError
from steelyard.core.regime import Regime
from steelyard.estimator.table_model import BLOCK, TableModel
from steelyard.estimator.training import train_table, usual_regime

REGIME = Regime(epochs=6, batch_size=32, optimizer="adamw", lr=0.01)


def rows(count=240, seed=0):
    draw = np.random.default_rng(seed)
    frame = pd.DataFrame({"income": draw.normal(size=count), "city": draw.choice(["a", "b", "c"], count)})
    frame.loc[::9, "income"] = np.nan
    signal = frame["income"].fillna(0) + 2 * (frame["city"] == "a") + 0.3 * draw.normal(size=count)
    return frame, np.digitize(signal, [1.5, 2.6])


CLASSES = np.array(["low", "middle", "high"], dtype=object)


@pytest.fixture(scope="module")
def model():
    frame, target = rows()
    return train_table(frame, target, CLASSES, method="la", regime=REGIME, model="mlp", validation=3, n_seeds=4)


def test_the_model_has_learnt_and_says_what_it_did(model):
    frame, target = rows(seed=1)
    proba = model.predict_proba(frame)
    assert np.allclose(proba.sum(1), 1)
    assert roc_auc_score(target, proba, multi_class="ovr") > 0.9
    facts = model.facts
    assert (facts["members"], facts["split"], facts["epochs"]) == (4, "3 folds", 6)
    assert facts["method"]["name"] == "la"
    assert facts["vectorised"]
    estimate = facts["estimate"]
    assert estimate["low"] < estimate["value"] < estimate["high"]
    assert estimate["rows"] == 240
    json.dumps(facts, allow_nan=False)


def test_predictions_agree_with_each_other(model):
    frame, _ = rows(seed=1)
    proba, scores = model.predict_proba(frame), model.decision_function(frame)
    assert np.array_equal(model.predict(frame), CLASSES[scores.argmax(1)])
    assert np.array_equal(model.predict(frame), model.decide(proba))
    assert np.allclose(scores - scores[:, :1], np.log(proba / model.prior) - np.log(proba / model.prior)[:, :1], atol=1e-6)
    assert model.spread(frame).shape == proba.shape
    assert np.allclose(model.spread(frame), model.member_proba(frame).std(0))


@pytest.mark.parametrize("validation", [3, 0.25])
def test_what_calibration_learnt_from_is_what_it_is_used_on(validation):
    frame, target = rows()
    model = train_table(frame, target, CLASSES, method="ce", n_seeds=4, validation=validation, regime=REGIME, model="mlp")
    assert model.each_calibrated == (validation == 3)
    proba, mean = model.predict_proba(frame), model.member_proba(frame).mean(0)
    if model.each_calibrated:  # the scores of single members
        assert np.allclose(proba, mean, atol=1e-12)
        assert np.array_equal(model.predict(frame), CLASSES[(mean / model.prior).argmax(1)])
    else:  # of their mean
        with torch.no_grad():
            scores = model.network.cpu()(model.encode(frame))
        assert np.allclose(proba, model.adjustment.log_proba(scores).exp().numpy(), atol=1e-6)
        assert not np.allclose(proba, mean, atol=1e-6)


def test_a_model_written_before_calibrates_the_mean(model):
    tensors, state = model.to_state()
    del state["each_calibrated"]
    assert not TableModel.from_state(tensors, state).each_calibrated


@pytest.mark.parametrize("validation", [3, 0.25])
def test_a_row_has_the_same_bits_in_any_company(validation):
    frame, target = rows()
    model = train_table(frame, target, CLASSES, method="la", regime=REGIME, model="mlp", validation=validation, n_seeds=7)
    many = pd.concat([frame] * (BLOCK // len(frame) + 1), ignore_index=True)
    proba, scores, members = model.predict_proba(many), model.decision_function(many), model.member_proba(many)
    for pick in (*([row] for row in range(60)), [7, 3], list(range(100, 200))):
        some = many.iloc[pick]
        assert np.array_equal(model.predict_proba(some), proba[pick])
        assert np.array_equal(model.decision_function(some), scores[pick])
        assert np.array_equal(model.member_proba(some), members[:, pick])


def test_another_class_mix_moves_odds_by_bayes_rule(model):
    frame, _ = rows(seed=1)
    proba = model.predict_proba(frame)
    mix = np.array([0.2, 0.3, 0.5])
    expected = proba * mix / model.prior
    assert np.allclose(model.predict_proba(frame, mix), expected / expected.sum(1, keepdims=True))
    by_name = {"high": 0.5, "low": 0.2, "middle": 0.3}
    assert np.array_equal(model.predict_proba(frame, by_name), model.predict_proba(frame, mix))


def test_em_finds_the_class_mix_of_the_rows(model):
    frame, target = rows(2000, seed=2)
    kept = np.concatenate([np.flatnonzero(target == 2), np.flatnonzero(target == 0)[:100]])
    frame, target = frame.iloc[kept].reset_index(drop=True), target[kept]
    share = np.bincount(target, minlength=3) / len(target)
    found = model.prior_shift("em", model.predict_proba(frame)).target_prior.numpy()
    assert np.abs(found - share).sum() < np.abs(model.prior - share).sum() / 2
    right = model.predict_proba(frame, "em").argmax(1) == target
    assert right.mean() >= (model.predict_proba(frame).argmax(1) == target).mean()


@pytest.mark.parametrize("wrong", [[0.5, 0.5], [0.5, 0.5, 0.5], [-0.1, 0.6, 0.5], {"low": 1.0}, "best"])
def test_other_priors_are_refused(model, wrong):
    with pytest.raises(ArgumentError, match="prior"):
        model.predict_proba(rows()[0], wrong)


def test_the_same_model_comes_back_from_json_and_from_pickle(model):
    frame, _ = rows(seed=1)
    tensors, state = model.to_state()
    state = json.loads(json.dumps(state))
    for again in (TableModel.from_state(tensors, state), pickle.loads(pickle.dumps(model)), copy.deepcopy(model)):
        assert np.array_equal(again.predict_proba(frame), model.predict_proba(frame))
        assert np.array_equal(again.predict(frame), model.predict(frame))
        assert np.array_equal(again.spread(frame), model.spread(frame))
        assert again.facts == model.facts


@pytest.mark.parametrize("method", ["ldam-drw", "tau-norm", "metabalance"])
def test_models_of_other_methods_come_back_too(method):
    frame, target = rows(90)
    classes = np.array([1, 2, 3])
    regime = REGIME.replace(epochs=2)
    model = train_table(frame, target, classes, method=method, regime=regime, model="mlp", validation=2)
    again = TableModel.from_state(*model.to_state())
    assert again.classes.dtype == classes.dtype
    assert np.array_equal(again.predict_proba(frame), model.predict_proba(frame))


def test_a_network_of_the_users_own_takes_categories_as_columns():
    frame, target = rows(60)
    own = torch.nn.Linear(5, 3)  # income, is it missing, and three cities
    model = train_table(frame, target, CLASSES, method="ce", regime=REGIME.replace(epochs=1), model=own, validation=2)
    assert model.predict_proba(frame).shape == (60, 3)
    with pytest.raises(DataError, match="pickle"):
        model.to_state()


def test_a_split_of_the_users_is_kept():
    frame, target = rows(100)
    split = (np.arange(70), np.arange(70, 100))
    model = train_table(frame, target, CLASSES, method="ce", regime=REGIME.replace(epochs=1), model="mlp", split=split)
    assert model.facts["rows"] == {"train": 70, "valid": 30}
    assert np.allclose(model.prior, np.bincount(target[70:], minlength=3) / 30)
    assert model.encoder.numeric[0].mean == pytest.approx(frame["income"][:70].fillna(frame["income"][:70].median()).mean())


def test_one_row_a_class_is_enough():
    frame = pd.DataFrame({"x": [0.0, 1.0, 2.0]})
    regime = REGIME.replace(epochs=2, patience=1)
    model = train_table(frame, np.arange(3), CLASSES, method="la", regime=regime, model="mlp")
    assert model.facts["estimate"] is None
    assert model.predict_proba(frame).shape == (3, 3)


def test_training_stops_early():
    frame, target = rows(60)
    regime = Regime(epochs=40, batch_size=32, lr=1e-9, patience=2, select="best_valid")
    model = train_table(frame, target, CLASSES, method="la", regime=regime, model="mlp", validation=0.3)
    assert model.facts["epochs"] == 3


def test_bad_arguments_are_said():
    frame, target = rows(30)
    with pytest.raises(DataError, match="one class"):
        train_table(frame, np.zeros(30, int), CLASSES[:1])
    for wrong in (0, 2.5, True, "3"):
        with pytest.raises(ArgumentError, match="n_seeds"):
            train_table(frame, target, CLASSES, method="ce", n_seeds=wrong)


def test_the_usual_regime_has_fewer_steps_for_few_rows():
    steps = {rows: usual_regime(rows).epochs * -(-rows // usual_regime(rows).batch_size) for rows in (10, 100, 1000, 100_000)}
    assert steps[10] < steps[100] < steps[1000] <= 1.2 * steps[100_000]
