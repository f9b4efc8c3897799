"""Pictures of debLoRA: purity and entropy by class and by cluster, against numbers computed by hand."""

from __future__ import annotations

import math

import pytest
import torch
from adapted import tiny_task

from steelyard.core.fit import fit
from steelyard.core.regime import Regime
from steelyard.methods.adapters._pictures import pictures
from steelyard.settings import resolve_method

NAMES, COUNTS = ("rare", "common", "none"), torch.tensor([2, 6, 0])
TABLE = torch.tensor([[1, 1, 0], [1, 5, 0]])
TOLD = {
    "purity": 6 / 8,
    "entropy": {"rare": math.log(2), "common": 0.45, "none": 0.5},
    "own_share": {"rare": 1 / 3, "common": 0.77, "none": None},
    "moved": {"rare": 3.0, "common": 0.0, "none": 0.0},
    "spread": 2.0,
}


def values(figure: dict, place: int) -> list:
    return figure["panels"][place]["series"][0]["values"]


def test_classes_stand_from_the_largest_to_the_smallest() -> None:
    made = pictures(NAMES, COUNTS, TABLE, TOLD)["clusters of classes"]
    assert made["by_method"]
    assert made["categories"] == ["common (6)", "rare (2)", "none (0)"]
    assert values(made, 0) == [0.77, pytest.approx(1 / 3), None]
    assert values(made, 1) == [0.45, pytest.approx(math.log(2)), 0.5]
    assert values(made, 2) == [0, 1.5, 0]


def test_clusters_have_rows_purity_and_entropy() -> None:
    made = pictures(NAMES, COUNTS, TABLE, TOLD)["clusters"]
    assert not made["by_method"]
    assert values(made, 0) == [6, 2]
    assert values(made, 1) == pytest.approx([5 / 6, 1 / 2])
    mixed = [-5 / 6 * math.log(5 / 6) - 1 / 6 * math.log(1 / 6), math.log(2)]
    assert values(made, 2) == pytest.approx(mixed)
    levels = [panel["level"] for panel in made["panels"]]
    assert levels[0] is None
    assert levels[1:] == pytest.approx([6 / 8, (6 * mixed[0] + 2 * mixed[1]) / 8])


@pytest.mark.parametrize("towards", ["clusters", "own-mean", "random"])
def test_deblora_and_its_controls_hand_them_over(towards: str) -> None:
    regime = Regime(epochs=1, batch_size=20, optimizer="adamw", lr=1e-2)
    told = fit(tiny_task(), resolve_method(f"deblora(clusters=5,towards={towards})"), regime, device="cpu").explanations
    made = told["objective.loss"]["figures"]
    assert made["clusters of classes"]["categories"] == ["a (40)", "b (12)", "c (3)"]
    assert values(made["clusters of classes"], 1) == pytest.approx(list(told["objective.loss"]["entropy"].values()))
    rows, pure = values(made["clusters"], 0), values(made["clusters"], 1)
    assert sum(rows) == 55
    assert sum(n * p for n, p in zip(rows, pure, strict=True)) / 55 == pytest.approx(told["objective.loss"]["purity"])
