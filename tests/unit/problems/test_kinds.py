"""Kinds of data with a protocol of their own: how `--task` finds them."""

from __future__ import annotations

import sys
import types
from collections.abc import Iterator
from typing import Any

import pytest

from steelyard.core.errors import ArgumentError, UnknownName
from steelyard.core.task import Task
from steelyard.problems import ProblemSettings, _kinds, kind_function, kinds, load


def letters(data: Any, settings: ProblemSettings, *, size: int = 3, shape: str = "round") -> tuple[Any, ...]:
    """Letters of a size."""
    settings.refuse_others("letters", used=("factor",))
    return data, settings.factor, size, shape


@pytest.fixture
def a_kind(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    module = types.ModuleType("steelyard.problems._kinds.letters")
    module.letters = letters  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, module.__name__, module)
    monkeypatch.setattr(_kinds, "kinds", lambda: ["letters"])
    yield


def test_every_kind_makes_tasks_and_says_what_it_is() -> None:
    for name in kinds():
        function = kind_function(name)
        assert function.__name__ == name.replace("-", "_")
        assert (function.__doc__ or "").strip()


@pytest.mark.usefixtures("a_kind")
def test_settings_are_bound_to_the_signature() -> None:
    assert load("somewhere", task="letters(size=5)", factor=2.0) == ("somewhere", 2.0, 5, "round")
    with pytest.raises(UnknownName, match=r"setting of task letters 'sise'; did you mean 'size'"):
        load("somewhere", task="letters(sise=5)")
    with pytest.raises(ArgumentError, match="size"):
        load("somewhere", task="letters(size=large)")


@pytest.mark.usefixtures("a_kind")
def test_settings_that_a_kind_has_no_use_for_are_refused() -> None:
    with pytest.raises(ArgumentError, match=r"`drop` should be left out, as letters have no use for it"):
        load("somewhere", task="letters", drop=("a",))


def test_an_unknown_kind_is_refused_with_the_nearest() -> None:
    with pytest.raises(UnknownName, match="did you mean 'tables'"):
        ProblemSettings(task="table")


def test_plain_kinds_need_no_maker() -> None:
    assert [_kinds.maker(name) for name in _kinds.PLAIN] == [None] * len(_kinds.PLAIN)
    assert Task.usual_metric == "balanced_accuracy"
