from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from torch import nn
from trained_facts import COUNTS, fitted, small_task, trained_facts

import steelyard as sy
from steelyard.core.errors import ArgumentError, SteelyardError
from steelyard.diagnosis import Judged, diagnose_model, diagnose_models, trained
from steelyard.diagnosis.embeddings import embed, linear_head


def model(number: int = 0) -> dict:
    return trained_facts()["models"][number]


def test_everything_is_json() -> None:
    text = json.dumps(trained_facts(), allow_nan=False)
    assert [one["method"] for one in json.loads(text)["models"]] == ["ce", "inverse-frequency"]


def test_geometry_is_that_of_the_training_rows() -> None:
    found = fitted("ce")
    seen = embed(found.task, found.model, "train")
    weight, bias = linear_head(found.model)
    own = sy.diagnosis.geometry(seen.features, seen.target, weight, bias=bias, class_counts=found.task.counts)
    assert model()["geometry"]["nc1"] == pytest.approx(own.nc1)
    assert model()["geometry"]["classifier"]["to_seli"] == pytest.approx(own.classifier.to_seli)
    test = embed(found.task, found.model, "test")
    held = sy.diagnosis.geometry(test.features, test.target, weight, bias=bias, class_counts=found.task.counts)
    assert model()["held_out"]["cdnv"] == pytest.approx(held.cdnv)


def test_recalls_are_those_of_the_evaluation() -> None:
    scores = sy.evaluate(fitted("ce"))
    assert [line["recall"] for line in model()["classes"]] == pytest.approx(scores.per_class["recall"])
    assert model()["groups"]["all"]["recall"] == pytest.approx(scores.values["balanced_accuracy"])
    for line in model()["classes"]:
        assert line["low"] <= line["recall"] <= line["high"]


def test_what_was_lost_adds_up() -> None:
    for one in trained_facts()["models"]:
        for line in one["classes"]:
            assert sum(line["lost"].values()) == pytest.approx(1 - line["recall"])


def test_the_embeddings_are_judged_at_the_counts_that_were_trained_on() -> None:
    counts = fitted("ce").task.counts
    places = model()["embeddings"]["places"]
    for place in places:
        assert place["eta"] == pytest.approx(float(counts[place["confuser"]] / counts[place["class"]]))
    assert [line["expected"] for line in model()["classes"]] == [place["recall"] for place in places]
    assert trained_facts()["inputs"]["delta"] > 1


def test_weights_are_those_of_the_log() -> None:
    assert model(0)["weights"] is None
    shown = model(1)["weights"]
    assert shown["epochs"] == [1, 2, 3]
    logged = [line["class_weights"] for line in fitted("inverse-frequency").history]
    np.testing.assert_allclose(np.array(shown["classes"]).T, logged)


def test_curvature_is_of_each_class_and_of_the_same_loss_for_all() -> None:
    pytest.importorskip("curvlinops")
    for one in trained_facts(curved=True)["models"]:
        assert [part["name"] for part in one["curvature"]["parts"]] == ["a", "b", "c"]
        assert set(one["curvature"]["means"]) == {"many", "medium", "few"}
        for part in one["curvature"]["parts"]:
            low, high = part["intervals"]["trace"]
            assert low <= part["trace"] <= high


def test_one_fitted_model_gives_the_same_facts() -> None:
    alone = diagnose_model(fitted("ce"), name="ce", device="cpu")
    assert alone["models"][0] == model()
    assert alone["ideal"] == trained_facts()["ideal"]


def test_the_model_is_left_as_it_was() -> None:
    found = fitted("ce")
    before = {name: value.clone() for name, value in found.model.state_dict().items()}
    state = torch.random.get_rng_state()
    diagnose_model(found, device="cpu")
    assert torch.equal(state, torch.random.get_rng_state())
    assert all(torch.equal(value, before[name]) for name, value in found.model.state_dict().items())


class Cosine(nn.Module):
    """Scores without a linear layer behind the features."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(()))

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        return self.scale * inputs[:, :3]


def test_a_model_without_features_still_has_its_recall_and_says_why() -> None:
    found = diagnose_models(small_task(), [Judged("bare", Cosine())], device="cpu")["models"][0]
    assert found["geometry"] is None
    assert found["embeddings"] is None
    assert found["classes"][0]["recall"] > 0.5
    assert any("no last linear layer" in note for note in found["notes"])


def test_without_test_rows_the_rest_is_said() -> None:
    task = small_task()
    del task.splits["test"]
    found = diagnose_models(task, [Judged("ce", fitted("ce").model)], device="cpu")["models"][0]
    assert found["geometry"]["nc1"] == pytest.approx(model()["geometry"]["nc1"])
    assert found["classes"][0]["recall"] is None
    assert any("no test rows" in note for note in found["notes"])


def test_a_model_that_cannot_be_measured_is_named_and_the_others_are() -> None:
    class Wrong(nn.Linear):
        def forward(self, inputs: torch.Tensor) -> torch.Tensor:
            return super().forward(inputs)[:, :2]

    class Broken(nn.Linear):
        def forward(self, inputs: torch.Tensor) -> torch.Tensor:
            raise IndexError("a bug of the model")

    models = [Judged("wrong", Wrong(6, 3)), Judged("ce", fitted("ce").model), Judged("broken", Broken(6, 3))]
    found = diagnose_models(small_task(), models, device="cpu")
    assert [one["method"] for one in found["models"]] == ["ce"]
    assert any(note.startswith("wrong could not be measured") for note in found["notes"])
    assert "broken could not be measured: IndexError: a bug of the model" in found["notes"]
    with pytest.raises(SteelyardError, match="wrong could not be measured"):
        diagnose_models(small_task(), models[:1], device="cpu")
    with pytest.raises(ArgumentError, match="models"):
        diagnose_models(small_task(), [])


def test_many_classes_are_pictured_in_part(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trained, "shown_classes", lambda order: order[:2])
    found = diagnose_models(small_task(), [Judged("ce", fitted("ce").model)], device="cpu")
    assert np.array(found["models"][0]["grams"]["means"]["gram"]).shape == (2, 2)
    assert len(found["models"][0]["grams"]["means"]["norms"]) == len(COUNTS)


def test_functions_stay_functions_whoever_imports_their_file() -> None:
    import importlib

    for name in ("taxonomy", "curvature", "geometry", "diagnose", "shrinkage"):
        file = importlib.import_module(f"steelyard.diagnosis.{name}")
        setattr(sy.diagnosis, name, file)  # what some importers do
        assert getattr(sy.diagnosis, name) is vars(file)[name]
