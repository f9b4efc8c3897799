"""Weights by class difficulty."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from ending import Bomb
from hypothesis import given
from hypothesis import strategies as st
from tiny import Blobs, numbers, same_weights
from torch import Tensor

from steelyard.core.errors import ArgumentError, CombinationError
from steelyard.core.fit import fit
from steelyard.core.measure import Report
from steelyard.core.objective import Objective
from steelyard.core.regime import Regime
from steelyard.core.roles import Observes
from steelyard.core.rows import Clock, Evidence
from steelyard.core.stage import Stage, Steps
from steelyard.core.task import TaskView
from steelyard.core.world import World, launch
from steelyard.settings import resolve_method
from steelyard.weightings import ClassDifficulty
from steelyard.weightings.class_difficulty import dynamic_tau

REGIME = Regime(epochs=3, batch_size=16, lr=0.05)
accuracies = st.lists(st.floats(0, 1), min_size=2, max_size=9)


def after(accuracy: list[float], **settings: Any) -> Tensor:
    weigh = ClassDifficulty(len(accuracy), **settings)
    weigh.update(torch.tensor(accuracy))
    return weigh.class_weights


@pytest.mark.parametrize(
    ("high", "low", "paper", "released"),
    [(0.5, 0.5, 0.990, 0.727), (0.9, 0.5, 1.365, 0.854), (0.9, 0.1, 1.998, 1.000), (0.8, 0.0, 2.000, 1.000)],
)
def test_dynamic_tau_in_both_forms(high: float, low: float, paper: float, released: float) -> None:
    accuracy = torch.tensor([high, (high + low) / 2, low])
    assert float(dynamic_tau(accuracy)) == pytest.approx(paper, abs=6e-4)
    assert float(dynamic_tau(accuracy, "dynamic_released")) == pytest.approx(released, abs=6e-4)


def test_weights_are_one_before_the_first_epoch_has_ended() -> None:
    assert ClassDifficulty(3).class_weights.tolist() == [1, 1, 1]


@pytest.mark.parametrize("tau", [0.5, 1.0, 1.5, "dynamic", "dynamic_released"])
def test_the_formula(tau: Any) -> None:
    accuracy = torch.tensor([0.9, 0.6, 0.2])
    exponent = float(dynamic_tau(accuracy, tau)) if isinstance(tau, str) else tau
    by_hand = [(1 - a) ** exponent for a in accuracy.tolist()]
    expected = torch.tensor([3 * w / sum(by_hand) for w in by_hand])
    torch.testing.assert_close(after(accuracy.tolist(), tau=tau, floor=0.0), expected)


@given(accuracies, st.sampled_from(["dynamic", "dynamic_released", 0.5, 2.0]), st.sampled_from([0.0, 0.01, 0.3]))
def test_the_sum_is_c_and_harder_classes_weigh_more(accuracy: list[float], tau: Any, floor: float) -> None:
    weights = after(accuracy, tau=tau, floor=floor)
    assert weights.isfinite().all()
    assert float(weights.sum()) == pytest.approx(len(accuracy), rel=1e-4)
    order = torch.tensor(accuracy).sort(descending=True).indices
    assert (weights[order].diff() >= -1e-5).all()
    if floor:
        assert (weights > 0).all()


@given(accuracies, st.integers(0, 1000))
def test_classes_in_another_order(accuracy: list[float], seed: int) -> None:
    order = torch.randperm(len(accuracy), generator=torch.Generator().manual_seed(seed)).tolist()
    torch.testing.assert_close(after([accuracy[c] for c in order]), after(accuracy)[order])


def test_a_tau_of_zero_and_equal_accuracies_give_ones() -> None:
    assert after([0.9, 0.1, 1.0], tau=0.0).tolist() == [1, 1, 1]
    assert after([0.7, 0.7, 0.7]).tolist() == [1, 1, 1]


@pytest.mark.parametrize("floor", [0.0, 0.01])
@pytest.mark.parametrize("accuracy", [1.0, 0.0])
def test_all_right_and_all_wrong_are_equal_weights(floor: float, accuracy: float) -> None:
    assert after([accuracy] * 3, floor=floor).tolist() == [1, 1, 1]


def test_a_class_without_errors_keeps_some_weight_with_the_floor_and_none_without() -> None:
    assert after([1.0, 0.5], tau=1.0, floor=0.0)[0] == 0
    assert after([1.0, 0.5], tau=1.0)[0] == pytest.approx(2 * 0.01 / 0.51)


def test_a_moving_average_begins_at_the_first_epoch() -> None:
    weigh = ClassDifficulty(2, ema=0.75)
    weigh.update(torch.tensor([0.4, 0.8]))
    weigh.update(torch.tensor([0.8, 0.4]))
    torch.testing.assert_close(weigh.class_accuracy, torch.tensor([0.5, 0.7]))


def test_a_class_that_was_not_measured_weighs_like_one_of_mean_accuracy() -> None:
    weigh = ClassDifficulty(3, tau=1.0)
    weigh.update(torch.tensor([0.9, 0.5, torch.nan]))
    torch.testing.assert_close(weigh.class_weights, torch.tensor([1 / 3, 5 / 3, 1.0]))
    weigh.update(torch.tensor([torch.nan, 0.5, 0.1]))  # keeps what it had
    torch.testing.assert_close(weigh.class_accuracy, torch.tensor([0.9, 0.5, 0.1]))
    nothing = ClassDifficulty(2)
    nothing.update(torch.full((2,), torch.nan))
    assert nothing.class_weights.tolist() == [1, 1]


def report(recall: Tensor | None) -> Report:
    return Report(stage=0, clock=Clock(), train_loss=1.0, lr=0.1, seconds=1.0, steps=1, recall=recall)


def test_it_is_taught_by_the_validation_rows() -> None:
    weigh = ClassDifficulty(2, tau=1.0)
    weigh.observe(Evidence(torch.tensor([0])))
    weigh.assess(report(torch.tensor([0.9, 0.6])))
    torch.testing.assert_close(weigh(Evidence(torch.tensor([1, 0]))), torch.tensor([1.6, 0.4]))
    with pytest.raises(CombinationError, match="this task has none"):
        weigh.assess(report(None))


def test_or_by_the_rows_of_the_epoch_with_their_shares() -> None:
    weigh = ClassDifficulty(3, tau=1.0, accuracy="train")
    scores = torch.eye(3)[[0, 1, 0, 0]]
    weigh.observe(Evidence(torch.tensor([0, 1, 1, 1]), logits=scores, share=torch.tensor([1.0, 0.5, 0.25, 0.25])))
    weigh.observe(Evidence(torch.tensor([0]), logits=torch.eye(3)[[2]]))
    weigh.assess(report(None))
    torch.testing.assert_close(weigh.class_accuracy, torch.tensor([0.5, 0.5, -1.0]))
    weigh.observe(Evidence(torch.tensor([1, 2]), logits=torch.eye(3)[[1, 1]]))
    weigh.assess(report(None))
    assert weigh.class_accuracy.tolist() == [0.5, 1.0, 0.0]
    with pytest.raises(CombinationError, match="needs scores"):
        weigh.observe(Evidence(torch.tensor([0])))


class Seen(Observes):
    """Notes the class weights at every step."""

    def __init__(self, weighting: ClassDifficulty) -> None:
        self.weighting = weighting
        self.tables: list[tuple[int, tuple[float, ...]]] = []

    def observe(self, evidence: Evidence) -> None:
        self.tables.append((evidence.clock.epoch, tuple(self.weighting.class_weights.tolist())))


@pytest.mark.parametrize("accuracy", ["valid", "train"])
def test_weights_change_between_epochs_only(accuracy: Any) -> None:
    weigh = ClassDifficulty(3, accuracy=accuracy)
    seen = Seen(weigh)

    def method(task: TaskView) -> Steps:
        yield Stage(Objective(weighting=weigh))

    fit(Blobs(), method, REGIME, device="cpu", listeners=[seen])
    by_epoch = [{table for epoch, table in seen.tables if epoch == number} for number in range(3)]
    assert [len(tables) for tables in by_epoch] == [1, 1, 1]
    assert len(set.union(*by_epoch)) == 3
    assert by_epoch[0] == {(1.0, 1.0, 1.0)}


@pytest.mark.parametrize("method", ["cdb(ema=0.5)", "cdb(accuracy=train)"])
def test_a_run_goes_on_where_it_was_ended_bit_for_bit(method: str, tmp_path: Path) -> None:
    recipe = resolve_method(method)
    whole = fit(Blobs(), recipe, REGIME, device="cpu")
    with pytest.raises(KeyboardInterrupt):
        fit(
            Blobs(),
            recipe,
            REGIME,
            device="cpu",
            folder=tmp_path,
            checkpoint_seconds=0.0,
            listeners=[Bomb(9, KeyboardInterrupt)],
        )
    resumed = fit(Blobs(), recipe, REGIME, device="cpu", folder=tmp_path, checkpoint_seconds=0.0)
    assert same_weights(whole.model, resumed.model)
    assert numbers(whole.history) == numbers(resumed.history)


def test_without_validation_rows_the_method_says_so_before_it_trains() -> None:
    with pytest.raises(CombinationError, match=r"use cdb\(accuracy=train\)"):
        fit(Blobs(valid=False), resolve_method("cdb(accuracy=valid)"), REGIME, device="cpu")
    fit(Blobs(valid=False), resolve_method("cdb"), REGIME, device="cpu")


def counted_by_two() -> list[list[float]]:
    world, weigh = World.current(), ClassDifficulty(2, accuracy="train")
    right = world.rank
    weigh.observe(Evidence(torch.tensor([0, 1]), logits=torch.eye(2)[[0, right]]))
    weigh.assess(report(None))
    return world.gather(weigh.class_accuracy.tolist())


@pytest.mark.multiprocess
def test_two_processes_count_together() -> None:
    assert launch(counted_by_two, 2) == [[1.0, 0.5], [1.0, 0.5]]


@pytest.mark.parametrize(
    ("argument", "value"),
    [
        ("tau", -1.0),
        ("tau", "static"),
        ("tau", float("nan")),
        ("ema", 1.0),
        ("floor", 1.5),
        ("accuracy", "test"),
        ("num_classes", 0),
    ],
)
def test_wrong_arguments_are_named(argument: str, value: Any) -> None:
    with pytest.raises(ArgumentError, match=f"`{argument}`"):
        ClassDifficulty(**({"num_classes": 3} | {argument: value}))


@pytest.mark.parametrize(
    "accuracy", [torch.rand(4), [0.5, 0.2], torch.tensor([95.0, 80.0, 30.0]), torch.tensor([0.5, -0.1, 0.2])]
)
def test_accuracies_of_other_classes_and_percentages_are_refused(accuracy: Any) -> None:
    weighting = ClassDifficulty(3)
    with pytest.raises(ArgumentError, match="`accuracy`"):
        weighting.update(accuracy)
    assert torch.equal(weighting.class_weights, torch.ones(3))


def test_a_list_of_accuracies_will_do() -> None:
    first, second = ClassDifficulty(3), ClassDifficulty(3)
    first.update([0.9, 0.5, float("nan")])  # type: ignore[arg-type]
    second.update(torch.tensor([0.9, 0.5, torch.nan]))
    assert torch.equal(first.class_weights, second.class_weights)
