"""What makes a comparison fair: for a seed every method starts at the same weights and sees the same rows in the same order."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from tiny import Blobs, pictures
from torch import Tensor

import steelyard.core.train as loop
from steelyard.core.fit import fit
from steelyard.core.regime import Regime
from steelyard.core.roles import Prepares
from steelyard.settings import known_names, resolve_method
from steelyard.settings.probe import dry_run, slots_of

OF_IMAGES = {"cutmix"}
REGIME = Regime(epochs=2, batch_size=16, lr=0.05)


class Start(Prepares):
    """Keeps the weights from before the first step."""

    def __init__(self) -> None:
        self.weights: dict[str, Tensor] = {}

    def prepare(self, oracle: Any, batch: Any) -> None:
        if not self.weights:
            self.weights = {name: value.detach().clone() for name, value in oracle.model.named_parameters()}


def begun(
    method: str, seed: int, monkeypatch: pytest.MonkeyPatch, *, images: bool = False
) -> tuple[dict[str, Tensor], list[list[int]]]:
    """Weights before the first step, and the rows of the loop's first batches, before any transform."""
    start, drawn, ticks = Start(), list[list[int]](), loop._ticks

    def watched(*arguments: Any) -> Iterator[Any]:
        for clock, index, inputs in ticks(*arguments):
            drawn.append(index.tolist())
            yield clock, index, inputs

    with monkeypatch.context() as patch:
        patch.setattr(loop, "_ticks", watched)
        fit(pictures(Blobs()) if images else Blobs(), resolve_method(method), REGIME, seed=seed, listeners=[start])
    return start.weights, drawn[: 2 * 6]


PLAIN: dict[bool, tuple[dict[str, Tensor], list[list[int]]]] = {}
"""How plain training began, of tables and of images: found out once."""


@pytest.mark.parametrize("name", known_names("method"))
def test_methods_start_alike_and_see_the_same_rows(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A method with a sampler, rows held back or a classifier of its own differs in that, and in nothing else."""
    images = name in OF_IMAGES
    weights, order = begun(name, 1, monkeypatch, images=images)
    if images not in PLAIN:
        PLAIN[images] = begun("ce", 1, monkeypatch, images=images)
    reference, in_order = PLAIN[images]
    first = dry_run(resolve_method(name)).stages[0]
    if not {"sampler", "task"} & slots_of(first).keys():
        assert order == in_order
    own_classifier = weights.keys() != reference.keys()  # LDAM's has no bias
    body = [key for key in reference if not (own_classifier and key.startswith("4."))]
    assert len(body) >= len(reference) - 2
    assert all(torch.equal(weights[key], reference[key]) for key in body)


def test_seeds_differ_in_both(monkeypatch: pytest.MonkeyPatch) -> None:
    (weights, order), (others, reordered) = begun("ce", 1, monkeypatch), begun("ce", 2, monkeypatch)
    assert order != reordered
    assert not torch.equal(weights["0.weight"], others["0.weight"])
