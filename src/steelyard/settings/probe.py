"""What a method does, found out by running it without training: on a tiny task, each stage answered with an untrained model."""

from __future__ import annotations

import functools
from collections.abc import Callable, Generator, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from steelyard.core.descent import plain
from steelyard.core.errors import SteelyardError
from steelyard.core.loss import CrossEntropy
from steelyard.core.sampler import Sampler, ShuffledSampler
from steelyard.core.seeds import generator
from steelyard.core.stage import Stage, Steps, every_parameter
from steelyard.core.task import Source, Task, TaskView
from steelyard.core.transform import untouched
from steelyard.core.weighting import Uniform, Weighting
from steelyard.settings.text import format_value
from steelyard.settings.words import Choice, name_of_word

PROBE_COUNTS = (64, 16, 4)
MOST_STAGES = 100


class _Rows:
    """Rows of a few random numbers."""

    def __init__(self, name: str, class_counts: tuple[int, ...]) -> None:
        self.target = torch.repeat_interleave(torch.arange(len(class_counts)), torch.tensor(class_counts))
        self.inputs = torch.randn(len(self.target), 4, generator=generator(0, "probe", name))

    def __len__(self) -> int:
        return len(self.target)

    def to(self, _device: torch.device) -> Source:
        return self

    def stream(self, batches: Iterable[Tensor]) -> Iterator[tuple[Tensor, Any]]:
        for index in batches:
            yield index, self.inputs[index]


class ProbeTask(Task):
    """Three classes of 64, 16 and 4 rows of four numbers, and a small network: enough to ask a method what it would do."""

    def __init__(self) -> None:
        splits = {name: _Rows(name, counts) for name, counts in (("train", PROBE_COUNTS), ("valid", (4, 4, 4)))}
        super().__init__("probe", ("a", "b", "c"), splits)

    def model(self) -> nn.Module:
        """Two linear layers."""
        return nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 3))


@dataclass(frozen=True)
class DryRun:
    """What a method yielded and returned.

    Attributes:
        stages: in order.
        model: the model after the last stage, untrained.
        judged: what would be judged; `model` itself where the method returned nothing.
    """

    stages: tuple[Stage, ...]
    model: nn.Module
    judged: nn.Module


def dry_run(method: Callable[[TaskView], Steps], task: Task | None = None) -> DryRun:
    """Run a method to its end without training.

    Args:
        method: takes a task view and yields stages.
        task: None for `ProbeTask`.

    Raises:
        SteelyardError: it is no generator, yields something else than stages, or does not end.

    Example:
        >>> def erm(task):
        ...     yield Stage()
        >>> len(dry_run(erm).stages)
        1
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)  # as the loop does: a method may draw from torch's global generator (a new layer's weights)
        return _walk(method, TaskView(ProbeTask() if task is None else task))


def _walk(method: Callable[[TaskView], Steps], view: TaskView) -> DryRun:
    steps = started(method, view)
    stages, model = list[Stage](), None
    try:
        stage = next(steps)
        while len(stages) < MOST_STAGES:
            if not isinstance(stage, Stage):
                raise SteelyardError(f"a method should yield Stage objects; {_called(method)} yielded {type(stage).__name__}")
            stages.append(stage)
            model = stage.model if stage.model is not None else model if model is not None else view.model()
            stage = steps.send(model)
    except StopIteration as end:
        if model is None:
            raise SteelyardError(f"{_called(method)} yields no stage, so nothing would be trained") from None
        return DryRun(tuple(stages), model, model if end.value is None else end.value)
    raise SteelyardError(f"{_called(method)} yields more than {MOST_STAGES} stages")


def started(method: Callable[[TaskView], Steps], view: TaskView) -> Steps:
    """The method's generator, or a sentence saying that it is none."""
    steps: object = method(view)
    if not isinstance(steps, Generator):
        raise SteelyardError(
            f"{_called(method)} should be a generator function that yields stages; it returned {type(steps).__name__}"
        )
    return steps


def _called(method: object) -> str:
    name = getattr(method, "name", None) or getattr(method, "__name__", type(method).__name__)
    return f"method '{name}'"


def slots_of(stage: Stage) -> dict[str, Any]:
    """The words and other fields of a stage that are not their identity element.

    Example:
        >>> slots_of(Stage(epochs=3))
        {'epochs': 3}
    """
    loss, weighting = stage.objective.loss, stage.objective.weighting
    found: dict[str, tuple[Any, bool]] = {
        "loss": (loss, type(loss) is CrossEntropy),
        "weighting": (weighting, type(weighting) is Uniform),
        "sampler": (stage.sampler, stage.sampler is ShuffledSampler),
        "transform": (stage.transform, stage.transform is untouched),
        "descent": (stage.descent, stage.descent is plain),
        "trainable": (stage.trainable, stage.trainable is every_parameter),
        "epochs": (stage.epochs, stage.epochs is None),
        "model": (stage.model, stage.model is None),
        "task": (stage.task, stage.task is None),
    }
    return {slot: value for slot, (value, is_identity) in found.items() if not is_identity}


def words_of(run: DryRun) -> dict[str, str]:
    """The words that a method uses, in words; a slot that differs between stages names its stage.

    Example:
        >>> words_of(DryRun((Stage(),), nn.Identity(), nn.Identity()))
        {'decision': 'identity'}
    """
    several = len(run.stages) > 1
    found: dict[str, list[str]] = {}
    for number, stage in enumerate(run.stages, start=1):
        for slot, value in slots_of(stage).items():
            if slot in ("loss", "weighting", "sampler", "transform", "descent"):
                text = _describe(value)
                found.setdefault(slot, []).append(f"{text} (stage {number})" if several else text)
    words = {slot: ", ".join(texts) for slot, texts in found.items()}
    if all(part is not run.judged for part in run.model.modules()):  # a part of what was trained decides nothing new
        words["decision"] = _describe(getattr(run.judged, "decision", run.judged))
    if several:
        words["stages"] = str(len(run.stages))
    return words


def _describe(value: Any) -> str:
    """An object of one of the rooms as text: its name, and the word or the fixed arguments inside it."""
    if isinstance(value, functools.partial):
        inside = [f"{key}={_inner(item)}" for key, item in value.keywords.items()]
        name = name_of_word(value.func)
    else:
        name = name_of_word(value)
        inside = (
            [_describe(child) for child in value.children() if isinstance(child, Weighting)]
            if isinstance(value, nn.Module)
            else []
        )
    return f"{name}({', '.join(inside)})" if inside else name


def _inner(value: Any) -> str:
    is_word = isinstance(value, Choice | Weighting | functools.partial) or (
        isinstance(value, type) and issubclass(value, Sampler)
    )
    return _describe(value) if is_word and not isinstance(value, Choice) else format_value(value)
