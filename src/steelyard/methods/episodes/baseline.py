"""Ordinary training, and in each episode a new linear classifier."""

from __future__ import annotations

from steelyard.core.stage import Stages
from steelyard.core.task import TaskView
from steelyard.methods.episodes._common import Kind, on_classes, treatment
from steelyard.nets.episodic import Baseline

SEARCH = {"rebalance": "none|ros|ros-plus|weighted|focal|cb"}


def baseline(
    task: TaskView,
    *,
    rebalance: Kind = "none",
    gamma: float | None = None,
    beta: float | None = None,
    finetune_steps: int = 100,
    finetune_lr: float = 0.01,
) -> Stages:
    """Baseline: ordinary training, then a new linear classifier on the support of each episode.

    Formula:
        stage 1: cross-entropy over all training classes; then `min_{W, b} CE(W f(x) + b, y)` on the support, f frozen.

    Args:
        task: what is learnt.
        rebalance: of unequal support: "none"; "ros" (copies until all classes have as many examples), "ros-plus" (the copies
            are augmented); "weighted" (1 / n), "cb" (effective numbers) or "focal" in the loss of the support.
        gamma: of focal, 0 or more; none for 2.
        beta: of cb, in [0, 1); none for 0.8.
        finetune_steps: gradient steps on the support, 0 or more.
        finetune_lr: their rate, above 0.

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
        >>> describe_method("baseline").of
        'episodes'
    """
    task.require("episodes", "baseline")
    chosen, steps = treatment(rebalance, gamma=gamma, beta=beta), (finetune_steps, finetune_lr)
    yield on_classes(task, lambda backbone, head, _: Baseline(backbone, head, chosen, steps=steps))
