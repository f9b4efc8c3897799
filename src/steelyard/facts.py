"""What a report says about a comparison besides its numbers: data, model, regime, methods, groups."""

from __future__ import annotations

from typing import Any

import torch

from steelyard.bench.plan import REFERENCE, Comparison
from steelyard.core.counts import group_classes
from steelyard.core.rows import Clock
from steelyard.core.stage import Stage
from steelyard.core.task import Task, TaskView
from steelyard.samplers import DeferredSampler
from steelyard.settings import describe_method, dry_run, resolve_method
from steelyard.weightings import Deferred


def facts_of(task: Task, plan: Comparison) -> dict[str, Any]:
    """The content of `comparison.json`, but for what the runner adds (versions, jobs, commit)."""
    groups = group_classes(task.counts, plan.groups)
    model = TaskView(task).model()
    return {
        "task": task.describe()["kind"],
        "data": task.describe(),
        "model": {
            "name": type(model).__name__,
            "parameters": sum(parameter.numel() for parameter in model.parameters()),
        },
        "regime": {"name": plan.regime_name} | plan.regime.settings(),
        "methods": [_method(name) for name in plan.methods],
        "seeds": list(plan.seeds),
        "groups": {"rule": groups.rule} | {name: list(members) for name, members in groups.members.items()},
        "metric": plan.metric,
        "select": plan.regime.select,
        "device": plan.device,
        "reference": REFERENCE,
        "notes": _waiting_in_vain(plan),
    }


def _waiting_in_vain(plan: Comparison) -> list[str]:
    """A sentence for each method of which a part is deferred beyond the end of training."""
    notes = []
    for name in plan.methods:
        if describe_method(name).of:
            continue  # a dry run would need such data
        for stage in dry_run(resolve_method(name)).stages:
            epochs = plan.regime.epochs if stage.epochs is None else stage.epochs
            if not _all_begun(stage, Clock(epoch=epochs - 1, epochs=epochs)):
                notes.append(f"{name} has a part that begins late, and {epochs} epochs are too few for it to begin at all")
                break
    return notes


def _all_begun(stage: Stage, last: Clock) -> bool:
    """Whether every deferred part acts in the last epoch; one that is told never to begin is not waited for."""
    sampler = stage.sampler(torch.tensor([0, 0, 1]), seed=0, rank=0, world_size=1)
    late = isinstance(sampler, DeferredSampler) and sampler.after < 1 and not sampler.is_balanced(last)
    weightings = [part for part in stage.objective.modules() if isinstance(part, Deferred) and part.after != 1.0]
    return not late and all(part.begun(last) for part in weightings)


def _method(name: str) -> dict[str, Any]:
    info = describe_method(name)
    return {
        "name": name,
        "summary": info.summary,
        "source": info.source,
        "words": dict(info.words),
        "control": info.control,
    }
