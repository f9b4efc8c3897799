from __future__ import annotations

from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from steelyard.bench.ranges import DIGITS, Range, read_range
from steelyard.core.errors import ArgumentError


@pytest.mark.parametrize(
    ("text", "annotation", "now", "expected"),
    [
        ("0.5..2", float, 1.0, Range(low=0.5, high=2.0)),
        (" log( 1e-3 .. 1 ) ", float, 1.0, Range(low=1e-3, high=1.0, log=True)),
        ("-1..0", float, 1.0, Range(low=-1.0, high=0.0)),
        ("1..5", int, 3, Range(low=1, high=5, whole=True)),
        ("log(8..512)", int, 3, Range(low=8, high=512, log=True, whole=True)),
        ("16|32|64", int, 3, Range(values=(16, 32, 64))),
        ("none|5|10", int | None, None, Range(values=(None, 5, 10))),
        ("head|tail", Literal["head", "tail"], "head", Range(values=("head", "tail"))),
        ("true|false", bool, True, Range(values=(True, False))),
        ("(0.5,0.8)|(0.8,0.9)", tuple[float, ...], (), Range(values=((0.5, 0.8), (0.8, 0.9)))),
        ("0.3", float, 1.0, Range(values=(0.3,))),
        ("log(0.1x..10x)", float, 0.05, Range(low=0.005, high=0.5, log=True)),
        ("0.5x..2X", float | None, 0.5, Range(low=0.25, high=1.0)),
        ("0.5x|1x|2x", int, 25, Range(values=(13, 25, 50))),
        ("0.25x|0.5x|1x", int, 1, Range(values=(1,))),
        ("auto|0.5", float | Literal["auto"], "auto", Range(values=("auto", 0.5))),
    ],
)
def test_texts_become_ranges(text: str, annotation: Any, now: Any, expected: Range) -> None:
    found = read_range("key", text, annotation, now)
    assert found == expected
    assert read_range("key", found.text, annotation, now) == found


@pytest.mark.parametrize(
    ("text", "annotation", "now", "says"),
    [
        ("2..0.5", float, 1.0, "from a smaller to a larger"),
        ("1..1", float, 1.0, "from a smaller to a larger"),
        ("", float, 1.0, "a range, such as"),
        ("1..2..3", float, 1.0, "a range, such as"),
        ("1..", float, 1.0, "a range, such as"),
        ("log(2)", float, 1.0, "a range, such as"),
        ("log(0..1)", float, 1.0, "above 0"),
        ("a..b", float, 1.0, "a finite number"),
        ("0.5..2", int, 1, "a whole number"),
        ("nan..1", float, 1.0, "a finite number"),
        ("1|", float, 1.0, "without empty ones"),
        ("1|1.0", float, 1.0, "each once"),
        ("(1|2", float, 1.0, "a range, such as"),
        ("0..1", Literal["head", "tail"], "head", "head|tail"),
        ("0..1", bool, True, "true|false"),
        ("head|tial", Literal["head", "tail"], "head", "'head' or 'tail'"),
        ("0.1x..10x", float | None, None, "it is none now and has no multiples"),
        ("0.1x..10x", float, 0.0, "it is 0.0 now and has no multiples"),
        ("1..2", dict[str, float], {}, "it is no number"),
        ("a|b", dict[str, float], {}, "cannot be written as text"),
    ],
)
def test_what_is_no_range_is_one_sentence(text: str, annotation: Any, now: Any, says: str) -> None:
    with pytest.raises(ArgumentError) as caught:
        read_range("key", text, annotation, now)
    assert says in str(caught.value)
    assert "key" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_range_knows_what_it_holds() -> None:
    assert read_range("k", "0..1", float, 0.0).holds(1)
    assert not read_range("k", "0..1", float, 0.0).holds(1.01)
    assert not read_range("k", "0..1", float, 0.0).holds(None)
    assert not read_range("k", "0..1", float, 0.0).holds(True)
    assert not read_range("k", "1..3", int, 1).holds(2.0)
    assert read_range("k", "1|2", float, 1.0).holds(2.0)
    assert not read_range("k", "true|false", bool, True).holds(1)


@given(st.floats(0.123456, 9.87654321))
def test_numbers_have_few_digits_and_stay_in_their_range(value: float) -> None:
    found = Range(low=0.123456, high=9.87654321).rounded(value)
    assert 0.123456 <= found <= 9.87654321
    assert found in (0.123456, 9.87654321) or float(f"{found:.{DIGITS}g}") == found
    assert found == pytest.approx(value, rel=10.0 ** (1 - DIGITS))
