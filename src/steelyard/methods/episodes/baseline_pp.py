"""Ordinary training with a cosine classifier, and in each episode a new one."""

from __future__ import annotations

from torch import Tensor, nn

from steelyard.core.stage import Stages
from steelyard.core.task import TaskView
from steelyard.methods.episodes._common import Kind, on_classes, treatment
from steelyard.nets import NormedLinear
from steelyard.nets.episodic import Baseline

MANY = 200
"""Training classes above which the cosines are made sharper."""

SEARCH = {"rebalance": "none|ros|ros-plus|weighted|focal|cb"}


def baseline_pp(
    task: TaskView,
    *,
    rebalance: Kind = "none",
    gamma: float | None = None,
    beta: float | None = None,
    finetune_steps: int = 100,
    finetune_lr: float = 0.01,
    scale: float | None = None,
) -> Stages:
    """Baseline++: the baseline with a cosine classifier in both stages.

    Formula:
        stage 1: cross-entropy of `scale <f / |f|, w_c / |w_c|>` over all training classes; then a new such classifier on the
        support, f frozen.

    Args:
        task: what is learnt.
        rebalance: of unequal support: "none"; "ros" (copies until all classes have as many examples), "ros-plus" (the copies
            are augmented); "weighted" (1 / n), "cb" (effective numbers) or "focal" in the loss of the support.
        gamma: of focal, 0 or more; none for 2.
        beta: of cb, in [0, 1); none for 0.8.
        finetune_steps: gradient steps on the support, 0 or more.
        finetune_lr: their rate, above 0.
        scale: of the cosines, above 0; none for 2 up to 200 training classes and 10 beyond.

    Raises:
        ArgumentError: a setting out of range, or one that would do nothing.
        CombinationError: the data are no episodes, or the treatment has nothing to act on.

    Reference:
        Chen, Liu, Kira, Wang, Huang: A closer look at few-shot classification, ICLR 2019.

    Departures:
        Trained on the training classes alone, in batches as large as an episode; the papers add validation classes and take
        batches of 128.
        Every step takes the whole support: in minibatches of 4, as published, the weight of a class cancels where the batch has
        no other.

    Example:
        >>> from steelyard.settings import describe_method
        >>> describe_method("baseline-pp").of
        'episodes'
    """
    task.require("episodes", "baseline-pp")
    chosen, steps = treatment(rebalance, gamma=gamma, beta=beta), (finetune_steps, finetune_lr)
    sharp = (2.0 if task.context["image_classes"] <= MANY else 10.0) if scale is None else scale

    def make(backbone: nn.Module, head: nn.Module, size: int) -> Baseline:
        cosines = nn.Sequential(NormedLinear(size, task.context["image_classes"]), Scaled(sharp))
        return Baseline(backbone, cosines, chosen, steps=steps, cosine=True, scale=sharp)

    yield on_classes(task, make)


class Scaled(nn.Module):
    """Multiplies by a constant."""

    def __init__(self, factor: float) -> None:
        super().__init__()
        self.factor = factor

    def forward(self, values: Tensor) -> Tensor:
        """Values times the factor."""
        return self.factor * values
