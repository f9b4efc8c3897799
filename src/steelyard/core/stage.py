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
from steelyard.core.errors import ArgumentError
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

    Raises:
        ArgumentError: the objective is no `Objective`, or a word that acts is nothing that can be called.
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

    def __post_init__(self) -> None:
        """Refuse a loss or weights where both belong together, and names of words."""
        objective: object = self.objective
        if not isinstance(objective, Objective):
            expected = "an Objective, as steelyard.Objective(loss, weighting) makes one"
            raise ArgumentError("objective", expected, f"a {type(objective).__name__}")
        for word in ("descent", "transform", "sampler", "trainable"):
            if not callable(getattr(self, word)):
                expected = f"something to call, as the things of steelyard.{word}s are" if word != "trainable" else "a function"
                raise ArgumentError(word, expected, repr(getattr(self, word)))


Steps: TypeAlias = Generator[Stage, nn.Module, nn.Module | None]
Stages: TypeAlias = Generator[Stage, nn.Module, None]
"""The steps of a method that returns nothing, so that the last trained model is judged: what most methods are."""
Method: TypeAlias = Callable[[TaskView], Steps]
