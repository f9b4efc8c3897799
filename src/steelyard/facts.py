"""What a report says about a comparison besides its numbers: data, model, regime, methods, groups."""

from __future__ import annotations

from typing import Any

from steelyard.bench.plan import REFERENCE, Comparison
from steelyard.core.counts import group_classes
from steelyard.core.task import Task, TaskView
from steelyard.settings import describe_method


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
    }


def _method(name: str) -> dict[str, Any]:
    info = describe_method(name)
    return {
        "name": name,
        "summary": info.summary,
        "source": info.source,
        "words": dict(info.words),
        "control": info.control,
    }
