from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from steelyard.core.errors import ArgumentError
from steelyard.core.fit import fit
from steelyard.core.measure import predict_logits, recall_of
from steelyard.core.members import Cohort, fit_members
from steelyard.core.objective import Objective
from steelyard.core.regime import Regime
from steelyard.core.sampler import Sampler, ShuffledSampler
from steelyard.core.seeds import derive
from steelyard.core.stage import Method, Stage, Stages, Steps
from steelyard.core.task import TaskView
from steelyard.data import ResidentSource
from steelyard.losses import LogitAdjusted
from steelyard.methods.ce import ce
from steelyard.nets import MLP
from steelyard.settings import resolve_method
from steelyard.tasks.arrays import ArrayTask
from steelyard.weightings import InverseFrequency

SEEDS = (3, 7, 11)
ROWS = 90
STREAM = torch.Generator().manual_seed(0)
INPUTS = torch.randn(ROWS, 5, generator=STREAM)
TARGET = (INPUTS[:, 0] + 0.3 * torch.randn(ROWS, generator=STREAM) > 0.6).long()
FOLDS = torch.arange(ROWS) % 3
SGD = Regime(epochs=3, batch_size=16, lr=0.05, clip_norm=0.5)
ADAMW = SGD.replace(optimizer="adamw", lr=1e-2, weight_decay=1e-2)


def task(
    make: Callable[[], nn.Module] | None = None, inputs: Any = INPUTS, target: Tensor = TARGET, valid: bool = False
) -> ArrayTask:
    make = (lambda: MLP(2, 5, hidden=(12, 6), dropout=0.0)) if make is None else make
    splits = {"train": ResidentSource(inputs, target)}
    if valid:
        splits["valid"] = ResidentSource(inputs, TARGET)
    return ArrayTask("rows", ["no", "yes"], splits, model=make)


def in_one_order(targets: Tensor, *, seed: int, rank: int, world_size: int) -> Sampler:
    return ShuffledSampler(targets, seed=5, rank=rank, world_size=world_size)


def ordered(method: Method) -> Method:
    """The method with an order of rows that does not depend on the seed."""

    def run(view: TaskView) -> Steps:
        steps = method(view)
        stage = next(steps)
        while True:
            model = yield dataclasses.replace(stage, sampler=in_one_order)
            try:
                stage = steps.send(model)
            except StopIteration as end:
                judged: nn.Module | None = end.value
                return judged

    return run


def weighted_la(view: TaskView) -> Stages:
    yield Stage(Objective(LogitAdjusted(view.counts), InverseFrequency(view.counts, power=0.5)))


@torch.no_grad()
def agree(found: nn.Module, wanted: nn.Module, inputs: Any = INPUTS, atol: float = 2e-5) -> None:
    torch.testing.assert_close(found.eval()(inputs), wanted.eval()(inputs), rtol=1e-4, atol=atol)


@pytest.mark.parametrize(
    "regime",
    [SGD, SGD.replace(clip_norm=None, ema=0.9, nesterov=True), ADAMW, ADAMW.replace(decayed="body", weight_decay=5.0)],
    ids=["sgd", "ema", "adamw", "body decayed"],
)
@pytest.mark.parametrize("method", [ce, weighted_la], ids=["ce", "weighted la"])
def test_a_member_is_the_model_trained_alone(method: Method, regime: Regime) -> None:
    cohort = fit_members(task(), ordered(method), regime, seeds=SEEDS)
    assert cohort.vectorised, cohort.why
    for number, seed in enumerate(SEEDS):
        agree(cohort.model.member(number), fit(task(), ordered(method), regime, seed=seed).model)
    assert cohort.steps == 3 * 6


@pytest.mark.parametrize("name", ["crt", "lws", "ncm", "tau-norm", "posthoc-la", "ldam-drw"])
def test_methods_may_work_on_each_member_between_stages(name: str) -> None:
    method, regime = ordered(resolve_method(name)), SGD.replace(select="best_valid")
    cohort = fit_members(task(valid=True), method, regime, seeds=SEEDS[:2])
    assert cohort.vectorised, cohort.why
    cohort.use("last")
    for number, seed in enumerate(SEEDS[:2]):
        agree(cohort.model.member(number), fit(task(valid=True), method, SGD, seed=seed).model, atol=2e-4)


def test_dropout_is_drawn_for_each_member_and_again_the_same() -> None:
    def dropping() -> nn.Module:
        return MLP(2, 5, hidden=(32,), dropout=0.5)

    def twins(view: TaskView) -> Stages:
        torch.manual_seed(0)
        yield Stage(model=dropping())

    first, again = (fit_members(task(dropping), twins, SGD, seeds=SEEDS) for _ in range(2))
    assert all(torch.equal(value, again.model.state_dict()[name]) for name, value in first.model.state_dict().items())
    weight = first.model.get_parameter("head.weight")
    assert all(not torch.equal(weight[0], weight[other]) for other in (1, 2))


def test_numbers_and_categories_with_batch_statistics() -> None:
    codes = torch.randint(0, 4, (ROWS, 2), generator=torch.Generator().manual_seed(1))
    inputs = {"numeric": INPUTS, "categorical": codes}

    def make() -> nn.Module:
        return MLP(2, 5, [3, 3], hidden=(12,), dropout=0.0, norm="batch")

    cohort = fit_members(task(make, inputs), ordered(ce), SGD, seeds=SEEDS)
    assert cohort.vectorised, cohort.why
    for number, seed in enumerate(SEEDS):
        alone, member = fit(task(make, inputs), ordered(ce), SGD, seed=seed).model, cohort.model.member(number)
        agree(member, alone, inputs)
        torch.testing.assert_close(member.get_buffer("body.1.running_mean"), alone.get_buffer("body.1.running_mean"))
        assert member.get_buffer("body.1.num_batches_tracked") == 3 * 6


def by_hand(seed: int, folds: Tensor, number: int, regime: Regime) -> nn.Module:
    """One member, its rows of every batch of the cohort picked out, in a loop without anything of the package's."""
    torch.manual_seed(derive(seed, "init"))
    model = MLP(2, 5, hidden=(12, 6), dropout=0.0)
    made = torch.optim.AdamW(model.parameters(), lr=regime.lr, weight_decay=regime.weight_decay)
    order = ShuffledSampler(TARGET, seed=5)
    for epoch in range(regime.epochs):
        rows = list(order)
        for place, batch in enumerate(torch.tensor(rows).split(regime.batch_size)):
            for group in made.param_groups:
                group["lr"] = regime.lr_at(epoch * 6 + place, 6)
            own = batch[folds[batch] != number % 3]
            made.zero_grad()
            (F.cross_entropy(model(INPUTS[own]), TARGET[own])).backward()
            nn.utils.clip_grad_norm_(model.parameters(), 0.5)
            made.step()
    return model


def test_with_folds_a_member_is_trained_on_its_own_rows_of_each_batch() -> None:
    uneven = torch.where(torch.arange(ROWS) < 70, 0, torch.arange(ROWS) % 2 + 1)  # most rows are in fold 0
    cohort = fit_members(task(), ordered(ce), ADAMW, seeds=SEEDS, folds=uneven)
    assert cohort.vectorised, cohort.why
    for number, seed in enumerate(SEEDS):
        agree(cohort.model.member(number), by_hand(seed, uneven, number, ADAMW), atol=1e-4)


def test_a_row_s_out_of_fold_score_does_not_depend_on_its_label() -> None:
    changed = TARGET.clone()
    changed[4] = 1 - changed[4]
    scores = [fit_members(task(target=y), ce, ADAMW, seeds=range(6), folds=FOLDS).out_of_fold() for y in (TARGET, changed)]
    assert torch.equal(scores[0][4], scores[1][4])
    others = ~torch.isin(FOLDS, FOLDS[4])
    assert (scores[0][others] != scores[1][others]).any(1).all()


@pytest.fixture(scope="module")
def folded() -> Cohort:
    regime = ADAMW.replace(select="best_valid", epochs=4)
    return fit_members(task(lambda: MLP(2, 5, hidden=(12,))), ce, regime, seeds=range(6), folds=FOLDS)


def test_out_of_fold_is_the_mean_of_the_members_that_did_not_see_the_row(folded: Cohort) -> None:
    each = torch.stack([folded.model.member(number).eval()(INPUTS).softmax(1) for number in range(6)])
    for row in range(ROWS):
        fold = int(FOLDS[row])
        wanted = (each[fold, row] + each[fold + 3, row]) / 2
        torch.testing.assert_close(folded.out_of_fold()[row].exp(), wanted.detach(), rtol=1e-4, atol=1e-6)


def test_the_epoch_is_chosen_by_out_of_fold_scores(folded: Cohort) -> None:
    scores = [line["valid_balanced_accuracy"] for line in folded.history]
    assert folded.selected_epoch == 1 + int(np.argmax(scores))
    recall, _ = recall_of(folded.out_of_fold().argmax(1), TARGET, 2)
    assert float(recall.nanmean()) == pytest.approx(max(scores))
    loss = folded.history[folded.selected_epoch - 1]["valid_loss"]
    assert float(F.nll_loss(folded.out_of_fold().double(), TARGET)) == pytest.approx(loss, rel=1e-5)


def test_patience_ends_training_by_the_mean_of_the_members() -> None:
    still = ADAMW.replace(lr=1e-12, patience=2, epochs=9)
    cohort = fit_members(task(valid=True), ce, still, seeds=SEEDS)
    assert [line["epoch"] for line in cohort.history] == [1, 2, 3]
    logits, _ = predict_logits(task(), cohort.model, task().splits["train"])
    recall, _ = recall_of(logits.argmax(1), TARGET, 2)
    assert float(recall.nanmean()) == pytest.approx(cohort.history[-1]["valid_balanced_accuracy"])


def test_one_after_another_a_member_sees_its_own_rows_alone() -> None:
    changed = TARGET.clone()
    changed[FOLDS == 1] = 0
    sam, short = resolve_method("sam"), SGD.replace(epochs=1)
    models = [fit_members(task(target=y), sam, short, seeds=SEEDS, folds=FOLDS).model for y in (TARGET, changed)]
    agree(models[0].member(1), models[1].member(1), atol=0)
    assert not torch.equal(models[0].get_parameter("head.weight")[0], models[1].get_parameter("head.weight")[0])


def test_refusals() -> None:
    with pytest.raises(ArgumentError, match="seeds"):
        fit_members(task(), ce, SGD, seeds=[])
    for folds in (FOLDS[:5], FOLDS.float(), FOLDS * 2, torch.zeros(ROWS, dtype=torch.int64), torch.arange(ROWS) % 4):
        with pytest.raises(ArgumentError, match="folds"):
            fit_members(task(), ce, SGD, seeds=SEEDS, folds=folds)
    with pytest.raises(ArgumentError, match="folds"):
        fit_members(task(), ce, SGD.replace(epochs=1), seeds=[0]).out_of_fold()
