"""A method on a model that another stage has trained."""

from __future__ import annotations

from dataclasses import replace

from torch import nn

from steelyard.core.errors import CombinationError
from steelyard.core.stage import Steps
from steelyard.core.task import TaskView
from steelyard.settings import dry_run, resolve_method


def check_second(text: str) -> None:
    """Find out on a tiny task, before anything is trained, whether a method can go on from another one's model.

    Args:
        text: the method as it is written elsewhere.

    Raises:
        CombinationError: it has several stages, or trains a model of its own.
        SteelyardError: it is no method.
    """
    run = dry_run(resolve_method(text))
    if len(run.stages) > 1:
        raise _several_stages(text)
    if run.stages[0].model is not None:
        raise CombinationError(
            f"fine-tuning with '{text}' is not possible: it trains a model of its own, and nothing of the first stage "
            "would be left"
        )


def fine_tuned(task: TaskView, text: str, epochs: int | None) -> Steps:
    """The stage of a method, on the current model; returns what the method returns.

    Args:
        task: what is learnt.
        text: the method.
        epochs: its length; None for the method's own.
    """
    steps = resolve_method(text)(task)
    stage = next(steps)
    model = yield stage if epochs is None else replace(stage, epochs=epochs)
    try:
        steps.send(model)
    except StopIteration as end:
        judged: nn.Module | None = end.value
        return judged
    raise _several_stages(text)


def _several_stages(text: str) -> CombinationError:
    return CombinationError(f"fine-tuning takes a method of one stage, and '{text}' has several")
