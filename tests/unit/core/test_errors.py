from __future__ import annotations

import pickle

import pytest

from steelyard.core.errors import ArgumentError, CheckpointError, UnknownName, nearest


def test_near_names_are_offered() -> None:
    assert "did you mean 'balanced-softmax'?" in str(UnknownName("method", "balanced_softmx", ["ce", "balanced-softmax"]))


def test_without_a_near_name_the_known_ones_are_listed() -> None:
    assert "known: ce, la" in str(UnknownName("method", "zzzzzz", ["ce", "la"]))
    assert "none to choose from" in str(UnknownName("column", "x", []))
    assert str(UnknownName("column", "zz", [f"c{i}" for i in range(50)])).endswith("...")


def test_case_does_not_matter() -> None:
    assert nearest("DEFAULT", ["default", "amount"]) == ["default"]


@pytest.mark.parametrize(
    "error", [ArgumentError("lr", "above 0", -1), UnknownName("method", "x", ("y",)), CheckpointError("gone")]
)
def test_errors_cross_process_borders(error: Exception) -> None:
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is type(error)
    assert str(again) == str(error)


def test_an_argument_error_names_argument_expectation_and_finding() -> None:
    assert str(ArgumentError("tau", "0 or more", -2)) == "argument `tau` should be 0 or more; found -2"
