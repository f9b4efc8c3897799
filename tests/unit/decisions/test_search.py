from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from steelyard.decisions._search import NAMES, Judge, Line, values_along


@settings(max_examples=60)
@given(st.integers(0, 2**32 - 1), st.integers(2, 5), st.sampled_from(NAMES))
def test_every_cut_is_worth_what_its_decisions_are(seed: int, classes: int, metric: str) -> None:
    draw = np.random.default_rng(seed)
    target, chosen = draw.integers(0, classes, 30), int(draw.integers(classes))
    weight = draw.random(30) + 0.1
    rival = (chosen + 1 + draw.integers(0, classes - 1, 30)) % classes
    mass = np.bincount(target, weights=weight, minlength=classes)
    judge = Judge(metric, target, weight, mass, 1, True)
    line = Line.of(draw.integers(0, 12, 30).astype(float))
    looked, values = values_along(judge, line, rival, chosen, 5)
    expected = []
    for end in line.ends:
        decided = rival.copy()
        decided[line.order[:end]] = chosen
        expected.append(judge.value(decided))
    np.testing.assert_array_equal(looked, np.arange(len(line.ends)))
    np.testing.assert_allclose(values, expected, atol=1e-9)


def test_rows_of_equal_margin_are_not_parted_and_cuts_lie_between() -> None:
    line = Line.of(np.array([2.0, 1.0, 2.0, 5.0]))
    assert line.ends.tolist() == [0, 1, 3, 4]
    assert [line.between(cut, -9.0, 9.0) for cut in range(4)] == [-9.0, 1.5, 3.5, 9.0]
    near = Line.of(np.array([1.0, np.nextafter(1.0, 2.0)]))
    assert near.between(1, 0.0, 2.0) == 1.0


def test_a_function_is_asked_at_no_more_cuts_than_allowed() -> None:
    asked: list[int] = []

    def judged(target: np.ndarray, decided: np.ndarray) -> float:
        asked.append(int(decided.sum()))
        return float((target == decided).mean())

    target = np.arange(200) % 2
    judge = Judge(judged, target, np.ones(200), np.array([100.0, 100.0]), 1, False)
    looked, values = values_along(judge, Line.of(np.arange(200.0)), np.zeros(200, dtype=np.int64), 1, 11)
    assert len(asked) == len(looked) == len(values) == 11
    assert asked[0] == 0
    assert asked[-1] == 200
    assert values.max() == pytest.approx(0.5)
