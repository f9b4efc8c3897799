from __future__ import annotations

import dataclasses
import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from steelyard.core.errors import ArgumentError, UnknownName
from steelyard.diagnosis import Measured, advise, lost_recall, measured, taxonomy
from steelyard.diagnosis.advice import EQUAL, FEW, METRICS, NOTHING, PLENTY, PLENTY_OF_EACH, SHORT_LIST
from steelyard.settings import describe_method


def numbers(eta: float = 9.0, delta: float = 2.0, dim: int = 50, rows: int = 500, **changes: object) -> Measured:
    """What the closed forms say of two Gaussian classes."""
    few = rows / (1 + eta)
    lost = lost_recall(delta, rows - few, few, dim)
    found = Measured(
        classes=2,
        rows=rows,
        features=dim,
        fewest=max(int(few), 1),
        eta=eta,
        delta=delta,
        delta_low=0.8 * delta,
        recall=lost.recall,
        adjusted=lost.recall + lost.curable,
        ideal=lost.ideal,
        prior=lost.prior,
        count_bias=lost.count_bias,
        estimation=lost.estimation,
        curable=lost.curable,
        held_out=math.nan,
    )
    return dataclasses.replace(found, **changes)


def first(found: Measured, metric: str = "balanced_accuracy") -> str:
    return advise(found, metric=metric).methods[0].method


def text(found: Measured, metric: str = "balanced_accuracy") -> str:
    advice = advise(found, metric=metric)
    return " / ".join((*(one.reason for one in advice.methods), *advice.also, *advice.cannot))


def test_each_rule_decides_where_it_should() -> None:
    assert first(numbers(eta=1.1)) == "ce"
    assert first(numbers(eta=4, delta=6, dim=5, rows=2000)) == "la"  # nothing to cure
    assert first(numbers(eta=9, delta=2, dim=10, rows=20_000)) == "la"  # plenty of rows
    assert first(numbers()) == "mixup-bs"
    assert first(numbers(), "accuracy") == "ce"


def test_the_borders_are_where_they_are_said_to_be() -> None:
    few = numbers(fewest=PLENTY - 1, features=1)
    assert [first(dataclasses.replace(few, fewest=n)) for n in (PLENTY - 1, PLENTY)] == ["mixup-bs", "la"]
    many = numbers(rows=100_000, fewest=50 * PLENTY_OF_EACH - 1)
    assert [first(dataclasses.replace(many, fewest=n, features=50)) for n in (many.fewest, many.fewest + 1)] == [
        "mixup-bs",
        "la",
    ]
    assert [first(numbers(curable=c)) for c in (NOTHING - 1e-9, NOTHING)] == ["la", "mixup-bs"]
    assert [first(numbers(eta=e)) for e in (EQUAL, EQUAL + 1e-9)] == ["ce", "mixup-bs"]


@given(
    eta=st.floats(1, 1e4),
    delta=st.floats(0.001, 8),
    dim=st.integers(1, 300),
    rows=st.integers(400, 100_000),
    unknown=st.booleans(),
    metric=st.sampled_from(METRICS),
)
def test_the_same_numbers_give_the_same_advice_from_the_short_list(
    eta: float, delta: float, dim: int, rows: int, unknown: bool, metric: str
) -> None:
    found = numbers(eta, delta, dim, rows)
    if unknown:
        found = dataclasses.replace(found, ideal=math.nan, estimation=math.nan, held_out=0.3)
    advice = advise(found, metric=metric)
    assert advice == advise(dataclasses.replace(found), metric=metric)
    names = [one.method for one in advice.methods]
    assert names
    assert set(names) <= set(SHORT_LIST)
    assert len(set(names)) == len(names)
    said = text(found, metric)
    assert "nan" not in said
    assert "inf " not in said
    assert all(one.reason for one in advice.methods)


def test_the_short_list_are_methods() -> None:
    assert [describe_method(name).name for name in SHORT_LIST] == list(SHORT_LIST)


def test_what_cannot_help_is_said() -> None:
    assert "nothing goes far beyond adjustment" in text(numbers(eta=9, delta=1.5, dim=5, rows=50_000))
    assert "Bayes limit" in text(numbers(delta=2.5, dim=100))
    assert "separates classes whose means may well be the same" in text(numbers(delta=0.1, delta_low=0.0))
    assert "brings back" in text(numbers(dim=200))
    assert "the smallest class has 5" in text(numbers(fewest=5))
    assert "the smallest class has" not in text(numbers(fewest=FEW))
    assert "10 % seem wrong" in text(numbers(noise=0.1))
    assert "seem wrong" not in text(numbers(noise=0.01)) + text(numbers())
    easy = numbers(eta=4, delta=7, dim=2, rows=4000)
    assert "heavy rebalancing" in text(easy)
    assert "heavy rebalancing" not in text(easy, "accuracy")


def test_more_separability_never_makes_the_advice_heavier() -> None:
    order = [first(numbers(eta=9, delta=delta, dim=10, rows=2000)) for delta in np.linspace(0.5, 8, 40)]
    changes = sum(one != other for one, other in itertools.pairwise(order))
    assert (order[0], order[-1], changes) == ("mixup-bs", "la", 1)


def test_a_taxonomy_is_measured_of_the_class_that_is_worst_off() -> None:
    rng = np.random.default_rng(0)
    X = rng.normal(size=(660, 6))
    y = np.repeat([0, 1, 2], [500, 100, 60])
    X[y == 1, 0] += 1.2
    X[y == 2, 1] += 5
    found = taxonomy(X, y)
    seen = measured(found, noise=0.2)
    worst = found.classes[found.worst]
    assert worst.label == 1
    assert (seen.classes, seen.rows, seen.fewest, seen.eta, seen.noise) == (3, 660, 60, 500 / 60, 0.2)
    assert seen.delta == found.delta
    assert seen.curable == pytest.approx(min(worst.recall_adjusted - worst.recall, 1 - worst.recall_held_out))
    assert seen.recall < seen.adjusted
    assert seen.to_dict()["noise"] == 0.2


def test_no_more_is_curable_than_rows_held_out_miss() -> None:
    rng = np.random.default_rng(0)
    X = rng.normal(size=(200, 2))
    y = np.repeat([0, 1], [180, 20])
    X[y == 1] += 40
    seen = measured(taxonomy(X, y))
    assert seen.held_out == 1
    assert seen.curable <= 0
    assert first(seen) == "la"


@pytest.mark.parametrize(
    ("change", "name"),
    [({"classes": 1}, "classes"), ({"fewest": 0}, "fewest"), ({"fewest": 501}, "fewest"), ({"features": 0}, "features"),
     ({"eta": 0.5}, "eta"), ({"delta": -1.0}, "delta"), ({"noise": 2.0}, "noise")],
)  # fmt: skip
def test_numbers_that_no_data_have_are_refused(change: dict[str, object], name: str) -> None:
    with pytest.raises(ArgumentError, match=f"`{name}`"):
        numbers().__class__(**(dataclasses.asdict(numbers()) | change))


def test_another_metric_is_refused() -> None:
    with pytest.raises(UnknownName, match="balanced_accuracy"):
        advise(numbers(), metric="balanced")
