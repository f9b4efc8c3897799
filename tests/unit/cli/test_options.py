from __future__ import annotations

import pytest

from steelyard.cli.comparing import DEFAULT_METHODS
from steelyard.cli.comparing import METRICS as RANKED_BY
from steelyard.cli.options import key_value, seeds_of
from steelyard.core.errors import ArgumentError
from steelyard.metrics import METRICS
from steelyard.settings import resolve_method


@pytest.mark.parametrize(("text", "expected"), [("3", (0, 1, 2)), ("4,7", (4, 7)), ("4,", (4,)), ("1", (0,)), (" 2 ", (0, 1))])
def test_seeds_are_a_number_or_a_list(text: str, expected: tuple[int, ...]) -> None:
    assert seeds_of(text) == expected


@pytest.mark.parametrize("text", ["", "x", "0", "-1", "1,x", "-1,2", "1.5"])
def test_what_are_no_seeds_is_refused(text: str) -> None:
    with pytest.raises(ArgumentError, match="--seeds"):
        seeds_of(text)


def test_keys_and_values() -> None:
    assert key_value("--search", " lr = log(1e-3..1)", "lr=1") == ("lr", "log(1e-3..1)")
    for text in ("lr", "=1", ""):
        with pytest.raises(ArgumentError, match="--search"):
            key_value("--search", text, "lr=1")


def test_what_compare_uses_unless_told_otherwise_exists() -> None:
    assert set(RANKED_BY) <= set(METRICS)
    assert all(resolve_method(name).name == name for name in DEFAULT_METHODS)
