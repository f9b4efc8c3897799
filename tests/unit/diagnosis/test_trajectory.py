from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from torch import nn

from steelyard import Regime, fit
from steelyard.core.errors import ArgumentError
from steelyard.core.task import Task
from steelyard.diagnosis.geometry import geometry
from steelyard.diagnosis.trajectory import GeometryTrajectory
from steelyard.nets.cosine_head import NormedLinear
from steelyard.problems import load

REGIME = Regime(epochs=5, batch_size=32, lr=0.05)


def wine() -> Task:
    return load("wine", factor=4, model="mlp", model_settings={"hidden": (16,), "dropout": 0.2})


def flat(model: nn.Module) -> torch.Tensor:
    return torch.cat([value.flatten() for value in model.state_dict().values() if value.is_floating_point()])


def test_measures_without_changing_the_run() -> None:
    task = wine()
    listener = GeometryTrajectory(task, every=2)
    watched, alone = fit(task, method="ce", regime=REGIME, listeners=[listener]), fit(task, method="ce", regime=REGIME)
    assert torch.equal(flat(watched.model), flat(alone.model))
    assert [point["epoch"] for point in listener.points] == [1, 2, 4, 5]
    assert listener.last is not None
    assert listener.last.class_counts.tolist() == task.counts.tolist()
    assert json.loads(listener.to_json())[-1]["means_to_seli"] == listener.points[-1]["means_to_seli"]


def test_the_last_point_is_the_geometry_of_the_trained_model() -> None:
    task = wine()
    listener = GeometryTrajectory(task)
    model = fit(task, method="ce", regime=REGIME, listeners=[listener]).model.eval()
    source = task.splits["train"]
    (_, inputs), *_ = source.stream([torch.arange(len(source))])
    with torch.no_grad():
        ready = task.load(inputs, augment="none", generator=None)
        features, logits = model.features(ready), model(ready)
    head = model.get_submodule("head")
    found = geometry(features, source.target, head.weight, bias=head.bias)
    point = listener.points[-1]
    for name, value in found.summary().items():
        np.testing.assert_allclose(point[name], value, rtol=1e-4, atol=1e-5, err_msg=name)
    wrong = (logits.argmax(1) != source.target).double()
    by_class = [float(wrong[source.target == c].mean()) for c in range(3)]
    assert point["error"] == pytest.approx(np.mean(by_class))


def test_takes_the_same_few_rows_of_each_class() -> None:
    task = wine()
    first, second = (GeometryTrajectory(task, per_class=4, seed=1) for _ in range(2))
    assert torch.equal(first.rows, second.rows)
    assert torch.bincount(task.splits["train"].target[first.rows]).tolist() == [4, 4, 4]
    assert not torch.equal(first.rows, GeometryTrajectory(task, per_class=4, seed=2).rows)


def test_a_head_that_is_not_linear_leaves_out_the_classifier() -> None:
    def cosine(_task: Task) -> nn.Module:
        return nn.Sequential(nn.Flatten(), nn.Linear(13, 8), nn.ReLU(), NormedLinear(8, 3))

    task = wine()
    task.model = lambda: cosine(task)  # type: ignore[method-assign]
    listener = GeometryTrajectory(task)
    fit(task, method="ce", regime=REGIME.replace(epochs=1), listeners=[listener])
    assert listener.last is not None
    assert listener.last.classifier is None
    assert listener.last.dim == 8


@pytest.mark.parametrize(
    ("given", "name"), [({"every": 0}, "every"), ({"per_class": 0}, "per_class"), ({"split": "test"}, "split")]
)
def test_arguments_are_checked(given: dict[str, object], name: str) -> None:
    with pytest.raises(ArgumentError, match=name):
        GeometryTrajectory(wine(), **given)  # type: ignore[arg-type]
