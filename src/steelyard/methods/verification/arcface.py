"""ArcFace: margins of angles."""

from __future__ import annotations

from steelyard.core.objective import Objective
from steelyard.core.stage import Stage, Steps
from steelyard.core.task import TaskView
from steelyard.decisions import Adjusted, Scale
from steelyard.losses import ArcFace
from steelyard.methods.ldam import cosine_model

SEARCH = {"margin": "0.1..0.6", "scale": "log(10..64)"}


def arcface(task: TaskView, *, margin: float = 0.3, scale: float = 30.0, by_size: bool = False) -> Steps:
    """The true identity must win by an angle, on cosines of embeddings: ArcFace.

    Formula:
        `L = CE(s z', y)`, `z_j = cos(t_j)` between embedding and weights of identity j, `z'_y = cos(t_y + m_y)`; pairs are
        compared by the cosine of their embeddings.

    Args:
        task: what is learnt.
        margin: the angle in radians, in [0, pi / 2].
        scale: s, above 0.
        by_size: margins fall with the fourth root of an identity's pictures, as in LDAM; `margin` is that of the rarest.

    Raises:
        CombinationError: the data are no pictures to verify, or the model has no linear layer.

    Reference:
        Deng, Guo, Xue, Zafeiriou: ArcFace: additive angular margin loss for deep face recognition, CVPR 2019.

    Departures:
        The margin is 0.3 (0.5 in the paper), as networks trained from scratch on few pictures otherwise learn nothing at first.
        See `steelyard.losses.ArcFace`.

    Example:
        >>> from steelyard.settings import describe_method
        >>> describe_method("arcface").of
        'verification'
    """
    task.require("verification", "arcface")
    loss = ArcFace(margin, scale, task.counts if by_size else None)
    model = yield Stage(Objective(loss), model=cosine_model(task))
    return Adjusted(model, Scale(scale))
