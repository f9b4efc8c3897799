from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from steelyard.data.distinct import Distinct


@given(st.lists(st.lists(st.integers(-(2**63), 2**63 - 1), max_size=20), max_size=8), st.booleans())
def test_exact_below_the_limit(chunks: list[list[int]], as_text: bool) -> None:
    seen = Distinct(10_000)
    for chunk in chunks:
        seen.add(pd.Series([str(value) for value in chunk], dtype="str") if as_text else np.array(chunk, dtype=np.int64))
    every = [value for chunk in chunks for value in chunk]
    assert seen.count == len(set(every)) and seen.bits == 0
    assert seen.unique() == (len(set(every)) == len(every))


def test_beyond_the_limit_a_fair_sample_is_kept() -> None:
    seen = Distinct(2000)
    for start in range(0, 200_000, 10_000):
        seen.add(np.arange(start, start + 10_000))
    assert seen.bits > 0 and seen.unique()
    assert seen.count == pytest.approx(200_000, rel=0.15)  # 4 standard deviations of a sample of about 1000 to 2000
    seen.add(np.arange(5000, 15_000))  # each value again: some of them are in the sample
    assert not seen.unique()


def test_a_lower_limit_takes_effect() -> None:
    seen = Distinct(1000)
    seen.add(np.arange(500))
    seen.limit = 100
    seen.add(np.arange(500, 600))
    assert seen.bits >= 2 and seen.count < 2000
