"""Weights begin at the switch, in the middle of training and after a resume."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from staged import interrupted
from tiny import Blobs, numbers, same_weights

from steelyard.core.fit import fit
from steelyard.core.regime import Regime
from steelyard.core.task import TaskView
from steelyard.methods.cb_drw import cb_drw
from steelyard.methods.ce import ce
from steelyard.methods.drw import drw
from steelyard.methods.ldam_drw import ldam_drw
from steelyard.methods.rdr import rdr
from steelyard.weightings import Deferred, EffectiveNumber, InverseFrequency

COUNTS = (60, 25, 9)
REGIME = Regime(epochs=5, batch_size=16, lr=0.05)


@pytest.mark.parametrize(
    ("method", "weights"),
    [
        (drw, InverseFrequency(COUNTS)),
        (partial(drw, power=0.5), InverseFrequency(COUNTS, power=0.5)),
        (cb_drw, EffectiveNumber(COUNTS, beta=0.9999)),
    ],
    ids=["drw", "root", "cb-drw"],
)
def test_weights_are_one_and_then_those_of_the_weighting(method: object, weights: InverseFrequency) -> None:
    history = fit(Blobs(counts=COUNTS), method, REGIME, device="cpu").history
    for line in history[:4]:
        assert line["class_weights"] in (None, pytest.approx([1.0, 1.0, 1.0]))
    assert history[4]["class_weights"] == pytest.approx(weights.class_weights.tolist(), rel=1e-4)


def test_until_the_switch_it_is_plain_training_bit_for_bit() -> None:
    late, plain = (fit(Blobs(), method, REGIME, device="cpu").history for method in (drw, ce))
    assert [line["train_loss"] for line in late[:4]] == [line["train_loss"] for line in plain[:4]]
    assert late[4]["train_loss"] != plain[4]["train_loss"]


@pytest.mark.parametrize("make", [drw, cb_drw, ldam_drw, rdr])
def test_a_fraction_written_without_a_point_is_a_fraction(make: Callable[..., Any]) -> None:
    """On the command line and in Python alike: 1 is all of the epochs, so the weights never act, and not one epoch."""
    weighting = next(iter(make(TaskView(Blobs(counts=COUNTS)), after=1))).objective.weighting
    assert isinstance(weighting, Deferred)
    assert weighting.after == 1.0
    assert isinstance(weighting.after, float)


@pytest.mark.parametrize("steps", [4 * 6 - 2, 4 * 6, 4 * 6 + 2], ids=["before", "at", "behind"])
def test_a_resumed_run_switches_as_if_it_had_not_stopped(tmp_path: Path, steps: int) -> None:
    whole = fit(Blobs(), drw, REGIME, device="cpu")
    interrupted(Blobs(), drw, tmp_path, steps, REGIME)
    resumed = fit(Blobs(), drw, REGIME, folder=tmp_path, device="cpu")
    assert same_weights(whole.model, resumed.model)
    assert numbers(whole.history) == numbers(resumed.history)
