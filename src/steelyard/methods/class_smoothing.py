"""Targets that are the less certain, the larger (or the smaller) their class."""

from __future__ import annotations

from typing import Literal

from steelyard.core.objective import Objective
from steelyard.core.stage import Stage, Stages
from steelyard.core.task import TaskView
from steelyard.losses import ClassSmoothing

SEARCH = {"minimum": "0..0.2", "maximum": "0.2..0.5", "direction": "head|tail"}


def class_smoothing(
    task: TaskView, *, minimum: float = 0.1, maximum: float = 0.4, direction: Literal["head", "tail"] = "head"
) -> Stages:
    """Label smoothing that is stronger for large classes ("head") or for small ones ("tail").

    Formula:
        `L = (1 - e_y) (-log p_y) + e_y mean_j(-log p_j)`, `p = softmax(z)`; `e_c` from `minimum` to `maximum`, a concave sine
        in `n_c` ("head") or falling linearly in `log n_c` ("tail").

    Args:
        task: what is learnt.
        minimum: in [0, 1).
        maximum: in [minimum, 1).
        direction: which end of the distribution gets `maximum`.

    Reference:
        Zhong, Cui, Liu, Jia: Improving calibration for long-tailed recognition, CVPR 2021 ("head");
        Shwartz-Ziv, Goldblum, Li, Bruss, Wilson: Simplifying neural network training under class imbalance, NeurIPS 2023
        ("tail").

    Departures:
        "head" is the paper's loss in its second stage; here it is used from the start. "tail": the paper's formula was not
        found; linear in log n is our choice.

    Example:
        >>> from steelyard.settings import describe_method
        >>> describe_method("class-smoothing").words
        {'loss': 'class-smoothing'}
    """
    yield Stage(Objective(ClassSmoothing(task.counts, minimum, maximum, direction)))
