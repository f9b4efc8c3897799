from __future__ import annotations

import json

import torch
from torch import nn

from steelyard.data.resident import ResidentSource
from steelyard.tasks.about import ModelledTask
from steelyard.tasks.models import builder


def test_a_task_describes_its_data_in_json() -> None:
    sources = {
        "train": ResidentSource(torch.zeros(10, 2), torch.tensor([0] * 8 + [1] * 2)),
        "test": ResidentSource(torch.zeros(3, 2), torch.tensor([0, 1, 2])),
    }
    build = builder(nn.Linear(2, 3), num_classes=3, input_shape=(2,))
    task = ModelledTask("mine", ("a", "b", "c"), sources, build, kind="arrays", features="2 numbers", notes=["one"])
    task.facts["more"] = [1]
    told = task.describe()
    assert json.loads(json.dumps(told)) == told
    assert told == {
        "name": "mine",
        "kind": "arrays",
        "rows": {"train": 10, "test": 3},
        "class_names": ["a", "b", "c"],
        "counts": {"train": [8, 2, 0], "test": [1, 1, 1]},
        "imbalance_factor": 4.0,  # over the classes that have rows
        "features": "2 numbers",
        "notes": ["one"],
        "more": [1],
    }
    assert task.model_name == "Linear" and task.model() is not task.model()
