"""Successive halving, with methods whose quality is known."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from steelyard.core.errors import SteelyardError
from steelyard.core.regime import Regime
from steelyard.estimator.auto import CANDIDATES, ROUNDS, SEARCH_ROWS, choose, without_comparison
from steelyard.estimator.deciding import Held
from steelyard.estimator.scoring import metric_of
from steelyard.estimator.splitting import choose_split
from steelyard.estimator.table import Table
from steelyard.settings import resolve_method

REGIME = Regime(epochs=100, batch_size=64)


def table(rows=1000, share=0.2):
    target = (torch.arange(rows) < rows * share).long()
    return Table(None, torch.zeros(rows, 1), target, ("no", "yes"), choose_split(target, 0.5), None, "mlp", {})


class Bench:
    """Gives each method scores of known skill, and remembers what it was asked."""

    def __init__(self, skill, broken=()):
        self.skill, self.broken, self.asked = skill, broken, []

    def __call__(self, rows, recipe, regime, seed):
        self.asked.append((recipe.name, regime.epochs, len(rows.split.train)))
        if recipe.name in self.broken:
            raise SteelyardError("does not go with this table")
        target = rows.target[rows.split.judged]
        noise = torch.from_numpy(np.random.default_rng(0).normal(size=len(target)))
        odds = self.skill[recipe.name] * (target - 0.5) + noise
        prior = np.bincount(target.numpy()) / len(target)
        return Held(torch.stack([torch.zeros_like(odds), odds], 1), target, None, prior)


def run(bench, metric="balanced_accuracy", candidates=("ce", "la", "focal", "drw"), **kwargs):
    return choose(table(**kwargs), lambda rows: REGIME, metric_of(metric), "auto", fit=bench, candidates=candidates)


@pytest.mark.parametrize("metric", ["balanced_accuracy", "auprc", "log_loss", "brier", "mcc"])
def test_a_clearly_better_method_is_found(metric):
    chosen, tried = run(Bench({"ce": 1.0, "la": 1.0, "focal": 3.0, "drw": 0.5}), metric)
    assert chosen.name == "focal"
    assert [one.chosen for one in tried] == [False, False, True, False]
    assert tried[3].note == "out after round 1"
    assert tried[2].low <= tried[2].score <= tried[2].high


def test_what_cannot_be_told_apart_goes_to_the_first():
    chosen, tried = run(Bench({"ce": 2.0, "la": 2.02, "focal": 2.01, "drw": 2.0}))
    assert chosen.name == "ce"
    assert tried[0].chosen


def test_half_of_the_methods_leave_and_epochs_grow():
    bench = Bench({"ce": 1.0, "la": 3.0, "focal": 2.0, "drw": 0.5})
    run(bench)
    first, second = (round(100 * share) for share in ROUNDS)
    assert [name for name, epochs, _ in bench.asked if epochs == first] == ["ce", "la", "focal", "drw"]
    assert [name for name, epochs, _ in bench.asked if epochs == second] == ["ce", "la", "focal"]  # the first always stays


def test_many_rows_are_thinned():
    bench = Bench(dict.fromkeys(("ce", "la"), 1.0))
    run(bench, candidates=("ce", "la"), rows=3 * SEARCH_ROWS)
    assert {rows for _, _, rows in bench.asked} == {SEARCH_ROWS}


def test_few_rows_are_not_searched():
    bench = Bench({})
    for small in ({"rows": 100}, {"rows": 2000, "share": 0.01}):
        chosen, tried = run(bench, **small)
        assert chosen.name == "ce"
        assert "too few rows" in tried[0].note
    assert not bench.asked


def test_a_method_that_fails_is_passed_over():
    skill = {"ce": 1.0, "la": 2.0, "focal": 1.0, "drw": 0.5}
    chosen, tried = run(Bench(skill, broken=("ce",)))
    assert chosen.name == "la"
    assert "does not go with this table" in tried[0].note
    assert tried[0].score is None


def test_a_function_of_the_user_decides():
    def right(proba, target):
        return float((proba.argmax(1) == target).mean())

    chosen, tried = run(Bench({"ce": 1.0, "la": 2.0, "focal": 3.0, "drw": 0.5}), right)
    assert chosen.name == "focal"
    assert tried[2].low is None


@pytest.mark.parametrize(("broken", "taken"), [((), "ce"), (("ce",), "la"), (("ce", "la", "focal", "drw"), "ce")])
def test_a_metric_that_is_no_number_compares_nothing_and_that_is_said(broken, taken):
    def nothing(proba, target):
        return float("nan")

    bench = Bench({"ce": 1.0, "la": 2.0, "focal": 3.0, "drw": 0.5}, broken)
    chosen, tried = run(bench, nothing)
    assert chosen.name == taken and [one.method for one in tried if one.chosen] == [taken]
    assert len(bench.asked) == 4  # nothing is trained in further rounds
    wanted = f"'nothing' gave no number for any method on the rows held out, so {taken} was taken"
    assert without_comparison(tried, metric_of(nothing)) == ([wanted] if len(broken) < 4 else [])


def test_the_short_list_can_be_read():
    assert [resolve_method(name).name for name in CANDIDATES] == list(CANDIDATES)
