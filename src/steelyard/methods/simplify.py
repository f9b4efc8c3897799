"""Smoothing by class, sharpness by class and a self-supervised term: no special loss or sampler."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

from steelyard.core.objective import Objective
from steelyard.core.stage import Stage, Stages
from steelyard.core.task import TaskView
from steelyard.descents import AsymmetricSAM
from steelyard.losses import ClassSmoothing
from steelyard.losses.joint import Joint
from steelyard.methods.joint_ssl import joint_ssl

SEARCH = {
    "minimum": "0..0.1",
    "maximum": "0.1..0.4",
    "rho": "0|0.01|0.02|0.05|0.1",
    "power": "0..1",
    "ssl_weight": "0|0.01|0.03|0.1|0.3",
}


def simplify(
    task: TaskView,
    *,
    minimum: float = 0.0,
    maximum: float = 0.1,
    direction: Literal["head", "tail"] = "tail",
    rho: float = 0.05,
    power: float = 0.5,
    form: Literal["described", "released"] = "described",
    term: Literal["nt-xent", "vicreg"] = "nt-xent",
    ssl_weight: float | None = None,
) -> Stages:
    """Plain training done well: label smoothing and sharpness that look at class size, and a self-supervised term.

    Formula:
        `L = S(z, y) + ssl_weight * SSL(x, x')`, S the smoothed cross-entropy of `class-smoothing`, SSL as in `joint-ssl`; the
        gradient is taken where `AsymmetricSAM` climbs to.

    Args:
        task: what is learnt.
        minimum: smallest smoothing, in [0, 1).
        maximum: largest smoothing, in [minimum, 1).
        direction: which end of the distribution gets `maximum`; "tail" lowers the margin that rare classes aim for.
        rho: radius of the step uphill for the largest class, 0 or more; 0 takes the gradient where the model is.
        power: how much further rare classes climb, 0 or more; 0 is SAM.
        form: of the step uphill, "described" (rare classes climb further) or "released" (only its direction is tilted).
        term: self-supervised loss, "nt-xent" or "vicreg".
        ssl_weight: of that loss, 0 or more; 0 for none of it, none for the default of `joint-ssl`.

    Raises:
        ArgumentError: a setting out of range.
        CombinationError: `ssl_weight` is not 0 and the task's model does not end in a linear layer.

    Reference:
        Shwartz-Ziv, Goldblum, Li, Bruss, Wilson: Simplifying neural network training under class imbalance, NeurIPS 2023.

    Departures:
        A reconstruction: formula, weight and radius of the three parts were not found, and the released code has no smoothing
        and no joint loss; see `class-smoothing`, `joint-ssl` and `steelyard.descents.AsymmetricSAM`. Batch size and
        augmentation are the regime's, which a method may not change: use the regime `simplify` for every method compared.

    Example:
        >>> from steelyard.settings import describe_method
        >>> describe_method("simplify").words
        {'loss': 'joint-nt-xent', 'transform': 'two-views', 'descent': 'asymmetric-sam'}
    """
    smoothing = ClassSmoothing(task.counts, minimum, maximum, direction)
    climbing = AsymmetricSAM(task.counts, rho, power=power, form=form)
    stage = Stage() if ssl_weight == 0 else next(joint_ssl(task, term=term, weight=ssl_weight))
    loss = stage.objective.loss
    if isinstance(loss, Joint):
        loss.loss = smoothing
    yield replace(stage, objective=Objective(loss if isinstance(loss, Joint) else smoothing), descent=climbing)
