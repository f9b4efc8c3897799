"""What methods with a second stage share: is there a classifier to train again, and what its features are."""

from __future__ import annotations

from contextlib import closing

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from steelyard.core.errors import ArgumentError, CombinationError
from steelyard.core.head import Tap, find_head
from steelyard.core.modes import evaluating
from steelyard.core.rows import Batch
from steelyard.core.task import EVALUATION_ROWS, TaskView
from steelyard.nets import FrozenStatistics


def check_classifier(task: TaskView, wanted: str) -> nn.Module:
    """Find out before training whether the task's model ends in a linear layer.

    Args:
        task: its model is asked for.
        wanted: what the method needs it for, the first part of the message.

    Returns:
        A fresh model.

    Raises:
        CombinationError: it does not.
    """
    model = task.model()
    found = find_head(model)
    if found is None:
        raise CombinationError(
            f"{wanted}, and {type(model).__name__}, the model of '{task.name}', has no linear layer: end the model in an "
            "nn.Linear"
        )
    if found[1].out_features != task.num_classes:
        raise CombinationError(
            f"{wanted}, and '{found[0]}', the last linear layer of {type(model).__name__}, has {found[1].out_features} outputs "
            f"for the {task.num_classes} classes of '{task.name}': register the classifier last"
        )
    return model


def check_epochs(argument: str, epochs: int, least: int = 1) -> None:
    """Refuse a length of a stage that cannot be.

    Raises:
        ArgumentError: fewer than `least`.
    """
    if epochs < least:
        raise ArgumentError(argument, f"a number of epochs, at least {least}", epochs)


def held(model: nn.Module, freeze_statistics: bool) -> nn.Module:
    """What a stage trains whose BatchNorm statistics shall, or shall not, stay as they are."""
    return FrozenStatistics(model) if freeze_statistics else model


@torch.no_grad()
def class_means(task: TaskView, model: nn.Module, unit: bool) -> tuple[Tensor, float]:
    """Mean features of the training rows of each class, and how far rows are from theirs.

    Args:
        task: its training rows are read once, without augmentation.
        model: in evaluation mode meanwhile.
        unit: features are divided by their length first.

    Returns:
        Means `[C, d]` (0 for a class without rows), float32, and the variance within classes, averaged over rows and
        dimensions.

    Raises:
        CombinationError: what goes into the model's last linear layer is not one vector a row.
    """
    device = next(model.parameters()).device
    whole, source = task.on(task.train), task.train.to(device)
    target = source.target.to(device)
    counts = torch.zeros(task.num_classes, dtype=torch.float64, device=device)
    sums = squares = torch.zeros((), dtype=torch.float64, device=device)
    with evaluating(model), closing(Tap(model)) as tap:
        for index, inputs in source.stream(torch.split(torch.arange(len(source)), EVALUATION_ROWS)):
            rows = whole.forward(model, Batch(whole.load(inputs, augment="none", generator=None), target[index], index))
            features = tap.take() if rows.features is None else rows.features
            if features is None or features.ndim != 2 or len(features) != len(rows.target):
                found = "nothing" if features is None else f"shape {list(features.shape)}"
                raise CombinationError(
                    f"class means are taken of one feature vector a row, [N, d], and the last linear layer of "
                    f"{type(model).__name__} was given {found}"
                )
            exact = F.normalize(features.double(), dim=1) if unit else features.double()
            mass = torch.ones_like(exact[:, 0]) if rows.share is None else rows.share.double()
            counts = counts.index_add(0, rows.target, mass)
            summed = exact.new_zeros(len(counts), exact.shape[1]).index_add_(0, rows.target, exact * mass[:, None])
            sums, squares = sums + summed, squares + (exact.square().sum(1) * mass).sum()
    means = sums / counts.clamp_min(1).unsqueeze(1)
    within = squares - (counts * means.square().sum(1)).sum()
    freedom = means.shape[1] * max(float(counts.sum()) - int((counts > 0).sum()), 1)
    return means.float(), max(float(within) / freedom, 1e-6)
