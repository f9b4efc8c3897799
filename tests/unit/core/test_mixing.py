from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from steelyard.core.cohort import CohortTask
from steelyard.core.mixing import mixes_rows, why_mixed
from steelyard.core.objective import Objective
from steelyard.core.stacked import Members
from steelyard.core.stage import Stage
from steelyard.core.task import TaskView
from steelyard.data import ResidentSource
from steelyard.losses import ARB, Focal, LogitAdjusted
from steelyard.tasks.arrays import ArrayTask
from steelyard.weightings import BatchNormalised, Deferred, EffectiveNumber, InverseFrequency

COUNTS = [40, 9, 3]


@pytest.fixture(scope="module")
def cohort() -> CohortTask:
    target = torch.arange(3).repeat_interleave(torch.tensor(COUNTS))
    whole = ArrayTask("t", "abc", {"train": ResidentSource(torch.randn(52, 2), target)}, model=nn.Linear(2, 3))
    return CohortTask(whole, 2)


def batch_mean(logits: Tensor, target: Tensor) -> Tensor:
    rows = nn.functional.cross_entropy(logits, target, reduction="none")
    return rows - rows.mean()


@pytest.mark.parametrize(
    "objective",
    [
        Objective(),
        Objective(LogitAdjusted(COUNTS), EffectiveNumber(COUNTS, 0.9)),
        Objective(Focal(2.0), Deferred(InverseFrequency(COUNTS), 0.5)),
        Objective(ARB(COUNTS)),
        Objective(nn.CrossEntropyLoss(reduction="none")),
    ],
)
def test_row_by_row(cohort: CohortTask, objective: Objective) -> None:
    assert why_mixed([Stage(objective)] * 2, 10, cohort) == ""


@pytest.mark.parametrize(
    ("objective", "reason"),
    [
        (Objective(ARB()), "the loss of a row"),
        (Objective(batch_mean), "the loss of a row"),
        (Objective(weighting=BatchNormalised(InverseFrequency(COUNTS))), "the weight of a row"),
        (Objective(weighting=Deferred(BatchNormalised(InverseFrequency(COUNTS)), 0.9)), "the weight of a row"),
    ],
)
def test_what_looks_at_other_rows(cohort: CohortTask, objective: Objective, reason: str) -> None:
    assert why_mixed([Stage(objective)] * 2, 10, cohort).startswith(reason)


def test_other_reasons(cohort: CohortTask) -> None:
    def failing(logits: Tensor, target: Tensor) -> Tensor:
        raise KeyError("features")

    other = [Stage(Objective(LogitAdjusted(counts))) for counts in (COUNTS, COUNTS[::-1])]
    assert "depends on the seed" in why_mixed(other, 10, cohort)
    assert "more than scores and labels" in why_mixed([Stage(Objective(failing))] * 2, 10, cohort)
    assert "rows that it chooses" in why_mixed([Stage(task=TaskView(cohort.task).on(cohort.splits["train"]))] * 2, 10, cohort)
    learning = Objective()
    learning.loss.register_parameter("scale", nn.Parameter(torch.ones(())))
    assert "parameters of its own" in why_mixed([Stage(learning)] * 2, 10, cohort)


@pytest.mark.parametrize(("layer", "mixed"), [(nn.BatchNorm1d(4), True), (nn.LayerNorm(4), False), (nn.Dropout(0.5), False)])
def test_rows_that_have_a_part_in_others_scores(layer: nn.Module, mixed: bool) -> None:
    members = Members([nn.Sequential(nn.Linear(4, 4), layer, nn.Linear(4, 2)) for _ in range(2)])
    inputs: Any = torch.randn(6, 4)
    assert mixes_rows(members.train(), inputs) is mixed
    assert mixes_rows(members.eval(), inputs) is False
