"""The loop: one stage, from its first step (or from where a checkpoint left it) to its last. It names no method."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, TypeAlias

import torch
from torch import Tensor, nn

from steelyard.core.average import WeightAverage
from steelyard.core.checkpoint import Checkpoints
from steelyard.core.errors import ArgumentError, TrainingError
from steelyard.core.head import find_head
from steelyard.core.identity import check_structure, made_by, structure_of, warn_of_other_bits
from steelyard.core.measure import Report, validation_numbers
from steelyard.core.oracle import Oracle
from steelyard.core.regime import Regime, clip
from steelyard.core.roles import Assesses, Heard, playing
from steelyard.core.rows import Batch, Clock
from steelyard.core.sampler import Sampler
from steelyard.core.seeds import derive, generator
from steelyard.core.side_by_side import own_threads
from steelyard.core.stacked import Members
from steelyard.core.stage import Stage
from steelyard.core.tally import WeightTally
from steelyard.core.task import Source, Task
from steelyard.core.world import World

State: TypeAlias = dict[str, Any]
Step: TypeAlias = Callable[[Clock, Tensor, Any], None]

TOLERANCE = 0.05
"""By how much the loss of an epoch may exceed the lowest so far, where a loss is watched: of epochs that cannot be told apart,
the one that has learnt longest is kept."""
AGREE_EVERY = 64
"""Steps between two questions to process 0 whether a checkpoint is due; one process asks the clock at every step."""


@dataclass
class Session:
    """What a run has done so far and what it is made of; shared by its stages.

    Attributes:
        task: data and forward pass.
        regime: the recipe.
        seed: of all streams.
        device: where the model lives.
        world: the processes.
        listeners: told what their roles ask for.
        checkpoints: where to save; None for nowhere.
        checkpoint_seconds: time between two checkpoints in the middle of an epoch.
        identity: what a checkpoint must have been written by.
        history: a line an epoch.
        steps: optimiser steps, over all stages.
        seconds: training time without measuring, over all stages.
    """

    task: Task
    regime: Regime
    seed: int
    device: torch.device
    world: World
    listeners: tuple[object, ...] = ()
    checkpoints: Checkpoints | None = None
    checkpoint_seconds: float = 10.0
    identity: str = ""
    history: list[dict[str, Any]] = field(default_factory=list)
    steps: int = 0
    seconds: float = 0.0


class StageWork:
    """The live state of a stage in training: all that a checkpoint must hold."""

    def __init__(self, session: Session, stage: Stage, model: nn.Module, number: int) -> None:
        self.session, self.stage, self.model, self.number = session, stage, model, number
        regime, world, seed = session.regime, session.world, session.seed
        self.task = session.task if stage.task is None else stage.task
        self.parts = stage_parts(stage)
        for part in self.parts.values():
            part.to(session.device)
        self.streams = {
            name: generator(seed, name, number, world.rank, device=session.device) for name in ("augment", "transform")
        }
        self.oracle = Oracle(model, self.task.forward, stage.objective, regime.precision, self.streams["transform"])
        learnt = [*model.parameters(), *stage.objective.loss.parameters()]
        self.params = [parameter for parameter in learnt if parameter.requires_grad]
        if not self.params:
            raise ArgumentError("model", "one with parameters to train", "none with requires_grad in this stage")
        self.optimizer = regime.build_optimizer(self.params, session.device, _head(model, regime))
        self.oracle.optimizer = self.optimizer
        self.oracle.read = self._read
        self.average = None if regime.ema is None else WeightAverage(model, regime.ema)
        self.best: dict[str, Any] | None = None
        self.epoch = 0
        self.position = 0
        self.stale = 0
        self.total = torch.zeros((), device=session.device)
        self.tally = WeightTally(self.task.num_classes, session.device)

    def _read(self, inputs: Any) -> Any:
        return self.task.load(inputs, augment=self.session.regime.augment, generator=self.streams["transform"])

    @property
    def judged(self) -> nn.Module:
        """What is measured: the averaged weights where there are such, else the model."""
        return self.model if self.average is None else self.average.model

    def state(self) -> dict[str, Any]:
        """Everything needed to go on bit for bit."""
        session = self.session
        local: dict[str, Any] = {name: stream.get_state() for name, stream in self.streams.items()}
        local |= {"torch": torch.get_rng_state(), "total": self.total.cpu(), "weighed": self.tally.state_dict()}
        if session.device.type == "cuda":
            local["cuda"] = torch.cuda.get_rng_state(session.device)
        if session.world.size > 1:  # BatchNorm statistics are each process' own until the end of the epoch
            local["buffers"] = [buffer.cpu() for buffer in self._buffers()]
        return {
            "identity": session.identity,
            "structure": structure_of(self.model),
            "made": made_by(session.device),
            "stage": self.number,
            "steps": session.steps,
            "seconds": session.seconds,
            "history": session.history,
            "epoch": self.epoch,
            "position": self.position,
            "stale": self.stale,
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "parts": {name: part.state_dict() for name, part in self.parts.items()},
            "average": None if self.average is None else self.average.state_dict(),
            "best": self.best,
            "random": session.world.gather(local),
        }

    def load(self, state: dict[str, Any]) -> None:
        """Go back to where `state` was taken."""
        session = self.session
        check_structure(state, self.model)
        if session.world.rank == 0:
            warn_of_other_bits(state, session.device)
        session.steps, session.seconds, session.history = state["steps"], state["seconds"], list(state["history"])
        self.epoch, self.position, self.stale = state["epoch"], state["position"], state["stale"]
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        for name, part in self.parts.items():
            part.load_state_dict(state["parts"][name])
        if self.average is not None:
            self.average.model.load_state_dict(state["average"])
        self.best = state["best"]
        local = state["random"][session.world.rank]
        for name, stream in self.streams.items():
            stream.set_state(local[name])
        torch.set_rng_state(local["torch"])
        self.total.copy_(local["total"])
        self.tally.load_state_dict(local["weighed"])
        if session.device.type == "cuda" and "cuda" in local:
            torch.cuda.set_rng_state(local["cuda"], session.device)
        if "buffers" in local:
            for buffer, value in zip(self._buffers(), local["buffers"], strict=True):
                buffer.copy_(value)

    def _buffers(self) -> list[Tensor]:
        average = [] if self.average is None else list(self.average.model.buffers())
        return [*self.model.buffers(), *average]


def _head(model: nn.Module, regime: Regime) -> list[nn.Parameter]:
    """The parameters of the classifier, where the regime treats them differently."""
    if regime.decayed == "all":
        return []
    found = find_head(model.layers if isinstance(model, Members) else model)
    if found is None:
        raise ArgumentError("regime.decayed", "'all', as the model has no linear layer that ends it", repr(regime.decayed))
    return list(model.get_submodule(found[0]).parameters())


def stage_parts(stage: Stage) -> dict[str, nn.Module]:
    """The parts of a stage that may have a state of their own."""
    parts = {"objective": stage.objective, "transform": stage.transform, "descent": stage.descent}
    return {name: part for name, part in parts.items() if isinstance(part, nn.Module)}


def train(session: Session, stage: Stage, model: nn.Module, number: int, resume: State | None) -> State | None:
    """Train a stage in place.

    Args:
        session: the run.
        stage: what to train and how.
        model: on the session's device.
        number: index of the stage.
        resume: a checkpoint's state of this stage.

    Returns:
        The best validation epoch as {"epoch", "score", "state"}; None without a validation split.
    """
    frozen = _freeze_all_but(model, stage)
    torch.manual_seed(derive(session.seed, "train", number, session.world.rank))
    session.world.share_start(model)
    work = StageWork(session, stage, model, number)
    if resume is not None:
        work.load(resume)
    try:
        model.train()
        exact = session.regime.precision == "float32"
        with own_threads(exact and isinstance(model, Members) and model.goes_side_by_side):
            _run_epochs(work)
        if work.average is not None:
            model.load_state_dict(work.average.state_dict())
        session.world.average_buffers(model)
    finally:
        work.oracle.close()
        for parameter in frozen:
            parameter.requires_grad_(True)
    return work.best


def _run_epochs(work: StageWork) -> None:
    session, stage, regime = work.session, work.stage, work.session.regime
    source = work.task.splits["train"].to(session.device)
    size = session.world.local_batch(regime.batch_size)
    order = derive(session.seed, "order", work.number)
    sampler = stage.sampler(source.target, seed=order, rank=session.world.rank, world_size=session.world.size)
    batches = batches_of(sampler, size)
    epochs = regime.epochs if stage.epochs is None else stage.epochs
    target = source.target.to(session.device)
    valid = work.task.splits.get("valid")
    valid = None if valid is None or len(valid) == 0 else valid.to(session.device)
    heard = playing([stage.objective, stage.transform, stage.descent, *session.listeners])
    step = _stepper(work, heard, target)
    keeper = _Keeper(work)
    while work.epoch < epochs and not (regime.patience is not None and work.stale >= regime.patience):
        started = time.perf_counter()
        clock = start = Clock(work.epoch * batches + work.position, work.epoch, epochs, work.position, batches)
        for clock, index, inputs in _ticks(source, sampler, size, start):
            step(clock, index, inputs)
            work.position += 1
            session.steps += 1
            if work.position < batches:
                keeper.save_if_due(started)
        if session.device.type == "cuda":
            torch.cuda.synchronize(session.device)
        session.seconds += time.perf_counter() - started
        _close_epoch(work, clock, valid, heard.assessing)
        keeper.save_after_epoch(done=work.epoch >= epochs)


def batches_of(sampler: Sampler, size: int) -> int:
    """Batches in an epoch. A last batch of one row is left out where there are others: BatchNorm cannot train on it."""
    batches = -(-len(sampler) // size)
    return batches - 1 if batches > 1 and size > 1 and len(sampler) % size == 1 else batches


def _ticks(source: Source, sampler: Sampler, size: int, clock: Clock) -> Iterator[tuple[Clock, Tensor, Any]]:
    drawn = islice(sampler.batches(size, clock), clock.batches - clock.position)
    for offset, (index, inputs) in enumerate(source.stream(drawn)):
        yield Clock(clock.step + offset, clock.epoch, clock.epochs, clock.position + offset, clock.batches), index, inputs


def _stepper(work: StageWork, heard: Heard, target: Tensor) -> Step:
    """The step as a function of (clock, index, inputs), with everything that does not change looked up once."""
    session, stage, oracle, optimizer = work.session, work.stage, work.oracle, work.optimizer
    task, regime, world, params = work.task, session.regime, session.world, work.params
    descent, transform, average = stage.descent, stage.transform, work.average
    stream, stacked = work.streams["augment"], isinstance(work.model, Members)

    def step(clock: Clock, index: Tensor, inputs: Any) -> None:
        oracle.clock = clock
        batch = Batch(task.load(inputs, augment=regime.augment, generator=stream), target[index], index)
        batch = transform(oracle, batch)
        rate = regime.lr_at(clock.step, clock.batches, clock.epochs)
        for group in optimizer.param_groups:
            group["lr"] = rate
        for part in heard.preparing:
            part.prepare(oracle, batch)
        for param in params:  # what optimizer.zero_grad() does, without its fixed cost
            param.grad = None
        evaluation = descent(oracle, batch)
        world.average_gradients(params, evaluation.mass)
        clip(params, regime.clip_norm, stacked=stacked)
        optimizer.step()
        for follower in heard.following:
            follower.follow(oracle, batch)
        if average is not None:
            average.update()
        work.total += evaluation.loss.detach()
        work.tally.add(evaluation)
        if heard.observing:
            evidence = evaluation.evidence()
            for observer in heard.observing:
                observer.observe(evidence)

    return step


def _close_epoch(work: StageWork, clock: Clock, valid: Source | None, assessing: Iterable[Assesses]) -> None:
    session = work.session
    train_loss = session.world.mean(float(work.total)) / clock.batches
    if not math.isfinite(train_loss):
        raise TrainingError(
            f"the training loss is {train_loss} in epoch {clock.epoch + 1} of {clock.epochs}: lower the learning rate "
            f"(now {session.regime.lr}) or set clip_norm"
        )
    session.world.average_buffers(work.judged)
    numbers: dict[str, Any] = {} if valid is None else validation_numbers(work.task, work.judged, valid, session.regime.watch)
    rate = session.regime.lr_at(clock.step, clock.batches, clock.epochs)
    numbers["class_weights"] = work.tally.close(session.world)
    report = Report(work.number, clock, train_loss, rate, session.seconds, session.steps, **numbers)
    session.history.append(report.line())
    work.epoch, work.position = work.epoch + 1, 0
    work.total.zero_()
    if report.balanced_accuracy is not None:
        score = report.balanced_accuracy if report.fitted_loss is None else -report.fitted_loss
        _keep_best(work, session.world.agree(score))
    for part in assessing:
        part.assess(report)


def _keep_best(work: StageWork, score: float) -> None:
    """Keep the weights of an epoch that is the best so far, or, where a loss is watched, nearly as good."""
    best = -math.inf if work.best is None else work.best["score"]
    better = score > best
    work.stale = 0 if better else work.stale + 1
    if better or (work.session.regime.watch == "log_loss" and score >= (1 + TOLERANCE) * best):
        state = {name: value.clone() for name, value in work.judged.state_dict().items()}
        work.best = {"epoch": work.epoch, "score": max(score, best), "state": state}


def _freeze_all_but(model: nn.Module, stage: Stage) -> list[nn.Parameter]:
    """Stop gradients to what the stage does not train; returns the parameters to thaw afterwards."""
    chosen = {id(parameter) for parameter in stage.trainable(model)}
    frozen = [p for p in model.parameters() if p.requires_grad and id(p) not in chosen]
    for parameter in frozen:
        parameter.requires_grad_(False)
    return frozen


class _Keeper:
    """Decides when a checkpoint is due; saving changes nothing in the run, so the moments need not be reproducible."""

    def __init__(self, work: StageWork) -> None:
        self.work = work
        self.session = work.session
        self.saved = time.monotonic()

    def save_if_due(self, started: float) -> None:
        """In the middle of an epoch: every `checkpoint_seconds`."""
        session = self.session
        if session.checkpoints is None:
            return
        if session.world.size > 1 and self.work.position % AGREE_EVERY:
            return
        if session.world.agree(time.monotonic() - self.saved >= session.checkpoint_seconds):
            spent = time.perf_counter() - started
            session.seconds += spent
            self._save()
            session.seconds -= spent

    def save_after_epoch(self, *, done: bool) -> None:
        """At the end of an epoch, unless one was saved within the last second; a finished stage is saved by `fit`."""
        session = self.session
        if session.checkpoints is None or done:
            return
        if session.world.agree(time.monotonic() - self.saved >= min(1.0, session.checkpoint_seconds)):
            self._save()

    def _save(self) -> None:
        state = self.work.state()
        if self.session.world.rank == 0 and self.session.checkpoints is not None:
            self.session.checkpoints.save(self.session.steps, state)
        self.saved = time.monotonic()
