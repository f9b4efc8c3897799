"""Nearest class mean."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

from torch import nn

from steelyard.core.stage import Stage, Steps
from steelyard.core.task import TaskView
from steelyard.methods._classifier import check_classifier, check_epochs, class_means, held
from steelyard.nets import NearestMean, with_head
from steelyard.samplers import BalancedSampler

SEARCH = {"distance": "cosine|l2"}


def ncm(task: TaskView, *, distance: Literal["cosine", "l2"] = "cosine", head_epochs: int = 1) -> Steps:
    """Learn features with plain cross-entropy, then decide for the class whose mean feature is nearest.

    Formula:
        stage 1: plain cross-entropy; `m_c` is the mean feature of the training rows of class c; decide by the smallest
        `|h - m_c|`, for "cosine" with features and means of length 1. Stage 2 learns the variance v in the scores
        `-|h - m_c|^2 / (2 v)` on balanced rows; it changes probabilities and no decision.

    Args:
        task: what is learnt.
        distance: "cosine" or "l2" (Euclidean).
        head_epochs: length of stage 2, 1 or more.

    Raises:
        CombinationError: the task's model does not end in a linear layer.

    Reference:
        Kang, Xie, Rohrbach, Yan, Gordo, Feng, Kalantidis: Decoupling representation and classifier for long-tailed recognition,
        ICLR 2020.

    Departures:
        Stage 2 is ours: without it nothing would say how certain a distance is. It starts from the variance within classes. A
        class without rows has no mean and is never decided for.

    Example:
        >>> from steelyard.settings import describe_method
        >>> describe_method("ncm").words
        {'sampler': 'balanced (stage 2)', 'stages': '2'}
    """
    check_epochs("head_epochs", head_epochs)
    check_classifier(task, "class means are taken of what goes into the classifier")
    model = yield Stage()
    means, variance = class_means(task, model, unit=distance == "cosine")
    head = NearestMean(means, task.counts, distance=distance, variance=variance)
    model = with_head(model, head)

    def variance_alone(_model: nn.Module) -> Iterable[nn.Parameter]:
        return [head.log_variance]

    yield Stage(
        sampler=BalancedSampler, trainable=variance_alone, epochs=head_epochs, model=held(model, freeze_statistics=True)
    )
    return model
