"""Rows that are kept for the step: one forward pass for two uses, and the same bits as without."""

from __future__ import annotations

import pytest
import torch
from tiny import Blobs, blobs, network, numbers, same_weights
from torch import nn

from steelyard.core.descent import plain
from steelyard.core.fit import fit
from steelyard.core.objective import Objective
from steelyard.core.oracle import Oracle
from steelyard.core.regime import Regime
from steelyard.core.roles import Follows, Observes, Prepares
from steelyard.core.rows import Batch, Rows
from steelyard.core.stage import Stage, Steps
from steelyard.core.task import TaskView
from steelyard.core.weighting import Uniform

REGIME = Regime(epochs=2, batch_size=16, lr=0.05)


def setting() -> tuple[nn.Module, Oracle, Batch]:
    torch.manual_seed(0)
    model, rows = network(), blobs((8, 5, 3), 0)
    oracle = Oracle(model, lambda model, batch: Rows(model(batch.inputs), batch.target), Objective())
    return model, oracle, Batch(rows.inputs, rows.target, torch.arange(16))


def test_the_next_evaluation_uses_the_kept_rows_once():
    _, oracle, batch = setting()
    kept = oracle.keep(batch)
    assert oracle(batch).rows is kept
    assert oracle(batch).rows is not kept


@pytest.mark.parametrize("how", ["probe", "at", "other batch"])
def test_other_evaluations_leave_the_kept_rows_alone(how):
    _, oracle, batch = setting()
    kept = oracle.keep(batch)
    if how == "probe":
        rows = oracle(batch, probe=True).rows
    elif how == "at":
        rows = oracle(batch, at=oracle.params()).rows
    else:
        rows = oracle(batch.replace()).rows
    assert rows is not kept
    assert oracle(batch).rows is kept


def test_keeping_again_takes_the_rows_of_here_and_now():
    model, oracle, batch = setting()
    model.eval()
    first = oracle.keep(batch)
    with torch.no_grad():
        model[4].bias += 1
    second = oracle.keep(batch)
    torch.testing.assert_close(second.logits, first.logits + 1)
    assert oracle(batch).rows is second


def test_batch_norm_counts_the_batch_once():
    model, oracle, batch = setting()
    oracle.keep(batch)
    plain(oracle, batch)
    assert int(model[1].num_batches_tracked) == 1


def test_a_graph_that_was_gone_through_can_be_gone_through_again():
    model, oracle, batch = setting()
    rows = oracle.keep(batch)
    early = torch.autograd.grad(oracle.objective(rows, oracle.clock).loss, list(model.parameters()), retain_graph=True)
    plain(oracle, batch)
    assert all(torch.equal(one, parameter.grad) for one, parameter in zip(early, model.parameters(), strict=True))


class Keeping(Uniform, Prepares):
    """Looks at the rows of the step before it."""

    def prepare(self, oracle: Oracle, batch: Batch) -> None:
        oracle.keep(batch)


def with_weighting(weighting):
    def program(view: TaskView) -> Steps:
        yield Stage(Objective(weighting=weighting()))

    return program


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_training_has_the_same_bits_as_without(precision):
    regime = REGIME.replace(precision=precision)
    kept, plainly = (fit(Blobs(), with_weighting(weighting), regime) for weighting in (Keeping, Uniform))
    assert same_weights(kept.model, plainly.model)  # with dropout and BatchNorm
    strip = lambda history: [{k: v for k, v in line.items() if k != "class_weights"} for line in numbers(history)]  # noqa: E731
    assert strip(kept.history) == strip(plainly.history)


# ---- after the step


class Diary(Uniform, Prepares, Follows, Observes):
    """Writes down what happens when."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[tuple[str, int, torch.Tensor]] = []
        self.batch: Batch | None = None

    def prepare(self, oracle: Oracle, batch: Batch) -> None:
        self.batch = batch
        self.lines.append(("prepare", oracle.clock.step, next(iter(oracle.params().values())).detach().clone()))

    def follow(self, oracle: Oracle, batch: Batch) -> None:
        assert batch is self.batch
        assert oracle.optimizer is not None
        self.lines.append(("follow", oracle.clock.step, next(iter(oracle.params().values())).detach().clone()))

    def observe(self, evidence) -> None:
        self.lines.append(("observe", evidence.clock.step, torch.zeros(0)))


def test_followers_see_the_moved_parameters_and_the_batch_of_the_step():
    diary = Diary()
    fit(Blobs(), with_weighting(lambda: diary), REGIME.replace(epochs=1))
    assert [(what, step) for what, step, _ in diary.lines] == [
        (what, step) for step in range(6) for what in ("prepare", "follow", "observe")
    ]
    before, after = ([value for what, _, value in diary.lines if what == name] for name in ("prepare", "follow"))
    assert all(not torch.equal(one, other) for one, other in zip(before, after, strict=True))
    assert all(torch.equal(one, other) for one, other in zip(after, before[1:], strict=False))  # nothing moves in between


def test_a_listener_may_follow():
    class Listener(Follows):
        steps = 0

        def follow(self, oracle: Oracle, batch: Batch) -> None:
            self.steps += 1

    listener = Listener()
    assert fit(Blobs(), with_weighting(Uniform), REGIME, listeners=[listener]).steps == listener.steps == 12


def test_forgetting_says_whether_the_batch_was_scored():
    _, oracle, batch = setting()
    assert not oracle.forget(batch)
    kept = oracle.keep(batch)
    assert oracle.forget(batch)
    assert oracle(batch).rows is not kept
    oracle.keep(batch)
    assert not oracle.forget(batch.replace())
