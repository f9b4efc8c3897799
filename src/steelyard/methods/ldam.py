"""Larger margins for rarer classes."""

from __future__ import annotations

from torch import nn

from steelyard.core.errors import CombinationError
from steelyard.core.head import find_head
from steelyard.core.objective import Objective
from steelyard.core.stage import Stage, Steps
from steelyard.core.task import TaskView
from steelyard.decisions import Adjusted, Scale
from steelyard.losses import LDAM
from steelyard.nets import NormedLinear, with_head

SEARCH = {"max_margin": "0.1..0.9", "scale": "log(10..60)"}


def ldam(task: TaskView, *, max_margin: float = 0.5, scale: float = 30.0) -> Steps:
    """LDAM: the true class must win by a margin that is larger for rarer classes.

    Formula:
        `L = CE(s * (z - m_y e_y), y)`, `m_c` proportional to `n_c ** -1/4` with largest value `max_margin`,
        `z_j = cos(w_j, h)`: the last linear layer of a fresh model is replaced by one with normalised features and weights.
        Decide by `argmax z`; probabilities are `softmax(s * z)`.

    Args:
        task: what is learnt.
        max_margin: margin of the rarest class, 0 or more; cosines lie in [-1, 1].
        scale: s, above 0: makes logits of cosines.

    Raises:
        CombinationError: the task's model has no linear layer to put the cosine classifier in the place of.

    Reference:
        Cao, Wei, Gaidon, Arechiga, Ma: Learning imbalanced datasets with label-distribution-aware margin loss, NeurIPS 2019.

    Departures:
        The judged model gives `s * z` where the released code gives cosines, whose softmax says nothing about certainty.
        Decisions are the same. Validation numbers during training are those of the cosines.

    Example:
        >>> from steelyard.settings import describe_method
        >>> describe_method("ldam").words
        {'loss': 'ldam', 'decision': 'scale'}
    """
    model = yield Stage(Objective(LDAM(task.counts, max_margin=max_margin, scale=scale)), model=cosine_model(task))
    return Adjusted(model, Scale(scale))


def cosine_model(task: TaskView) -> nn.Module:
    """A fresh model of the task with a cosine classifier.

    The weights before the classifier are those that every other method of the seed begins with.

    Raises:
        CombinationError: the model has no linear layer.
    """
    model = task.model()
    found = find_head(model)
    if found is None:
        raise CombinationError(
            f"LDAM needs a cosine classifier, and {type(model).__name__}, the model of '{task.name}', has no linear layer to "
            "replace by one: end the model in an nn.Linear"
        )
    if isinstance(found[1], NormedLinear):
        return model
    return with_head(model, NormedLinear(found[1].in_features, task.num_classes))
