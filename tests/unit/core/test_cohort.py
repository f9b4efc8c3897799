from __future__ import annotations

from collections.abc import Callable, Iterable

import pytest
import torch
from torch import Tensor, nn

from steelyard.core.fit import fit
from steelyard.core.members import fit_members
from steelyard.core.regime import Regime
from steelyard.core.stage import Method, Stage, Stages
from steelyard.core.task import Task, TaskView
from steelyard.data import ResidentSource
from steelyard.methods.ce import ce
from steelyard.nets import MLP
from steelyard.settings import resolve_method
from steelyard.tasks.arrays import ArrayTask
from steelyard.transforms import Mixup

ROWS = 48
SEEDS = (3, 7, 11)
INPUTS = torch.randn(ROWS, 5, generator=torch.Generator().manual_seed(0))
TARGET = (INPUTS[:, 0] > 0.6).long()
FOLDS = torch.arange(ROWS) % 3
SGD = Regime(epochs=3, batch_size=16, lr=0.05, clip_norm=0.5)


def task(make: Callable[[], nn.Module] | None = None) -> ArrayTask:
    make = (lambda: MLP(2, 5, hidden=(8,), dropout=0.0)) if make is None else make
    return ArrayTask("rows", ["no", "yes"], {"train": ResidentSource(INPUTS, TARGET)}, model=make)


@pytest.mark.parametrize(
    ("name", "reason"),
    [("sam", "descent"), ("mw-net", "MetaWeightNet"), ("arb", "other rows"), ("m2m", "looks at the model|network of its own")],
)
def test_what_would_mix_members_is_trained_one_after_another(name: str, reason: str) -> None:
    short = SGD.replace(epochs=1)
    cohort = fit_members(task(), resolve_method(name), short, seeds=SEEDS[:2])
    assert not cohort.vectorised
    assert any(part in cohort.why for part in reason.split("|")), cohort.why
    each = cohort.model.eval().each(INPUTS)
    assert not torch.allclose(each[0], each[1])
    alone = fit(task(), resolve_method(name), short, seed=SEEDS[1]).model
    assert torch.equal(cohort.model.member(1).eval()(INPUTS), alone.eval()(INPUTS))
    assert [line["member"] for line in cohort.history] == sorted(line["member"] for line in cohort.history)


def test_reasons() -> None:
    def mixing(view: TaskView) -> Stages:
        yield Stage(transform=Mixup())

    def normalising() -> nn.Module:
        return MLP(2, 5, hidden=(8,), norm="batch", dropout=0.0)

    class Branching(nn.Linear):
        def forward(self, input: Tensor) -> Tensor:
            found: Tensor = super().forward(input)
            return found if found.sum() > 0 else 2 * found

    short = SGD.replace(epochs=1)
    cases: Iterable[tuple[Method, Task, Tensor | None, str]] = (
        (mixing, task(), FOLDS, "with folds each member has its own"),
        (resolve_method("ncm"), task(), FOLDS, "reads training rows"),
        (ce, task(normalising), FOLDS, "normalises over the batch"),
        (ce, task(lambda: Branching(5, 2)), None, "cannot be run for several members"),
    )
    for method, rows, folds, reason in cases:
        cohort = fit_members(rows, method, short, seeds=SEEDS, folds=folds)
        assert reason in cohort.why
        if folds is not None:
            assert cohort.out_of_fold().shape == (ROWS, 2)
    assert fit_members(task(), mixing, short, seeds=SEEDS).vectorised
