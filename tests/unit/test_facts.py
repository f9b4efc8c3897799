from __future__ import annotations

import json

import pytest

from steelyard.bench.plan import Comparison
from steelyard.core.regime import Regime
from steelyard.facts import facts_of
from steelyard.problems import load


def plan(methods: tuple[str, ...], epochs: int) -> Comparison:
    return Comparison("digits", methods, Regime(epochs=epochs), "short", (0,), {"factor": 50.0})


def test_facts_say_what_is_compared() -> None:
    task = load("digits", factor=50.0)
    facts = facts_of(task, plan(("ce", "la(tau=2)"), 9))
    assert json.loads(json.dumps(facts)) == facts
    assert facts["data"]["counts"]["train"] == task.counts.tolist()
    assert facts["model"]["parameters"] == sum(p.numel() for p in task.model().parameters())
    assert [method["control"] for method in facts["methods"]] == [True, False]
    members = [index for name in ("many", "medium", "few") for index in facts["groups"][name]]
    assert sorted(members) == list(range(10))


@pytest.mark.parametrize(
    ("methods", "epochs", "late"),
    [
        (("ce", "la"), 1, []),
        (("drw", "drs", "ldam-drw"), 4, ["drw", "drs", "ldam-drw"]),
        (("drw", "drs", "ldam-drw"), 5, []),
        (("drw(after=0.5)",), 2, []),
        (("drw(after=1.0)", "drs(after=1)"), 2, []),
        (("mixup+drw",), 2, ["mixup+drw"]),
    ],
)
def test_parts_that_would_never_begin_are_named(methods: tuple[str, ...], epochs: int, late: list[str]) -> None:
    notes = facts_of(load("digits"), plan(methods, epochs))["notes"]
    assert [note.split(" has a part")[0] for note in notes] == late
