from __future__ import annotations

from typing import Any

import pytest
import torch

from steelyard.core.errors import ArgumentError
from steelyard.diagnosis.curvature_data import Chosen, choose
from steelyard.problems import load

TARGET = torch.tensor([0] * 30 + [1] * 8 + [2] * 3)
INPUTS = torch.arange(41.0)[:, None]


def chosen(data: Any = (INPUTS, TARGET), **changes: Any) -> Chosen:
    asked = {"task": None, "by": "class", "class_counts": None, "groups": "index:1,2", "rows": 10, "seed": 0, **changes}
    return choose(data, **asked)


def test_at_most_so_many_rows_of_each_part() -> None:
    found = chosen()
    assert [(part.name, part.available, len(part.rows)) for part in found.parts] == [("0", 30, 10), ("1", 8, 8), ("2", 3, 3)]
    assert all((TARGET[part.rows] == part.classes[0]).all() for part in found.parts)
    assert torch.equal(found.parts[0].rows, chosen().parts[0].rows)
    assert not torch.equal(found.parts[0].rows, chosen(seed=1).parts[0].rows)
    everything = chosen(by=None).parts
    assert [(part.name, len(part.rows)) for part in everything] == [("all", 10)]
    assert found.members == {"many": (0,), "medium": (1,), "few": (2,)}


def test_batches_hold_the_rows_in_order() -> None:
    found = chosen()
    batches = found.batches(found.parts[0], 4, torch.device("cpu"))
    assert [len(target) for _, target in batches] == [4, 4, 2]
    read = torch.cat([given["batch"].inputs for given, _ in batches])
    assert torch.equal(read, INPUTS[found.parts[0].rows])


def test_groups_by_the_counts_that_are_given() -> None:
    found = chosen(by="group", class_counts=[3, 8, 500], groups="terciles")
    assert {part.name: part.classes for part in found.parts} == {"many": (2,), "medium": (1,), "few": (0,)}


def test_loaders_of_tensors_and_of_mappings() -> None:
    plain = chosen(list(zip(INPUTS.split(7), TARGET.split(7), strict=True)))
    named = chosen(
        [({"x": some, "z": some + 1}, classes) for some, classes in zip(INPUTS.split(7), TARGET.split(7), strict=True)]
    )
    for found in (plain, named):
        assert torch.equal(found.parts[1].rows, chosen().parts[1].rows)
    inputs = named.batches(named.parts[2], 10, torch.device("cpu"))[0][0]["batch"].inputs
    assert torch.equal(inputs["z"], INPUTS[-3:] + 1)


def test_a_task_reads_its_source() -> None:
    task = load("wine", factor=4)
    found = chosen(task.splits["train"], task=task)
    assert [part.name for part in found.parts] == list(task.class_names)
    with pytest.raises(ArgumentError, match="source of the task"):
        chosen((INPUTS, TARGET), task=task)


@pytest.mark.parametrize("wrong", [[], [INPUTS], [(INPUTS, 3)]])
def test_what_is_no_loader(wrong: list[Any]) -> None:
    with pytest.raises(ArgumentError, match="batches of inputs and classes"):
        chosen(wrong)
