from __future__ import annotations

import pytest
import torch
from tiny import Blobs

from steelyard.core.errors import CombinationError
from steelyard.core.task import TaskView
from steelyard.losses import RebalancedBinary
from steelyard.methods.points.soul import soul


def of_points(classes: int) -> TaskView:
    task = Blobs(counts=(5, 20, 9)[:classes])
    task.kind = "points"
    return TaskView(task, seed=3)


def test_its_loss_is_the_rebalanced_one_of_the_run() -> None:
    stage = next(soul(of_points(2), subsample=False))
    loss = stage.objective.loss
    assert isinstance(loss, RebalancedBinary)
    assert (loss.counts.tolist(), loss.subsample, loss.seed) == ([5, 20], False, 3)
    values = loss(torch.zeros(4, 2), torch.tensor([0, 1, 1, 1]))
    torch.testing.assert_close(values, torch.tensor(2.0).log())


def test_other_data_are_refused() -> None:
    with pytest.raises(CombinationError, match="works on points"):
        next(soul(TaskView(Blobs())))
