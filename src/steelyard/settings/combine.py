"""Several methods and words as one method, or a sentence saying why they cannot be one."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import torch
from torch import Tensor, nn

from steelyard.core.errors import CombinationError
from steelyard.core.objective import Objective
from steelyard.core.rows import Clock, Evidence
from steelyard.core.stage import Stage, Steps
from steelyard.core.task import TaskView
from steelyard.settings.names import kind_of_method, resolve
from steelyard.settings.probe import PROBE_COUNTS, DryRun, dry_run, slots_of, started
from steelyard.settings.words import Choice

Named = tuple[str, Callable[[TaskView], Steps]]
_LAST_EPOCH = Clock(step=10_000, epoch=10_000, epochs=10_001)
PRIOR_TOLERANCE = 0.1
"""Slack for corrections that are measured on a finite sample, or that (like effective numbers) are only nearly a power."""


@dataclass(frozen=True)
class WordMethod:
    """A method that sets one word and leaves the others alone."""

    choice: Choice

    def __call__(self, task: TaskView) -> Steps:
        """Yield the stage."""
        word, built = self.choice.word, self.choice.build(task.counts)
        if (word, self.choice.name) == ("loss", "ldam"):  # the one loss that needs a classifier of its own
            judged: nn.Module | None = yield from resolve("method", "ldam")(task, **self.choice.settings)
            return judged
        if word == "decision":
            model = yield Stage()
            adjusted: nn.Module = importlib.import_module("steelyard.decisions.adjusted").Adjusted(model, built)
            return adjusted
        yield Stage(Objective(**{word: built})) if word in ("loss", "weighting") else Stage(**{word: built})
        return None


@dataclass(frozen=True)
class Combination:
    """The words of several one-stage methods in one stage.

    Attributes:
        parts: names and methods.
    """

    parts: tuple[Named, ...]

    def __call__(self, task: TaskView) -> Steps:
        """Yield the one stage; return what a part returns, if one does."""
        names = [name for name, _ in self.parts]
        programs = [started(method, task) for _, method in self.parts]
        stage = merged(names, [next(program) for program in programs])
        if _open_weightings(stage):
            known = [method for name, method in self.parts if not kind_of_method(name)]  # the others need data of their kind
            _leave_prior(stage, _corrected_elsewhere([dry_run(method) for method in known]))
        model = yield stage
        returned = {name: _last_word(name, program, model) for name, program in zip(names, programs, strict=True)}
        judging = {name: judged for name, judged in returned.items() if judged is not None}
        _one_decision(list(judging))
        return next(iter(judging.values()), None)


def _last_word(name: str, program: Steps, model: nn.Module) -> nn.Module | None:
    try:
        program.send(model)
    except StopIteration as end:
        judged: nn.Module | None = end.value
        return judged
    raise _several_stages(name)


def _several_stages(name: str) -> CombinationError:
    return CombinationError(f"method '{name}' trains in several stages and cannot be combined with others")


def merged(names: Sequence[str], stages: Sequence[Stage]) -> Stage:
    """One stage with the words of all.

    Raises:
        CombinationError: two set the same word.
    """
    slots: dict[str, Any] = {}
    owners: dict[str, str] = {}
    for name, stage in zip(names, stages, strict=True):
        for slot, value in slots_of(stage).items():
            if slot in slots:
                raise CombinationError(f"methods '{owners[slot]}' and '{name}' cannot be combined: both set the {slot}")
            slots[slot], owners[slot] = value, name
    objective = Objective(slots.pop("loss", None), slots.pop("weighting", None))
    return Stage(objective, **slots)


def check_combination(parts: Sequence[Named]) -> None:
    """Try parts together on a tiny task before anything is trained.

    Raises:
        CombinationError: they cannot be one method; the message says why.
    """
    runs = [(name, dry_run(method)) for name, method in parts if not kind_of_method(name)]  # those need data of their kind
    for name, run in runs:
        if len(run.stages) > 1:
            raise _several_stages(name)
    names = [name for name, _ in runs]
    for (first, a), (second, b) in combinations(runs, 2):
        merged([first, second], [a.stages[0], b.stages[0]])
    _one_decision([name for name, run in runs if run.judged is not run.model])
    corrected = _corrected_elsewhere([run for _, run in runs])
    for _, run in runs:
        _leave_prior(run.stages[0], corrected)
    _one_prior(names, [run for _, run in runs])


def _open_weightings(stage: Stage) -> list[Any]:
    """Weightings that correct what others leave of the prior, unless they were told how much to correct."""
    return [part for part in stage.objective.weighting.modules() if type(part).__name__ == "DensityRatio"]


def _leave_prior(stage: Stage, corrected: float) -> None:
    for weighting in _open_weightings(stage):
        weighting.leave(corrected)


def _corrected_elsewhere(runs: Sequence[DryRun]) -> float:
    """The power of 1/prior that samplers, transforms, losses and decisions correct."""
    sampled = sum(_sampler_power(run.stages[0]) for run in runs)
    drawn = sampled + sum(_transform_power(run.stages[0], sampled) for run in runs)
    return drawn + sum(_loss_power(run.stages[0].objective.loss, sampled) + _decision_power(run) for run in runs)


def _one_decision(names: Sequence[str]) -> None:
    if len(names) > 1:
        raise CombinationError(f"methods '{names[0]}' and '{names[1]}' cannot be combined: both set the decision")


def _one_prior(names: Sequence[str], runs: Sequence[DryRun]) -> None:
    """A prior that is corrected by more than its first power, through two doors, favours rare classes too much."""
    sampled = sum(_sampler_power(run.stages[0]) for run in runs)
    powers = {name: _prior_power(run, sampled) for name, run in zip(names, runs, strict=True)}
    correcting = {name: power for name, power in powers.items() if power > PRIOR_TOLERANCE}
    if len(correcting) < 2 or sum(correcting.values()) <= 1 + PRIOR_TOLERANCE:
        return
    quoted = " and ".join(f"'{name}'" for name in correcting)
    by = " + ".join(f"{power:.2g}" for power in correcting.values())
    raise CombinationError(
        f"methods {quoted} cannot be combined: the class prior would be corrected twice (powers {by} of 1/prior, more than 1); "
        "weight alpha_y and shift log(delta_y) must satisfy alpha_y = delta_y/pi_y (Menon et al. 2021), so keep one "
        "of them, or give them powers that add up to 1"
    )


def _prior_power(run: DryRun, sampled: float) -> float:
    """The k with which a method moves the decision from argmax eta_y to argmax eta_y / pi_y^k, at the end of training."""
    stage = run.stages[0]
    drawn = _sampler_power(stage) + _transform_power(stage, sampled)
    return drawn + _weighting_power(stage) + _loss_power(stage.objective.loss, sampled) + _decision_power(run)


def _loss_power(loss: nn.Module, sampled: float) -> float:
    """Losses that shift or weigh by the prior; margins and smoothing by class size are no prior correction."""
    kind, facts = type(loss).__name__, vars(loss)
    if kind in ("BalancedSoftmax", "GeneralizedClassAware", "RebalancedBinary"):
        return 1.0
    if kind == "ARB":  # with batch counts it corrects what the sampler has left
        return 1.0 if "shift" in loss.state_dict() else max(0.0, 1.0 - sampled)
    if kind in ("JointNTXent", "JointVicreg"):  # the loss of labels inside
        return _loss_power(loss.get_submodule("loss"), sampled)
    if kind == "LogitAdjusted":
        return float(facts["tau"])
    if kind == "GeneralizedLogitAdjusted":
        return float(facts["tau"]) * (1.0 - float(facts["q"]))
    return 0.0


def _decision_power(run: DryRun) -> float:
    decision: Any = getattr(run.judged, "decision", None)
    shifted = run.judged is not run.model and type(decision).__name__ == "LogitShift"
    return float(decision.tau) if shifted else 0.0


def _weighting_power(stage: Stage) -> float:
    """How steeply the weights fall with class size, in the last epoch, for a batch of all rows."""
    counts = torch.tensor(PROBE_COUNTS)
    target = torch.repeat_interleave(torch.arange(len(counts)), counts)
    evidence = Evidence(
        target=target,
        logits=torch.zeros(len(target), len(counts)),
        losses=torch.ones(len(target)),
        features=torch.ones(len(target), 8),
        index=torch.arange(len(target)),
        clock=_LAST_EPOCH,
    )
    with torch.no_grad():
        weights = stage.objective.weighting(evidence)
    return _power(torch.bincount(target, weights) / counts)


def _transform_power(stage: Stage, sampled: float) -> float:
    """Over-sampling inside a batch evens out what the sampler has left."""
    if type(stage.transform).__name__ != "RandomOversample":
        return 0.0
    counts = torch.tensor(PROBE_COUNTS).double()
    filled = torch.maximum(counts, counts.max() * float(vars(stage.transform)["ratio"]))
    return max(0.0, _power(filled / counts) - sampled)


def _sampler_power(stage: Stage) -> float:
    """How much more evenly than the data a sampler draws, in the last epoch."""
    counts = torch.tensor(PROBE_COUNTS)
    target = torch.repeat_interleave(torch.arange(len(counts)), counts)
    sampler = stage.sampler(target, seed=0, rank=0, world_size=1)
    drawn = [row for epoch in range(8) for row in sampler.chunks(Clock(epoch=10_000 - epoch, epochs=10_001), 0)]
    return _power(torch.bincount(target[torch.cat(drawn)], minlength=len(counts)).clamp_min(1) / counts)


def _power(favour: Tensor) -> float:
    """The k of favour = const / n^k by least squares; exactly 0 where all are favoured equally."""
    x = -torch.tensor(PROBE_COUNTS).double().log()
    x, y = x - x.mean(), favour.detach().double().clamp_min(1e-12).log()
    return float((x * (y - y.mean())).sum() / (x * x).sum())
