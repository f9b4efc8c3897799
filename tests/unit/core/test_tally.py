"""Mean weight of each class in an epoch."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny import Blobs, ce

from steelyard.core.fit import fit
from steelyard.core.objective import Evaluation, Objective
from steelyard.core.regime import Regime
from steelyard.core.roles import Assesses, Observes
from steelyard.core.rows import Clock, Rows
from steelyard.core.stage import Stage, Steps
from steelyard.core.tally import WeightTally
from steelyard.core.task import TaskView
from steelyard.core.world import World, launch
from steelyard.weightings import Deferred, InverseFrequency

CPU = torch.device("cpu")


def step(target: list[int], weights: list[float] | None, share: list[float] | None = None) -> Evaluation:
    labels = torch.tensor(target)
    rows = Rows(torch.zeros(len(target), 3), labels, share=None if share is None else torch.tensor(share))
    return Evaluation(rows, torch.ones(len(target)), None if weights is None else torch.tensor(weights), len(target), Clock())


rows_of = st.lists(st.tuples(st.integers(0, 2), st.floats(0, 9, width=32), st.sampled_from([0.0, 0.25, 1.0])), min_size=1)


@settings(max_examples=60)
@given(st.lists(rows_of, min_size=1, max_size=4), st.booleans())
def test_it_is_the_share_weighted_mean_of_each_class(steps, shared):
    tally = WeightTally(4, CPU)
    for rows in steps:
        labels, weights, share = (list(column) for column in zip(*rows, strict=True))
        tally.add(step(labels, weights, share if shared else None))
    found = tally.close(World())
    everything = [row for rows in steps for row in rows]
    for label in range(4):
        mine = [(weight, share if shared else 1.0) for own, weight, share in everything if own == label]
        mass = sum(share for _, share in mine)
        if mass == 0:
            assert torch.isnan(found[label])
        else:
            assert float(found[label]) == pytest.approx(sum(w * s for w, s in mine) / mass, rel=1e-4, abs=1e-5)


def test_unweighted_steps_say_nothing():
    tally = WeightTally(3, CPU)
    tally.add(step([0, 1], None))
    assert tally.close(World()) is None
    tally.add(step([0, 1], None))
    tally.add(step([0, 2], [2.0, 4.0]))
    assert tally.close(World()).nan_to_num(-1).tolist() == [2, -1, 4]


def test_closing_begins_anew():
    tally = WeightTally(2, CPU)
    tally.add(step([0, 1], [2.0, 4.0]))
    tally.close(World())
    assert tally.close(World()) is None
    tally.add(step([0, 1], [3.0, 5.0]))
    assert tally.close(World()).tolist() == [3, 5]


def test_it_goes_on_from_its_state():
    first, second = WeightTally(2, CPU), WeightTally(2, CPU)
    first.add(step([0, 1], [2.0, 4.0]))
    second.load_state_dict(first.state_dict())
    for tally in (first, second):
        tally.add(step([0, 0], [1.0, 3.0]))
    assert torch.equal(first.close(World()), second.close(World()))
    second.load_state_dict(WeightTally(2, CPU).state_dict())
    assert second.close(World()) is None


def of_two() -> list[float]:
    tally = WeightTally(2, CPU)
    tally.add(step([0], [1.0]) if World.current().rank == 0 else step([0, 0, 1], [3.0, 5.0, 7.0]))
    return tally.close(World.current()).tolist()


@pytest.mark.multiprocess
def test_the_rows_of_all_processes_count():
    assert launch(of_two, 2) == [3.0, 7.0]


# ---- in the loop


def weighted(view: TaskView) -> Steps:
    yield Stage(Objective(weighting=InverseFrequency(view.counts)))


def deferred(view: TaskView) -> Steps:
    yield Stage(Objective(weighting=Deferred(InverseFrequency(view.counts), after=2)))


REGIME = Regime(epochs=3, batch_size=16, lr=0.05)


def test_a_line_of_the_log_says_what_classes_weighed():
    weights = InverseFrequency([60, 25, 9]).class_weights.tolist()
    for line in fit(Blobs(), weighted, REGIME).history:
        assert line["class_weights"] == pytest.approx(weights, abs=1e-5)
    assert [line["class_weights"] for line in fit(Blobs(), ce, REGIME).history] == [None] * 3
    lines = [line["class_weights"] for line in fit(Blobs(), deferred, REGIME).history]
    assert lines[:2] == [[1, 1, 1]] * 2
    assert lines[2] == pytest.approx(weights, abs=1e-5)


def test_a_class_that_was_not_drawn_is_none_in_the_log():
    assert [line["class_weights"][1] for line in fit(Blobs(counts=(40, 0, 5)), weighted, REGIME).history] == [None] * 3


class Ear(Assesses):
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.told: list[torch.Tensor | None] = []

    def assess(self, report):
        self.told.append(report.class_weights)


def test_listeners_are_told_too():
    ear = Ear()
    fit(Blobs(), weighted, REGIME, listeners=[ear])
    assert all(told.shape == (3,) for told in ear.told)


class Bomb(Observes):
    """Ends training after a number of steps."""

    def __init__(self, steps: int) -> None:
        self.left = steps

    def observe(self, evidence):
        self.left -= 1
        if self.left == 0:
            raise KeyboardInterrupt


def test_an_epoch_that_was_interrupted_is_tallied_whole(tmp_path: Path):
    def mixed(view: TaskView) -> Steps:
        yield Stage(Objective(weighting=Loud()))

    whole = [line["class_weights"] for line in fit(Blobs(), mixed, REGIME).history]
    for steps in (3, 5):
        with pytest.raises(KeyboardInterrupt):
            fit(Blobs(), mixed, REGIME, folder=tmp_path, listeners=[Bomb(steps)], checkpoint_seconds=0.0)
    assert [line["class_weights"] for line in fit(Blobs(), mixed, REGIME, folder=tmp_path).history] == whole


class Loud(InverseFrequency):
    """A weight that differs by row and step."""

    def __init__(self) -> None:
        super().__init__([1, 1, 1])

    def forward(self, evidence):
        return 1 + (evidence.index % 7).float() + evidence.clock.step
