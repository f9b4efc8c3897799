"""What the methods for episodes share: treatments of unequal support, what they train on, and the loss of the queries."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import torch
from torch import Tensor, nn

from steelyard.core.errors import ArgumentError, CombinationError, DataError
from steelyard.core.loss import Loss, as_rows
from steelyard.core.modes import evaluating
from steelyard.core.objective import Objective
from steelyard.core.oracle import Oracle
from steelyard.core.rows import Batch
from steelyard.core.stage import Stage
from steelyard.core.task import Task, TaskView
from steelyard.core.weighting import Uniform
from steelyard.nets.episodic import FewShotLearner, Rebalance
from steelyard.nets.episodic.nearest import Pretrained
from steelyard.nets.episodic.rebalance import RESAMPLING

Kind = Literal["none", "ros", "ros-plus", "weighted", "focal", "cb"]
Copies = Literal["none", "ros", "ros-plus"]
When = Literal["always", "inference"]
Training = Literal["task", "standard", "random-shot"]


def treatment(kind: str, when: str = "always", gamma: float | None = None, beta: float | None = None) -> Rebalance:
    """The settings `rebalance`, `when`, `gamma` and `beta` of a method.

    Raises:
        ArgumentError: gamma without focal, beta without cb, `when` without a treatment, or a value out of range.
    """
    if gamma is not None and kind != "focal":
        raise ArgumentError("gamma", "given with rebalance=focal", f"{gamma} with rebalance={kind}")
    if beta is not None and kind != "cb":
        raise ArgumentError("beta", "given with rebalance=cb", f"{beta} with rebalance={kind}")
    if when not in ("always", "inference") or (when != "always" and kind == "none"):
        raise ArgumentError("when", "'always', or 'inference' with a rebalance", repr(when))
    return Rebalance(kind, 2.0 if gamma is None else gamma, 0.8 if beta is None else beta, when == "inference")


def trained_on(task: TaskView, training: str) -> Task | None:
    """The task with other training episodes; None for those of the task itself.

    Raises:
        ArgumentError: `training` is none of the three.
    """
    if training not in ("task", "standard", "random-shot"):
        raise ArgumentError("training", "'task', 'standard' or 'random-shot'", repr(training))
    return None if training == "task" else task.on(task.context["training"][training])


def backbone_of(task: TaskView) -> tuple[nn.Module, int]:
    """The task's backbone with its first weights, which all methods of a seed share, and the number of its features.

    Raises:
        DataError: what it gives is not one vector an input.
    """
    model = task.model()
    assert isinstance(model, FewShotLearner)  # what every episodic task makes
    backbone = model.backbone
    device = next((parameter.device for parameter in backbone.parameters()), torch.device("cpu"))
    with torch.no_grad(), evaluating(backbone):
        features: Any = backbone(torch.zeros(2, *task.context["shape"], device=device))
    if not isinstance(features, Tensor) or features.ndim != 2:
        found = f"shape {list(features.shape)}" if isinstance(features, Tensor) else type(features).__name__
        raise DataError(f"the backbone should give a vector of features for each input, [N, d]; found {found}")
    return backbone, features.shape[1]


def episodic(task: TaskView, learner: nn.Module, training: str, objective: Objective) -> Stage:
    """A stage that trains a learner on episodes."""
    return Stage(objective, model=learner, task=trained_on(task, training))


def on_classes(task: TaskView, make: Callable[[nn.Module, nn.Module, int], Pretrained]) -> Stage:
    """A stage that trains backbone and head to tell the training classes apart, in batches as large as an episode.

    Args:
        task: what is learnt.
        make: a learner from backbone, head and number of features.
    """
    backbone, size = backbone_of(task)
    head = nn.Linear(size, task.context["image_classes"])
    return Stage(model=make(backbone, head, size), task=task.on(task.context["images"]), transform=unweighted)


def unweighted(oracle: Oracle, batch: Batch) -> Batch:
    """The batch as it is, where nothing goes by class counts: those are of the ranks of episodes, not of training classes.

    Raises:
        CombinationError: rows are weighted, or the loss holds numbers of classes.
    """
    objective = oracle.objective
    if type(objective.weighting) is not Uniform or any(True for _ in objective.loss.buffers()):
        raise CombinationError(
            "weightings and losses with class counts go by the ranks of an episode, and this learner is trained on batches of "
            "single images: leave them out"
        )
    return batch


@torch.no_grad()
def training_mean(task: TaskView, backbone: nn.Module) -> Tensor:
    """Mean feature of all images of the training classes `[d]`, exact; the backbone is in evaluation mode meanwhile."""
    whole = task.on(task.context["every_image"])
    device = next((parameter.device for parameter in backbone.parameters()), torch.device("cpu"))
    total, seen = torch.zeros((), dtype=torch.float64, device=device), 0
    source = whole.splits["train"].to(device)
    with evaluating(backbone):
        for _, inputs in source.stream(torch.split(torch.arange(len(source)), 1)):
            features = backbone(whole.load(inputs, augment="none", generator=None).inputs)
            total, seen = total + features.double().sum(0), seen + len(features)
    return (total / seen).float()


def of_queries(rebalance: Rebalance) -> Objective:
    """The objective of a treatment: plain cross-entropy where it has no loss of its own, so that another word may set one."""
    plain = rebalance.inference_only or rebalance.kind in ("none", *RESAMPLING)
    return Objective() if plain else Objective(QueryLoss(rebalance))


class QueryLoss(Loss):
    """Loss of the queries: each by the weight that the support of its class gives it, on average 1 over the classes.

    Args:
        rebalance: whose losses and weights; those that oversample, and those for inference only, leave cross-entropy.
    """

    def __init__(self, rebalance: Rebalance) -> None:
        super().__init__()
        plain = rebalance.inference_only or rebalance.kind in RESAMPLING
        self.rebalance = Rebalance() if plain else rebalance

    def rows(self, logits: Tensor, target: Tensor, **context: Any) -> Tensor:
        """`w_y l + penalty`, `[N]`."""
        weighed, penalty = self.parts(logits, target, **context)
        return weighed if penalty is None else weighed + penalty

    def parts(self, logits: Tensor, target: Tensor, **context: Any) -> tuple[Tensor, Tensor | None]:
        """`w_y l`, and the penalty of the learner."""
        logits, target = as_rows(logits, target)
        values, counts = self.rebalance.row_losses(logits, target), context.get("support_counts")
        if counts is not None:
            weights = self.rebalance.class_weights(counts)
            weights = weights / weights.mean(1, keepdim=True)
            values = values * weights.gather(1, target.unsqueeze(1)).squeeze(1).to(values.dtype)
        return values, context.get("penalty")


class LearnersOwn(Loss):
    """The penalty that a learner reports, and nothing else: for learners whose objective is no sum over queries."""

    def rows(self, logits: Tensor, target: Tensor, **context: Any) -> Tensor:
        """The penalty `[N]`."""
        logits, target = as_rows(logits, target)
        penalty: Tensor | None = context.get("penalty")
        return torch.zeros_like(logits[:, 0]) if penalty is None else penalty
