"""Losses of pairs and triplets."""

from __future__ import annotations

from typing import Literal

from steelyard.core.objective import Objective
from steelyard.core.stage import Stage, Stages
from steelyard.core.task import TaskView
from steelyard.methods._classifier import check_classifier
from steelyard.methods.verification._embedding import EmbeddingLoss

SEARCH = {"weight": "log(0.1..10)"}


def metric_learning(
    task: TaskView,
    *,
    loss: Literal["triplet", "contrastive", "multi-similarity", "circle", "ntxent", "supcon", "lifted"] = "triplet",
    weight: float = 1.0,
    softmax: float = 1.0,
) -> Stages:
    """A loss of pairs or triplets of the batch, beside cross-entropy of the classifier.

    Formula:
        `L_i = softmax CE(z_i, y_i) + weight mean_{parts with anchor i} l`, l the loss of a pair or triplet of embeddings; any
        weighting of ours weighs L_i, any sampler fills the batch.

    Args:
        task: what is learnt.
        loss: of pytorch-metric-learning, with its defaults.
        weight: of the loss of pairs, 0 or more.
        softmax: of the cross-entropy, 0 or more; with 0 nothing trains the classifier, so numbers of closed-set identification
            mean nothing.

    Raises:
        CombinationError: the data are no pictures to verify, or the model has no linear layer.
        SteelyardError: pytorch-metric-learning is not installed.

    Reference:
        Musgrave, Belongie, Lim: PyTorch metric learning, 2020. Together with softmax: Luo, Gu, Liao, Lai, Jiang: Bag of tricks
        and a strong baseline for deep person re-identification, CVPR workshops 2019.

    Departures:
        The mean over the parts of an anchor, then over anchors, so that rows can be weighted; the library takes the mean over
        all parts, or over those above 0.

    Example:
        >>> from steelyard.settings import describe_method
        >>> describe_method("metric-learning").of
        'verification'
    """
    task.require("verification", "metric-learning")
    check_classifier(task, "a loss of pairs compares what goes into the classifier")
    yield Stage(Objective(EmbeddingLoss(loss, weight, softmax)))
