"""What makes a comparison fair: for a seed every method starts at the same weights and sees the same rows in the same order."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import pytest
import torch
from tiny import Blobs, Held
from torch import Tensor

from steelyard.core.fit import fit
from steelyard.core.regime import Regime
from steelyard.core.roles import Prepares
from steelyard.settings import known_names, resolve_method
from steelyard.settings.probe import dry_run, slots_of

REGIME = Regime(epochs=2, batch_size=16, lr=0.05)


class Watched(Held):
    """Writes down which rows are asked for."""

    def __init__(self, rows: Held) -> None:
        super().__init__(rows.inputs, rows.target)
        self.asked: list[list[int]] = []

    def to(self, device: torch.device) -> Watched:
        return self

    def stream(self, batches: Iterable[Tensor]) -> Iterator[tuple[Tensor, Any]]:
        for index, inputs in super().stream(batches):
            self.asked.append(index.tolist())
            yield index, inputs


class Start(Prepares):
    """Keeps the weights from before the first step."""

    def __init__(self) -> None:
        self.weights: dict[str, Tensor] = {}

    def prepare(self, oracle: Any, batch: Any) -> None:
        if not self.weights:
            self.weights = {name: value.detach().clone() for name, value in oracle.model.state_dict().items()}


def begun(method: str, seed: int) -> tuple[dict[str, Tensor], list[list[int]]]:
    task, start = Blobs(), Start()
    task.splits["train"] = watched = Watched(task.splits["train"])
    fit(task, resolve_method(method), REGIME, seed=seed, listeners=[start])
    return start.weights, watched.asked[: 2 * 6]


@pytest.mark.parametrize("name", known_names("method"))
def test_methods_start_alike_and_see_the_same_rows(name: str) -> None:
    """A method with a sampler or a classifier of its own differs in that, and in nothing else."""
    weights, order = begun(name, 1)
    reference, in_order = begun("ce", 1)
    first = dry_run(resolve_method(name)).stages[0]
    if "sampler" not in slots_of(first):
        assert order == in_order
    own_classifier = weights.keys() != reference.keys()  # LDAM's has no bias
    body = [key for key in reference if not (own_classifier and key.startswith("4."))]
    assert len(body) >= len(reference) - 2
    assert all(torch.equal(weights[key], reference[key]) for key in body)


def test_seeds_differ_in_both() -> None:
    (weights, order), (others, reordered) = begun("ce", 1), begun("ce", 2)
    assert order != reordered
    assert not torch.equal(weights["0.weight"], others["0.weight"])
