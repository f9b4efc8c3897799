from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from steelyard.core.errors import ArgumentError, SteelyardError, UnknownName
from steelyard.settings.text import (
    bind,
    convert,
    format_call,
    parameters_of,
    parse_call,
    split_call,
    split_list,
    split_outside,
    type_in_words,
)


@pytest.mark.parametrize(
    ("text", "items"),
    [
        ("", []),
        ("  ", []),
        ("ce", ["ce"]),
        ("ce, la(tau=1.5) ,ldam-drw", ["ce", "la(tau=1.5)", "ldam-drw"]),
        ("a(x=(1,2),y=[3,4]),b", ["a(x=(1,2),y=[3,4])", "b"]),
        (
            "loss=la weighting=deferred(inverse-frequency, after=0.8),ce",
            ["loss=la weighting=deferred(inverse-frequency, after=0.8)", "ce"],
        ),
    ],
)
def test_commas_inside_parentheses_stay(text: str, items: list[str]) -> None:
    assert split_list(text) == items


@pytest.mark.parametrize("text", ["ce,,la", "ce,", ",ce", "la(tau=1", "la)tau(", "la(tau=[1)", "a]"])
def test_a_broken_list_is_one_sentence(text: str) -> None:
    with pytest.raises(SteelyardError) as caught:
        split_list(text)
    assert "\n" not in str(caught.value)
    assert text in str(caught.value)


@given(st.lists(st.sampled_from(["ce", "la(tau=1.5)", "a+b", "f(x=(1,2))", "w=g(h, k=2)"]), min_size=1))
def test_joining_undoes_splitting(items: list[str]) -> None:
    assert split_list(",".join(items)) == items
    assert split_outside(" ; ".join(items), ";") == items


@pytest.mark.parametrize(
    ("text", "call"),
    [
        ("ce", ("ce", {})),
        ("ce()", ("ce", {})),
        ("la(tau=1.5)", ("la", {"tau": "1.5"})),
        (" la ( tau = 1.5 , x = (1, 2) ) ", ("la", {"tau": "1.5", "x": "(1, 2)"})),
        ("my_lab.tricks:my_method(a=b=c)", ("my_lab.tricks:my_method", {"a": "b=c"})),
    ],
)
def test_calls_are_read(text: str, call: tuple[str, dict[str, str]]) -> None:
    assert parse_call(text) == call


@pytest.mark.parametrize(
    "text",
    ["", "la(", "la(tau)", "la(1.5)", "la(tau=)", "la(tau=1)(x=2)", "la(tau=1,tau=2)", "la)", "2la", "a b", "la(tau=1)x"],
)
def test_other_texts_are_refused_in_one_sentence(text: str) -> None:
    with pytest.raises(SteelyardError) as caught:
        parse_call(text)
    assert "\n" not in str(caught.value)


def test_split_call_keeps_values_without_key() -> None:
    assert split_call("deferred(inverse-frequency(power=0.5), after=0.8)") == (
        "deferred",
        ["inverse-frequency(power=0.5)", "after=0.8"],
    )


VALUES = st.one_of(st.integers(), st.floats(allow_nan=False, allow_infinity=False), st.booleans(), st.none())


@given(st.dictionaries(st.sampled_from(["a", "b", "c"]), VALUES))
def test_formatting_and_reading_agree(settings: dict[str, Any]) -> None:
    kinds: dict[str, Any] = {key: type(value) if value is not None else float | None for key, value in settings.items()}
    name, texts = parse_call(format_call("f", settings))
    assert name == "f"
    read = {key: convert(key, text, kinds[key]) for key, text in texts.items()}
    assert read == settings
    assert all(type(read[key]) is type(settings[key]) for key in settings)


@pytest.mark.parametrize(
    ("text", "annotation", "value"),
    [
        ("3", int, 3),
        ("-3", int, -3),
        ("3", float, 3.0),
        ("1e-4", float, 1e-4),
        ("true", bool, True),
        ("false", bool, False),
        ("3", int | float, 3),
        ("3.5", int | float, 3.5),
        ("none", float | None, None),
        ("2", float | None, 2.0),
        ("none", str | None, None),
        ("text", str | None, "text"),
        ("text", Any, "text"),
        ("head", Literal["head", "tail"], "head"),
        ("2", Literal[1, 2], 2),
        ("(0.8,0.9)", tuple[float, ...], (0.8, 0.9)),
        ("(0.8,)", tuple[float, ...], (0.8,)),
        ("()", tuple[float, ...], ()),
        ("[1, 2]", list[int], [1, 2]),
        ("(1,2)", Sequence[int], (1, 2)),
        ("(1,0.5)", tuple[int, float], (1, 0.5)),
        ("(1,2)", tuple[int, ...] | None, (1, 2)),
        ("a/b", Path, Path("a/b")),
    ],
)
def test_texts_become_values_of_the_right_type(text: str, annotation: Any, value: object) -> None:
    read = convert("key", text, annotation)
    assert read == value
    assert type(read) is type(value)


@pytest.mark.parametrize(
    ("text", "annotation"),
    [
        ("3.0", int),
        ("1_000", int),
        ("1_000.0", float),
        ("x", float),
        ("nan", float),
        ("inf", float),
        ("True", bool),
        ("False", bool),
        ("1", bool),
        ("yes", bool),
        ("none", float),
        ("middle", Literal["head", "tail"]),
        ("0.8,0.9", tuple[float, ...]),
        ("(0.8,x)", tuple[float, ...]),
        ("(1,2,3)", tuple[int, float]),
        ("(1.5)", list[int]),
        ("x", dict[str, int]),
    ],
)
def test_texts_of_another_type_name_key_type_and_text(text: str, annotation: Any) -> None:
    with pytest.raises(ArgumentError) as caught:
        convert("key", text, annotation)
    message = str(caught.value)
    assert "`key`" in message
    assert repr(text) in message
    assert type_in_words(annotation) in message


def example(first: int, *, tau: float = 1.0, name: str = "x", untyped=2, **rest: int) -> None:  # type: ignore[no-untyped-def]
    """For the tests."""


def test_parameters_are_those_that_can_be_named() -> None:
    known = parameters_of(example)
    assert list(known) == ["first", "tau", "name", "untyped"]
    assert known["first"].required
    assert known["first"].positional
    assert not known["tau"].positional
    assert known["untyped"].annotation is int
    assert list(parameters_of(example, skip=("first",))) == ["tau", "name", "untyped"]


def test_parameters_of_a_class_are_those_of_its_constructor() -> None:
    class Thing:
        def __init__(self, size: int, *, flag: bool = False) -> None:
            self.size, self.flag = size, flag

    assert list(parameters_of(Thing)) == ["size", "flag"]


def test_parameters_with_annotations_that_cannot_be_looked_up_have_the_type_of_their_default() -> None:
    def odd(*, tau: Missing = 1.0, other: Missing = None) -> None:  # type: ignore[name-defined] # noqa: F821
        """For the test."""

    assert parameters_of(odd)["tau"].annotation is float
    assert parameters_of(odd)["other"].annotation is str


def test_a_partial_shows_what_is_left() -> None:
    assert parameters_of(partial(example, 1))["tau"].default == 1.0


def test_binding_converts_and_fills_nothing_in() -> None:
    assert bind("example", parameters_of(example), {"first": "1", "tau": "2"}) == {"first": 1, "tau": 2.0}


def test_an_unknown_key_says_the_nearest() -> None:
    with pytest.raises(UnknownName, match="unknown setting of example 'tua'; did you mean 'tau'"):
        bind("example", parameters_of(example), {"first": "1", "tua": "2"})


def test_a_missing_key_is_one_sentence() -> None:
    with pytest.raises(SteelyardError, match=r"'example' needs a value for first: write example\(first=\.\.\.\)"):
        bind("example", parameters_of(example), {"tau": "2"})
