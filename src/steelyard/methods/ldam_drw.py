"""LDAM with weights that begin late in training."""

from __future__ import annotations

from steelyard.core.objective import Objective
from steelyard.core.stage import Stage, Steps
from steelyard.core.task import TaskView
from steelyard.decisions import Adjusted, Scale
from steelyard.losses import LDAM
from steelyard.methods.ldam import cosine_model
from steelyard.weightings import Deferred, EffectiveNumber

SEARCH = {"max_margin": "0.1..0.9", "scale": "log(10..60)", "beta": "0.9|0.99|0.999|0.9999", "after": "0.5..0.9"}


def ldam_drw(
    task: TaskView, *, max_margin: float = 0.5, scale: float = 30.0, beta: float = 0.9999, after: float = 0.8
) -> Steps:
    """LDAM-DRW: margins for rare classes from the start, effective-number weights for the last epochs.

    Formula:
        `L = w_y * CE(s * (z - m_y e_y), y)`, margins and cosines `z` as in `ldam`; `w = 1` before the fraction `after` of the
        epochs, then proportional to `(1 - beta) / (1 - beta ** n_c)`, mean 1 over classes.

    Args:
        task: what is learnt.
        max_margin: margin of the rarest class, 0 or more.
        scale: s, above 0.
        beta: in [0, 1), see `class-balanced`.
        after: fraction of the epochs after which the weights act, in [0, 1]; at least five epochs are needed for 0.8 to
            be reached.

    Raises:
        CombinationError: the task's model has no linear layer to put the cosine classifier in the place of.

    Reference:
        Cao, Wei, Gaidon, Arechiga, Ma: Learning imbalanced datasets with label-distribution-aware margin loss, NeurIPS 2019.

    Departures:
        The mean is taken over rows, where the released code divides by the sum of weights; the switch is a fraction of the
        epochs, there epoch 160. The judged model gives `s * z`, see `ldam`.

    Example:
        >>> from steelyard.settings import describe_method
        >>> describe_method("ldam-drw").words
        {'loss': 'ldam', 'weighting': 'deferred(effective-number)', 'decision': 'scale'}
    """
    weighting = Deferred(EffectiveNumber(task.counts, beta=beta), after=float(after))
    objective = Objective(LDAM(task.counts, max_margin=max_margin, scale=scale), weighting)
    model = yield Stage(objective, model=cosine_model(task))
    return Adjusted(model, Scale(scale))
