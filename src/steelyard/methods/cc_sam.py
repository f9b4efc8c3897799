"""A classifier that is perturbed for each class by itself."""

from __future__ import annotations

from typing import Literal

from steelyard.core.stage import Stage, Stages
from steelyard.core.task import TaskView
from steelyard.descents import ClassConditionalSAM
from steelyard.methods._classifier import check_classifier

SEARCH = {"flat": "0.1..0.7", "noise": "log(1e-5..0.1)"}


def cc_sam(task: TaskView, *, flat: float = 0.5, noise: float = 0.001, norm: Literal["global", "tensor"] = "global") -> Stages:
    """Score rows also by a classifier that was moved uphill for their class, rare classes further: CC-SAM.

    Formula:
        `L = (1 - flat) * mean l(W) + flat * mean l(W + eps_c)`,
        `|eps_c| = noise * k^(1/4) * (|W| / (2 |g_c|))^(1/2) * (n_c - 1)^(-1/4)` along g_c, the gradient of class c's mean loss
        by the classifier W of k numbers. A step costs about one.

    Args:
        task: what is learnt.
        flat: share of the perturbed loss, in [0, 1].
        noise: factor on the radius, 0 or more; 1 is the bound's own, 1e-6 released.
        norm: lengths over the classifier as a whole ("global"), or of weight and bias each ("tensor", as released).

    Raises:
        CombinationError: the task's model does not end in a linear layer.

    Reference:
        Zhou, Li, Zhao, Heng, Gong: Class-conditional sharpness-aware minimization for deep long-tailed recognition, CVPR 2023.

    Departures:
        The paper's first stage. Its second, a classifier trained on adversarial features of class-balanced rows, is left out:
        the length of its step in feature space and its learning rate were not found. `crt` is a second stage without them.
        `noise` is ours: the radius grows without bound as a class is learnt and its gradient vanishes, so 1 does not train.

    Example:
        >>> from steelyard.settings import describe_method
        >>> describe_method("cc-sam").words
        {'descent': 'class-conditional-sam'}
    """
    check_classifier(task, "CC-SAM perturbs the classifier")
    yield Stage(descent=ClassConditionalSAM(task.counts, flat, noise=noise, norm=norm))
