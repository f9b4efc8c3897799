"""mixup with Balanced Softmax."""

from __future__ import annotations

from steelyard.core.objective import Objective
from steelyard.core.stage import Stage, Stages
from steelyard.core.task import TaskView
from steelyard.losses import BalancedSoftmax
from steelyard.transforms import Mixup

SEARCH = {"alpha": "log(0.1..2)"}


def mixup_bs(task: TaskView, *, alpha: float = 1.0) -> Stages:
    """Balanced Softmax on blends of two rows: two simple parts that a new method has to beat together.

    Formula:
        `L = lam * BS(z, y_i) + (1 - lam) * BS(z, y_j)` at `x = lam * x_i + (1 - lam) * x_j`, `lam` drawn from
        Beta(alpha, alpha), BS as in `balanced-softmax`.

    Args:
        task: what is learnt.
        alpha: 0 or more, see `mixup`.

    Reference:
        A control: Zhang et al. (mixup, ICLR 2018) with Ren et al. (Balanced Softmax, NeurIPS 2020).

    Departures:
        none.

    Example:
        >>> from steelyard.settings import describe_method
        >>> describe_method("mixup-bs").words
        {'loss': 'balanced-softmax', 'transform': 'mixup'}
    """
    yield Stage(Objective(BalancedSoftmax(task.counts)), transform=Mixup(alpha=alpha))
