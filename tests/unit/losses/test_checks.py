"""The check of numbers."""

import math

import numpy as np
import pytest

from steelyard.core.errors import ArgumentError
from steelyard.losses._checks import check_number


@pytest.mark.parametrize("value", [0, 0.5, np.float32(0.25), np.int64(1), 1.0])
def test_numbers_of_any_kind_become_floats(value):
    found = check_number("q", value, low=0, high=1)
    assert type(found) is float
    assert found == value


@pytest.mark.parametrize("value", [-0.1, 1.1, math.nan, math.inf, -math.inf, "0.5", None, True, [0.5], 1j])
def test_other_things_are_refused(value):
    with pytest.raises(ArgumentError, match=r"`q` should be a number in \[0, 1\]; found"):
        check_number("q", value, low=0, high=1)


def test_ends_and_their_words():
    assert check_number("q", 1, low=0, high=1) == 1
    with pytest.raises(ArgumentError, match=r"\[0, 1\); found 1"):
        check_number("q", 1, low=0, high=1, open_high=True)
    with pytest.raises(ArgumentError, match="a finite number, 0 or more; found -1"):
        check_number("gamma", -1, low=0)
    with pytest.raises(ArgumentError, match="a finite number; found inf"):
        check_number("tau", math.inf)
