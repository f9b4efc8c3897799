"""Cosine to prototypes of length one."""

from __future__ import annotations

from steelyard.core.stage import Stages
from steelyard.core.task import TaskView
from steelyard.methods.episodes._common import Kind, Training, When, backbone_of, episodic, of_queries, treatment
from steelyard.nets.episodic import CosinePrototypes

SEARCH = {"rebalance": "none|ros|ros-plus|weighted|focal|cb"}


def cosine_prototypes(
    task: TaskView,
    *,
    rebalance: Kind = "none",
    when: When = "always",
    gamma: float | None = None,
    beta: float | None = None,
    training: Training = "task",
    scale: float = 10.0,
) -> Stages:
    """Cosine to prototypes of length one: the control that favours no class for its support.

    Formula:
        `z_k = s <f(x) / |f(x)|, c_k / |c_k|>`, s learnt; cross-entropy of the queries.

    Args:
        task: what is learnt.
        rebalance: of unequal support: "none"; "ros" (copies until all classes have as many examples), "ros-plus" (the copies
            are augmented); "weighted" (1 / n), "cb" (effective numbers) or "focal" in the loss of the queries, by support.
        when: "always", or at "inference" only.
        gamma: of focal, 0 or more; none for 2.
        beta: of cb, in [0, 1); none for 0.8.
        training: episodes as the "task" has them, "standard" (equal support) or "random-shot" (each count uniform).
        scale: first value of s, above 0.

    Raises:
        ArgumentError: a setting out of range, or one that would do nothing.
        CombinationError: the data are no episodes, or the treatment has nothing to act on.

    Reference:
        Gidaris, Komodakis: Dynamic few-shot visual learning without forgetting, CVPR 2018.

    Departures:
        Only the prototypes of that paper, without its attention over base classes.
        With "random-shot" validation episodes are as the task has them, for all methods alike; released code validates the two
        kinds of training on different episodes.

    Example:
        >>> from steelyard.settings import describe_method
        >>> describe_method("cosine-prototypes").of
        'episodes'
    """
    task.require("episodes", "cosine-prototypes")
    chosen = treatment(rebalance, when, gamma, beta)
    backbone, _ = backbone_of(task)
    yield episodic(task, CosinePrototypes(backbone, chosen, scale), training, of_queries(chosen))
