"""Count profiles: the published vectors, exactly, and what a draw may be."""

from __future__ import annotations

import itertools
import re

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from steelyard.core.errors import ArgumentError, UnknownName
from steelyard.data import Shots
from steelyard.data.shots import DRAWN, PROFILES


def stream(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize(
    ("shots", "expected"),
    [
        (Shots("balanced", 5, 5), [5, 5, 5, 5, 5]),
        (Shots("balanced", 1, 9), [5, 5, 5, 5, 5]),
        (Shots("balanced", 1, 4), [2, 2, 2, 2, 2]),
        (Shots("linear", 4, 6), [4, 4, 5, 6, 6]),
        (Shots("linear", 3, 7), [3, 4, 5, 6, 7]),
        (Shots("linear", 2, 8), [2, 3, 5, 7, 8]),
        (Shots("linear", 1, 9), [1, 3, 5, 7, 9]),
        (Shots("step", 1, 9), [1, 9, 9, 9, 9]),
        (Shots("step", 1, 9, minority=0.8), [1, 1, 1, 1, 9]),
        (Shots("step", 1, 6), [1, 6, 6, 6, 6]),
        (Shots("step", 1, 21, minority=0.8), [1, 1, 1, 1, 21]),
        (Shots("tail", 5, 100), [5, 5, 5, 6, 8, 14, 23, 39, 64, 100]),
        (Shots("tail", 3, 49), [3, 3, 3, 3, 4, 7, 12, 19, 31, 49]),  # 3 / 49 * 49 is below 3 in floating point
    ],
)
def test_fixed_profiles_are_those_of_the_paper(shots: Shots, expected: list[int]) -> None:
    assert shots.ordered(len(expected)).tolist() == expected
    assert shots.most == max(expected)


@pytest.mark.parametrize(
    ("shots", "classes", "total"),
    [
        (Shots("step", 1, 9), 5, 37),
        (Shots("step", 1, 9, minority=0.8), 5, 13),
        (Shots("step", 1, 6), 5, 25),
        (Shots("step", 1, 21, minority=0.8), 5, 25),
        (Shots("linear", 1, 9), 5, 25),
        (Shots("linear", 30, 570), 64, 19_200),
        (Shots("step", 30, 570, minority=0.5), 64, 19_200),
        (Shots("step", 25, 444, minority=0.34375), 64, 19_198),
        (Shots("balanced", 300, 300), 64, 19_200),
    ],
)
def test_totals_are_those_of_the_paper(shots: Shots, classes: int, total: int) -> None:
    assert int(shots(classes, stream()).sum()) == total


def test_the_number_of_minority_classes_is_rounded_not_cut_off() -> None:
    assert int((Shots("step", 1, 2, minority=0.29).ordered(100) == 1).sum()) == 29  # int(0.29 * 100) is 28


@given(
    profile=st.sampled_from(PROFILES),
    low=st.integers(1, 8),
    more=st.integers(0, 12),
    classes=st.integers(2, 12),
    seed=st.integers(0, 5),
)
def test_every_draw_is_within_its_range_and_belongs_to_its_seed(profile, low, more, classes, seed):
    shots = Shots(profile, low, low + more, minority=0.5 if profile == "step" else None)
    counts = shots(classes, stream(seed))
    assert counts.shape == (classes,)
    assert counts.dtype == torch.int64
    assert low <= int(counts.min())
    assert int(counts.max()) <= shots.most <= low + more
    assert set(counts.tolist()) <= set(shots.possible(classes))
    assert torch.equal(counts, shots(classes, stream(seed)))
    if profile not in DRAWN:
        assert torch.equal(counts.sort().values, shots.ordered(classes))


@pytest.mark.parametrize("profile", ["linear", "step", "random", "random-step", "unbiased", "tail"])
def test_no_label_is_always_the_rarest(profile: str) -> None:
    drawn = stream()
    shots = Shots(profile, 1, 9)
    rarest = torch.stack([(counts == counts.min()).float() for counts in (shots(5, drawn) for _ in range(600))])
    expected = float(rarest.mean())
    assert (rarest.mean(0) - expected).abs().max() < 0.08


def test_unbiased_draws_every_multiset_equally_often() -> None:
    drawn, shots = stream(), Shots("unbiased", 1, 3)
    found = [tuple(shots.ordered(3, drawn).tolist()) for _ in range(4000)]
    possible = list(itertools.combinations_with_replacement([1, 2, 3], 3))
    assert set(found) == set(possible)
    shares = torch.tensor([found.count(one) / len(found) for one in possible])
    assert (shares - 1 / len(possible)).abs().max() < 0.02
    assert len(list(itertools.combinations_with_replacement(range(1, 10), 5))) == 1287  # of which there are so many for 1-9


def test_random_step_has_a_class_on_both_sides() -> None:
    drawn, shots = stream(), Shots("random-step", 1, 9)
    few = [int((shots(5, drawn) == 1).sum()) for _ in range(400)]
    assert set(few) == {1, 2, 3, 4}


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: Shots("lineal", 1, 9), "did you mean 'linear'"),
        (lambda: Shots("linear", 0, 9), "class without support"),
        (lambda: Shots("linear", 9, 1), "LOW at most HIGH"),
        (lambda: Shots("linear", 1, 9, minority=0.2), "has no minority"),
        (lambda: Shots("step", 1, 9, minority=1.0), "in (0, 1)"),
        (lambda: Shots("step", 1, 9, exponent=2.0), "has no exponent"),
        (lambda: Shots("tail", 1, 9, exponent=0.0), "above 0"),
        (lambda: Shots.parse("1-9-3", "linear"), "LOW-HIGH"),
        (lambda: Shots.parse("one", "linear"), "LOW-HIGH"),
        (lambda: Shots("step", 1, 9).check(2), "both sides of the step"),
        (lambda: Shots("linear", 1, 9).ordered(1), "at least 2 classes"),
    ],
)
def test_what_cannot_be_is_said_in_a_sentence(make, said):
    with pytest.raises((ArgumentError, UnknownName), match=re.escape(said)):
        make()
