"""Several models of one task trained at once: k seeds for less than k times the cost, and their folds' out-of-fold scores."""

from __future__ import annotations

import copy
import operator
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from torch import Tensor

from steelyard.core.cohort import CohortTask, OneByOne, held_out, out_of_fold_source, together
from steelyard.core.errors import ArgumentError
from steelyard.core.fit import Fitted, fit
from steelyard.core.measure import predict_logits
from steelyard.core.regime import Regime
from steelyard.core.stacked import Members
from steelyard.core.stage import Method
from steelyard.core.task import Part, Task
from steelyard.core.world import join, local_device

__all__ = ["Cohort", "Members", "fit_members"]


@dataclass
class Cohort:
    """Trained members and how they came about.

    Attributes:
        task: what they were trained on.
        model: the members with the weights that the regime's `select` names; its forward pass gives the logarithm of their mean
            probability `[N, C]`.
        seeds: one a member.
        folds: the fold of each training row `[N]`; None where every member saw all of them.
        vectorised: were they trained at once?
        why: the reason why not; empty where they were.
        history: a line an epoch. Trained at once: losses are means over members, validation numbers those of the mean
            probability. Trained one after another: the epochs of member 0, then of member 1, ..., with the key "member".
        steps: optimiser steps; of all members where they were trained one after another.
        seconds: training time, without measuring and set-up.
        peak_memory_mb: peak memory in MiB.
        selected_epoch: the epoch (from 1) of the best validation balanced accuracy of the mean; None without validation rows
            and where each member has an epoch of its own.
    """

    task: Task
    model: Members
    seeds: tuple[int, ...]
    folds: Tensor | None
    vectorised: bool
    why: str
    history: list[dict[str, Any]]
    steps: int
    seconds: float
    peak_memory_mb: float
    selected_epoch: int | None = None
    _fitted: list[Fitted] = field(default_factory=list, repr=False)

    def use(self, which: Literal["last", "best_valid"]) -> Members:
        """Put the weights of the last, or of the best validation epoch, in place and return the members.

        Raises:
            ArgumentError: there were no validation rows to select with.
        """
        if self.vectorised:
            self._fitted[0].use(which)
        else:
            self.model = Members([fitted.use(which) for fitted in self._fitted])
        return self.model

    def out_of_fold(self) -> Tensor:
        """Each training row scored by the mean of the members that did not train on it.

        Returns:
            Log-probabilities `[N, C]` float32, on the CPU.

        Raises:
            ArgumentError: the members were trained without folds.
        """
        if self.folds is None:
            raise ArgumentError("folds", "given to fit_members, so that there are rows that a member did not see", None)
        source, order = out_of_fold_source(self.task.splits["train"], self.folds)
        device = next(self.model.parameters()).device
        found, _ = predict_logits(CohortTask(self.task, len(self.model), self.folds), self.model, source.to(device))
        return torch.empty_like(found).index_copy_(0, order, found)


def fit_members(
    task: Task,
    method: Method,
    regime: Regime,
    *,
    seeds: Sequence[int],
    folds: Tensor | None = None,
    device: str | torch.device = "auto",
    listeners: Iterable[object] = (),
) -> Cohort:
    """Train a model for each seed, all at once where the method allows it.

    Members differ in their initial weights and their dropout. They see the same batches, whose order is that of the first seed,
    and each has its own gradient, gradient clipping and optimiser state: without dropout, member j is the model that `fit`
    trains with `seeds[j]` in that order. All share what is read, transformed and scheduled.

    With folds, member j does not train on the rows of fold `j mod m`, m the number of folds: its loss is the mean over its own
    rows of the batch. The method sees the class counts of all training rows, and samplers draw from all of them, so through
    these a row's label has a slight influence on members that did not train on it.

    Members are trained one after another by `fit` where something of the method would mix them: a descent other than plain, a
    part that learns or observes, a transform that looks at the model, weights or losses that depend on the other rows of the
    batch, or a model that `torch.func.vmap` cannot run; with folds also any transform, and normalisation over the batch. Each
    then has its own order, class counts and validation, and sees only its own rows. `Cohort.why` names the reason.

    Validation numbers, and what `patience` and `select` go by, are those of the members' mean on the validation split; with
    folds and without such a split they are those of the out-of-fold scores.

    Args:
        task: data, model and forward pass.
        method: generator function of stages; it is run once for each member.
        regime: the recipe; `batch_size` rows are read a step, for all members.
        seeds: one a member, at least one.
        folds: fold of each training row `[N]`, 0 to m - 1, m from 2 to the number of members; None for all rows.
        device: "auto", or a torch device.
        listeners: as in `fit`; an observer is shown the rows of all members, `[k * N]`, member by member.

    Raises:
        ArgumentError: no seed, or folds that do not fit the rows or the seeds.
        TrainingError: a loss is not finite.
    """
    numbers = tuple(operator.index(seed) for seed in seeds)
    if not numbers:
        raise ArgumentError("seeds", "at least one", "none")
    folds = None if folds is None else check_folds(folds, len(task.splits["train"]), len(numbers))
    heard, why = tuple(listeners), ""
    if join().size > 1:
        why = "several processes train together"
    elif type(task).forward is not Task.forward:
        why = f"{type(task).__name__} has a forward pass of its own"
    else:
        cohort, where = CohortTask(task, len(numbers), folds), local_device(device)
        try:
            fitted = fit(
                cohort, together(cohort, method, regime, numbers, where), regime, seed=numbers[0], listeners=heard, device=where
            )
        except OneByOne as reason:
            why = str(reason)
        else:
            assert isinstance(fitted.model, Members)
            return Cohort(
                task, fitted.model, numbers, folds, True, "", fitted.history, fitted.steps, fitted.seconds,
                fitted.peak_memory_mb, fitted.selected_epoch, [fitted],
            )  # fmt: skip
    alone = [
        fit(_of_member(task, folds, number), method, regime, seed=seed, listeners=heard, device=device)
        for number, seed in enumerate(numbers)
    ]
    return Cohort(
        task,
        Members([fitted.model for fitted in alone]),
        numbers,
        folds,
        False,
        why,
        [line | {"member": number} for number, fitted in enumerate(alone) for line in fitted.history],
        sum(fitted.steps for fitted in alone),
        sum(fitted.seconds for fitted in alone),
        max(fitted.peak_memory_mb for fitted in alone),
        None,
        alone,
    )


def check_folds(folds: Tensor, rows: int, members: int) -> Tensor:
    """Folds `[N]` on the CPU as int64, if every fold has rows and a member that leaves it out.

    Raises:
        ArgumentError: naming `folds`.
    """
    if folds.shape != (rows,) or folds.is_floating_point() or folds.dtype == torch.bool:
        expected = f"a whole number for each of the {rows} training rows"
        raise ArgumentError("folds", expected, f"shape {list(folds.shape)} of {folds.dtype}")
    folds = folds.detach().to("cpu", torch.int64)
    low, high = int(folds.min()), int(folds.max())
    if low < 0 or high < 1 or high >= members:
        expected = f"from 0 to m - 1 with at least 2 folds, and no more than the {members} members"
        raise ArgumentError("folds", expected, f"numbers from {low} to {high}")
    sizes = torch.bincount(folds)
    if int(sizes.min()) == 0:
        raise ArgumentError("folds", f"rows in each of the folds 0 to {high}", f"none in fold {int(sizes.argmin())}")
    return folds


def _of_member(task: Task, folds: Tensor | None, number: int) -> Task:
    """The task as one member sees it: its own training rows, and the others to validate on if there are none for that."""
    if folds is None:
        return task
    held = held_out(folds, number)
    own, train = copy.copy(task), task.splits["train"]
    valid = task.splits.get("valid")
    if valid is None or len(valid) == 0:
        valid = Part(train, held.nonzero().flatten())
    own.splits = task.splits | {"train": Part(train, (~held).nonzero().flatten()), "valid": valid}
    vars(own).pop("counts", None)
    return own
