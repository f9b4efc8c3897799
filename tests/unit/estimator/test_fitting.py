from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
from loans import loans, written
from sklearn.metrics import average_precision_score, balanced_accuracy_score

from steelyard.core.errors import DataError
from steelyard.core.regime import Regime
from steelyard.data.table_file import TableFile
from steelyard.decisions import Thresholds
from steelyard.estimator.fitting import fit_file
from steelyard.estimator.reading import FileRequest, read_for_training

QUICK = Regime(epochs=6, batch_size=64, optimizer="adamw", lr=3e-3)


@pytest.fixture(scope="module")
def fitted(tmp_path_factory):
    path = written(loans(), tmp_path_factory.mktemp("data") / "loans.csv")
    request = FileRequest(path, "defaulted")
    said = []
    model, facts = fit_file(request, method="la", regime=QUICK, members=2, say=said.append)
    return path, request, model, facts, said


def test_a_model_is_judged_on_the_test_rows_and_on_these_alone(fitted):
    path, request, model, facts, _ = fitted
    table = read_for_training(request)
    frame = pd.read_csv(path).iloc[table.test.numpy()]
    proba = model.predict_proba(frame)
    truth = (frame["defaulted"] == "yes").to_numpy()
    assert facts["test"]["metrics"]["auprc"] == pytest.approx(average_precision_score(truth, proba[:, 1]))
    decided = model.predict(frame)
    assert facts["test"]["metrics"]["balanced_accuracy"] == pytest.approx(balanced_accuracy_score(truth, decided == "yes"))
    assert facts["test"]["metrics"]["auprc"] > 0.5
    assert sum(facts["test"]["per_class"]["support"]) == len(frame)


def test_facts_are_json_and_name_what_was_done(fitted):
    _, _, model, facts, said = fitted
    json.dumps(facts, allow_nan=False)
    assert facts["method"]["name"] == "la"
    assert facts["data"]["rows"] == {"train": 320, "test": 80}
    assert facts["data"]["counts"]["train"] == [256, 64]
    assert facts["members"] == len(model.network)
    assert facts["alerts"][-1]["share"] == 0.2
    assert [line for line in said if line.startswith("training on 320")]


def test_the_columns_that_decide_matter_most(fitted):
    lines = fitted[3]["importance"]
    assert lines[0]["column"] == "income"
    assert {line["column"] for line in lines} == {"opened", "income", "city", "noise", "branch"}


def test_the_encoder_knows_training_rows_only(fitted, tmp_path):
    path, request, model, _, _ = fitted
    table = read_for_training(request)
    frame = pd.read_csv(path)
    frame.loc[table.test.numpy(), "income"] += 1e6
    other = written(frame, tmp_path / "loans.csv")
    again, _ = fit_file(FileRequest(other, "defaulted"), method="la", regime=QUICK, members=2, importance=False)
    assert again.encoder == model.encoder


def test_a_decision_of_ones_own_is_used_and_named(fitted):
    _, request, _, _, _ = fitted

    def everything(proba, target):
        assert len(proba) == len(target) > 0
        return Thresholds.for_recall(proba, target, 1, 1.0)

    model, facts = fit_file(
        request, method="ce", regime=QUICK, decision=everything, decision_words="finds all", importance=False
    )
    assert facts["decision"]["words"] == "finds all"
    assert facts["test"]["per_class"]["recall"][1] > 0.9
    assert model.facts["decision"]["words"] == "finds all"


def test_the_metric_that_was_asked_for_is_among_the_scores(fitted):
    _, request, _, _, _ = fitted
    cost = np.array([[0.0, 1.0], [5.0, 0.0]])
    for metric, decision in (("f1", "auto"), ("expected_cost", cost)):
        _, facts = fit_file(request, method="ce", regime=QUICK, metric=metric, decision=decision, importance=False)
        table = np.array(facts["test"]["confusion"])
        right = {
            "f1": 2 * table[1, 1] / (table[1].sum() + table[:, 1].sum()),
            "expected_cost": (table * cost).sum() / table.sum(),
        }
        assert facts["test"]["metrics"][metric] == pytest.approx(right[metric])
        low, high = facts["test"]["intervals"][metric]
        assert low <= right[metric] <= high


def test_by_time_the_held_out_rows_are_the_last_of_training(fitted):
    path, _, _, _, _ = fitted
    request = FileRequest(path, "defaulted", split="time:opened")
    _, facts = fit_file(request, method="ce", regime=QUICK, importance=False)
    assert facts["data"]["split"] == "by time (column opened)"
    assert set(facts["data"]["rows"]) == {"train", "valid", "test"}
    assert facts["members"] == 1


def test_columns_are_described_once_however_many_there_are(tmp_path, monkeypatch):
    asked = []
    schema = TableFile.schema
    monkeypatch.setattr(TableFile, "schema", lambda file: asked.append(file) or schema(file))
    frame = pd.DataFrame(np.random.default_rng(0).normal(size=(60, 40)).round(3)).add_prefix("v").assign(y=np.arange(60) % 2)
    fit_file(FileRequest(written(frame, tmp_path / "wide.csv"), "y"), method="ce", regime=Regime(epochs=1), importance=False)
    assert len(asked) == 1


def test_several_classes(tmp_path):
    draw = np.random.default_rng(0)
    label = draw.choice(4, 300, p=[0.6, 0.2, 0.15, 0.05])
    frame = pd.DataFrame(draw.normal(size=(300, 3)) + 2 * np.eye(4)[label][:, :3], columns=list("abc"))
    frame["y"] = label
    model, facts = fit_file(FileRequest(written(frame, tmp_path / "four.parquet"), "y"), method="la", regime=QUICK)
    assert facts["precision_recall"] == {}
    assert facts["alerts"] == []
    assert facts["test"]["metrics"]["balanced_accuracy"] > 0.5
    assert model.classes.tolist() == [0, 1, 2, 3]


def test_one_class_cannot_be_learnt(tmp_path):
    frame = loans(50)
    frame["defaulted"] = "no"
    with pytest.raises(DataError, match="one class only"):
        fit_file(FileRequest(written(frame, tmp_path / "x.csv"), "defaulted"))
