"""A stage says what is trained and how; a method is a generator of stages.

The shortest method is `yield Stage()`. A method with several steps is a program::

    def crt(task, *, head_epochs=10):
        model = yield Stage()                                            # is sent the trained model
        reset(model.fc)
        yield Stage(sampler=BalancedSampler, trainable=head, epochs=head_epochs)

What it returns (or else the last model it was sent) is what is judged.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable
from dataclasses import KW_ONLY, dataclass, field
from typing import TypeAlias

from torch import nn

from steelyard.core.descent import Descent, plain
from steelyard.core.objective import Objective
from steelyard.core.sampler import SamplerFactory, ShuffledSampler
from steelyard.core.task import Task, TaskView
from steelyard.core.transform import Transform, untouched


def every_parameter(model: nn.Module) -> Iterable[nn.Parameter]:
    """All parameters: the identity element of `Stage.trainable`."""
    return model.parameters()


@dataclass(frozen=True)
class Stage:
    """One training run inside a method; every word has its identity element as default.

    Attributes:
        objective: loss and weighting.
        descent: where and of what the gradient is taken.
        transform: what happens to a batch before the model sees it.
        sampler: factory of the sampler, `(targets, *, seed, rank, world_size) -> Sampler`; every sampler class is one.
        trainable: which parameters move.
        epochs: how long; None for the regime's.
        model: what is trained; None to go on with the current model.
        task: trained on; None for the task of the run.
    """

    objective: Objective = field(default_factory=Objective)
    _: KW_ONLY
    descent: Descent = plain
    transform: Transform = untouched
    sampler: SamplerFactory = ShuffledSampler
    trainable: Callable[[nn.Module], Iterable[nn.Parameter]] = every_parameter
    epochs: int | None = None
    model: nn.Module | None = None
    task: Task | None = None


Steps: TypeAlias = Generator[Stage, nn.Module, nn.Module | None]
Stages: TypeAlias = Generator[Stage, nn.Module, None]
"""The steps of a method that returns nothing, so that the last trained model is judged: what most methods are."""
Method: TypeAlias = Callable[[TaskView], Steps]
