"""Members trained at once, as a task and a method that the loop can run: it knows nothing of them but how to clip."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor, nn

from steelyard.core.errors import SteelyardError
from steelyard.core.mixing import mixes_rows, why_mixed
from steelyard.core.oracle import Oracle
from steelyard.core.regime import Regime
from steelyard.core.rows import Batch, Rows
from steelyard.core.seeds import derive
from steelyard.core.stacked import Members, judged_of, mean_of, scaled_gradient
from steelyard.core.stage import Method, Stage, Steps
from steelyard.core.task import Part, Source, Task, TaskView
from steelyard.core.transform import Transform, untouched

TRIAL_ROWS = 4


class OneByOne(Exception):
    """These members cannot be trained at once; says why."""


def held_out(folds: Tensor, member: int) -> Tensor:
    """Rows that a member does not train on, bool `[N]`: those of fold `member mod m`."""
    return folds == member % (int(folds.max()) + 1)


@dataclass(frozen=True)
class _Held:
    """Inputs whose rows are scored by the members that did not train on them."""

    inputs: Any
    folds: Tensor


class _OutOfFold:
    """Training rows, to be scored out of fold."""

    def __init__(self, rows: Part, folds: Tensor) -> None:
        self.rows, self.folds, self.target = rows, folds, rows.target

    def __len__(self) -> int:
        return len(self.rows)

    def to(self, device: torch.device) -> _OutOfFold:
        return _OutOfFold(self.rows.to(device), self.folds)

    def stream(self, batches: Iterable[Tensor]) -> Iterator[tuple[Tensor, Any]]:
        for index, inputs in self.rows.stream(batches):
            yield index, _Held(inputs, self.folds[index.cpu()])


def out_of_fold_source(train: Source, folds: Tensor) -> tuple[Source, Tensor]:
    """All training rows, fold by fold so that few members score a batch, and where each stands in the training split `[N]`."""
    order = torch.argsort(folds, stable=True)
    return _OutOfFold(Part(train, order), folds[order]), order


class CohortTask(Task):
    """A task whose batches are scored by every member: N rows become `k * N`, member by member.

    The objective takes the mean over all of them. The gradient of member j is then multiplied by `sum_i mass_i / mass_j`, mass
    being the shares of a member's rows, so that it is that of its own mean loss; 0 in a batch in which it has no row.

    Args:
        task: of one member.
        size: members.
        folds: fold of each training row `[N]`; None where each member trains on all rows.
    """

    def __init__(self, task: Task, size: int, folds: Tensor | None = None) -> None:
        super().__init__(task.name, task.class_names, task.splits)
        vars(self)["counts"] = task.counts
        self.task, self.size, self.folds = task, size, folds
        self._trains: Tensor | None = None
        if folds is not None:
            self._trains = torch.stack([~held_out(folds, member) for member in range(size)]).float()
            valid = task.splits.get("valid")
            if valid is None or len(valid) == 0:
                self.splits["valid"] = out_of_fold_source(task.splits["train"], folds)[0]

    def model(self) -> nn.Module:
        """One member."""
        return self.task.model()

    def load(self, inputs: Any, *, augment: str, generator: torch.Generator | None) -> Any:
        """As the task does."""
        if isinstance(inputs, _Held):
            return _Held(self.task.load(inputs.inputs, augment=augment, generator=generator), inputs.folds)
        return self.task.load(inputs, augment=augment, generator=generator)

    def prepared(self, batch: Batch) -> Batch:
        """As the task does."""
        return self.task.prepared(batch)

    def forward(self, model: nn.Module, batch: Batch) -> Rows:
        """Rows of all members while training `[k * N]`; in evaluation mode those of their mean `[N]`."""
        assert isinstance(model, Members)
        if isinstance(batch.inputs, _Held):
            held = batch.inputs
            batch = self.prepared(batch.replace(inputs=held.inputs))
            return super().forward(_saying(self._out_of_fold(model, _Held(batch.inputs, held.folds))), batch)
        batch = self.prepared(batch)
        if not model.training:
            return super().forward(model, batch)
        if batch.extra:
            raise OneByOne("its batches carry " + ", ".join(sorted(batch.extra)) + " beside the rows")
        logits, shares = model.each(batch.inputs), self._shares(batch)
        inputs, rows = logits.shape[1], len(batch.target)
        if shares is None:
            logits = scaled_gradient(logits, self.size)
        else:
            mass = shares.sum(1)
            logits = scaled_gradient(logits, torch.where(mass > 0, mass.sum() / mass, 0.0))
        owner = batch.owner
        if owner is not None:
            first = torch.arange(self.size, device=owner.device).mul_(inputs).repeat_interleave(rows)
            owner = torch.cat([owner] * self.size) + first
        every = batch.replace(
            target=torch.cat([batch.target] * self.size),
            index=torch.cat([batch.index] * self.size),
            owner=owner,
            share=None if shares is None else shares.flatten(),
        )
        return super().forward(_saying(logits.flatten(0, 1)), every)

    def _shares(self, batch: Batch) -> Tensor | None:
        """How much each row counts for each member `[k, N]`; None where all count 1."""
        if self._trains is None:
            return None if batch.share is None else batch.share.expand(self.size, -1)
        if self._trains.device != batch.index.device:
            self._trains = self._trains.to(batch.index.device)
        trains = self._trains[:, batch.index]
        return trains if batch.share is None else trains * batch.share

    def _out_of_fold(self, model: Members, held: _Held) -> Tensor:
        """Log-probabilities `[M, C]`."""
        assert self.folds is not None
        found: Tensor | None = None
        for fold in held.folds.unique().tolist():
            rows = (held.folds == fold).nonzero().flatten()
            scores = mean_of(model.each(_pick(held.inputs, rows), slice(fold, None, int(self.folds.max()) + 1)))
            found = scores.new_empty(len(held.folds), scores.shape[1]) if found is None else found
            found[rows.to(found.device)] = scores
        assert found is not None
        return found


def _saying(logits: Tensor) -> nn.Module:
    """What stands in a model's place when its logits are known."""
    return cast(nn.Module, lambda _: logits)


def _pick(inputs: Any, rows: Tensor) -> Any:
    if isinstance(inputs, Tensor):
        return inputs[rows.to(inputs.device)]
    return {name: _pick(value, rows) for name, value in inputs.items()}


def together(task: CohortTask, method: Method, regime: Regime, seeds: Sequence[int], device: torch.device) -> Method:
    """The method of a cohort: the method of its members, run once for each, whose stages are trained at once.

    After a stage every run of the method finds its own model trained and may do to it what it likes; the weights are then
    stacked anew. All random draws of a run of the method are those that it would make alone with its seed.

    Args:
        task: the cohort's.
        method: a member's.
        regime: of the run.
        seeds: one a member.
        device: where the models are.

    Raises:
        OneByOne: from the method's generator, where a stage cannot be trained so.
    """

    def cohort(_: TaskView) -> Steps:
        views = [TaskView(task.task, seed, device) for seed in seeds]
        if task.folds is not None:
            for view in views:
                view._train = cast(Source, _Unread("training"))
                if view._valid is None:
                    view._valid = cast(Source, _Unread("validation"))
        runs: list[Generator[Stage, nn.Module, nn.Module | None]] = []
        stages: list[Stage] = []
        for view, seed in zip(views, seeds, strict=True):
            torch.manual_seed(derive(seed, "start"))
            runs.append(method(view))
            stages.append(next(runs[-1]))
        models = [view.model() if stage.model is None else stage.model for view, stage in zip(views, stages, strict=True)]
        number = 0
        while True:
            why = why_mixed(stages, regime.epochs if stages[0].epochs is None else stages[0].epochs, task)
            if why:
                raise OneByOne(why)
            members = _stacked(models).to(device)
            _try(task, members)
            yield _common(stages, members, models[0])
            members.copy_to(models)
            after = [
                _send(run, model, derive(seed, "between", number)) for run, model, seed in zip(runs, models, seeds, strict=True)
            ]
            ended = [isinstance(found, _End) for found in after]
            if all(ended):
                judged = [made.judged or model for made, model in zip(cast(list[_End], after), models, strict=True)]
                return judged_of(members, models, [made.to(device) for made in judged])
            if any(ended):
                raise OneByOne("its members have different numbers of stages")
            stages = cast(list[Stage], after)
            models = [model if stage.model is None else stage.model for stage, model in zip(stages, models, strict=True)]
            number += 1

    return cohort


@dataclass(frozen=True)
class _End:
    judged: nn.Module | None


def _send(run: Generator[Stage, nn.Module, nn.Module | None], model: nn.Module, seed: int) -> Stage | _End:
    torch.manual_seed(seed)
    try:
        return run.send(model)
    except StopIteration as end:
        return _End(end.value)


def _stacked(models: Sequence[nn.Module]) -> Members:
    try:
        members = Members(models)
    except SteelyardError as error:
        raise OneByOne("its members have networks of different shapes") from error
    if not members.alike:
        raise OneByOne("its members have networks with different settings")
    return members


def _common(stages: Sequence[Stage], members: Members, first: nn.Module) -> Stage:
    """The stage of all members."""
    chosen = {id(parameter) for parameter in stages[0].trainable(first)}
    names = [name for name, parameter in first.named_parameters() if id(parameter) in chosen]

    def trainable(stacked: nn.Module) -> Iterable[nn.Parameter]:
        return [stacked.get_parameter(name) for name in names]

    transform = stages[0].transform
    if transform is not untouched:
        transform = _blindfolded(transform)
    return dataclasses.replace(stages[0], model=members, trainable=trainable, transform=transform)


def _try(task: CohortTask, members: Members) -> None:
    """Run a copy of the members on a few rows, forward and back.

    Raises:
        OneByOne: that cannot be done for several at once, or, with folds, rows have a part in each other's scores.
    """
    source = task.splits["train"].to(next(members.parameters()).device)
    rows = torch.arange(min(TRIAL_ROWS, len(source)))
    for _, found in source.stream([rows]):
        inputs = task.load(found, augment="none", generator=None)
        try:
            mixed = mixes_rows(copy.deepcopy(members).train(), inputs)
        except (RuntimeError, NotImplementedError, TypeError, AttributeError) as error:
            line = str(error).strip().splitlines()[:1] or [type(error).__name__]
            raise OneByOne(f"its network cannot be run for several members at once: {line[0]}") from error
        if mixed and task.folds is not None:
            raise OneByOne("its network normalises over the batch, in which a member would see the rows of its own fold")


class _Unread:
    """The rows of members that have different ones: to be counted, not to be read."""

    def __init__(self, which: str) -> None:
        self._which = which

    def __getattr__(self, name: str) -> Any:
        raise OneByOne(f"its method reads {self._which} rows, and with folds each member has its own")

    def __len__(self) -> int:
        raise OneByOne(f"its method reads {self._which} rows, and with folds each member has its own")


class _Blind:
    """An oracle that can be asked for random numbers and the time, not for the model."""

    def __init__(self, oracle: Oracle) -> None:
        self.generator, self.clock, self.device, self.read = oracle.generator, oracle.clock, oracle.device, oracle.read

    def __getattr__(self, name: str) -> Any:
        raise OneByOne("its transform looks at the model")

    def __call__(self, *_: Any, **__: Any) -> Any:
        raise OneByOne("its transform looks at the model")


def _blindfolded(transform: Transform) -> Transform:
    """The transform, which is stopped if it looks at the model: it would take all members for one."""

    def seen(oracle: Oracle, batch: Batch) -> Batch:
        return transform(cast(Oracle, _Blind(oracle)), batch)

    return seen
