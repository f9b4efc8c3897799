"""Labels and a self-supervised term at once."""

from __future__ import annotations

from typing import Any, Literal

import torch
from torch import Tensor, nn

from steelyard.core.errors import ArgumentError, CombinationError
from steelyard.core.head import find_head
from steelyard.core.loss import CrossEntropy
from steelyard.core.objective import Objective
from steelyard.core.stage import Stage, Stages
from steelyard.core.task import TaskView
from steelyard.data.augment import crop, cutout
from steelyard.data.streamed import StreamedSource
from steelyard.losses import JointNTXent, JointVicreg
from steelyard.losses.joint import Joint
from steelyard.transforms import TwoViews

SEARCH = {"weight": "log(0.01..1)", "term": "nt-xent|vicreg"}


def joint_ssl(
    task: TaskView,
    *,
    term: Literal["nt-xent", "vicreg"] = "nt-xent",
    weight: float | None = None,
    temperature: float | None = None,
    projection: int = 64,
    rate: float | None = None,
) -> Stages:
    """Cross-entropy together with a self-supervised loss of two views of every row, labels or not.

    Formula:
        `L = CE(x) + weight * SSL(x, x')`, where x' is a second view of the row x and SSL is NT-Xent or VICReg of the
        projected features; see `steelyard.losses.JointNTXent` and `JointVicreg`.

    Args:
        task: what is learnt.
        term: "nt-xent" or "vicreg".
        weight: lambda, 0 or more; 0 is `ce`; none for 0.1 (nt-xent) and 0.01 (vicreg).
        temperature: of NT-Xent, above 0; none for 0.5.
        projection: width of the embeddings that a small network, thrown away afterwards, makes of the features, 0 or more; 0
            to compare the features themselves.
        rate: share of cells of the second view that come from other rows, in [0, 1]; none for 0.6, and for 0 on images.

    The second view is the row read again through the regime's augmentation, and then, for images, cropped with a rectangle cut
    out; for tables, with cells exchanged.

    Raises:
        ArgumentError: a setting out of range, or a temperature for VICReg.
        CombinationError: the task's model has no linear classifier whose inputs could be compared.

    Reference:
        Shwartz-Ziv, Goldblum, Li, Bruss, Wilson: Simplifying neural network training under class imbalance, NeurIPS 2023.

    Departures:
        The paper's term, weight and views were not found, and its released code has none of them: all of this is a
        reconstruction from the statement that labels are learnt jointly with a self-supervised loss.

    Example:
        >>> from steelyard.settings import describe_method
        >>> describe_method("joint-ssl").words
        {'loss': 'joint-nt-xent', 'transform': 'two-views'}
    """
    loss = _loss(task, term, weight, temperature, projection)
    if loss.weight == 0:
        yield Stage()
        return
    images = _holds_images(task)
    rate = (0.0 if images else 0.6) if rate is None else rate
    source = None if isinstance(task.train, StreamedSource) else task.train  # rows one asks for singly would be slow
    yield Stage(Objective(loss), transform=TwoViews(rate, source=source, augment=_augmented if images else None))


def _loss(task: TaskView, term: str, weight: float | None, temperature: float | None, projection: int) -> Joint:
    if term not in ("nt-xent", "vicreg"):
        raise ArgumentError("term", "'nt-xent' or 'vicreg'", repr(term))
    if projection < 0:
        raise ArgumentError("projection", "a width, 0 or more", projection)
    projector = _projector(task, projection)
    if term == "nt-xent":
        return JointNTXent(
            CrossEntropy(),
            weight=0.1 if weight is None else weight,
            temperature=0.5 if temperature is None else temperature,
            projector=projector,
        )
    if temperature is not None:
        raise ArgumentError("temperature", "none with term=vicreg, which has no temperature", temperature)
    return JointVicreg(CrossEntropy(), weight=0.01 if weight is None else weight, projector=projector)


def _projector(task: TaskView, width: int) -> nn.Module | None:
    model = task.model()
    found = find_head(model)
    if found is None:
        raise CombinationError(
            f"joint-ssl compares the inputs of the classifier, and {type(model).__name__}, the model of '{task.name}', has no "
            "linear layer to tell them by: end the model in an nn.Linear"
        )
    if width == 0:
        return None
    features = found[1].in_features
    return nn.Sequential(nn.Linear(features, features), nn.ReLU(), nn.Linear(features, width))


def _holds_images(task: TaskView) -> bool:
    """Are the inputs `[N, C, H, W]`?"""
    _, first = next(iter(task.train.stream(iter([torch.tensor([0])]))))
    return isinstance(first, Tensor) and first.ndim == 4


def _augmented(images: Any, generator: torch.Generator) -> Any:
    return cutout(crop(images, generator, padding="reflect"), generator)
