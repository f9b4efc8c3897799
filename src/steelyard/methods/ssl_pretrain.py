"""Features without labels first."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any, Literal

from torch import Tensor, nn

from steelyard.core.errors import ArgumentError
from steelyard.core.loss import Loss
from steelyard.core.stage import Steps
from steelyard.core.task import TaskView
from steelyard.losses.joint import Joint
from steelyard.methods._classifier import check_classifier, check_epochs
from steelyard.methods._second import check_second, fine_tuned
from steelyard.methods.joint_ssl import joint_ssl
from steelyard.nets import head_parameters

SEARCH = {"term": "nt-xent|vicreg"}
_WEIGHT = {"nt-xent": 1.0, "vicreg": 0.04}


def ssl_pretrain(
    task: TaskView,
    *,
    term: Literal["nt-xent", "vicreg"] = "nt-xent",
    pretrain_epochs: int | None = None,
    second: str = "ce",
) -> Steps:
    """Pre-train the features with a self-supervised loss that no label enters, then train everything with another method.

    Formula:
        stage 1: `L = SSL(x, x')` of two views of each row, NT-Xent or VICReg, as in `joint-ssl` without its labels; the
        classifier stays as it is. Stage 2: the stage of `second`, all parameters trained.

    Args:
        task: what is learnt.
        term: "nt-xent" or "vicreg".
        pretrain_epochs: length of stage 1, 1 or more; none for the regime's.
        second: a one-stage method as it is written elsewhere: a name, with settings, or a combination; it trains for the
            regime's epochs.

    Raises:
        CombinationError: the task's model does not end in a linear layer, or `second` has several stages or a model of its own.
        ArgumentError: a setting out of range.
        SteelyardError: `second` is no method.

    Reference:
        Shwartz-Ziv, Goldblum, Li, Bruss, Wilson: Simplifying neural network training under class imbalance, NeurIPS 2023 (its
        released code); Chen, Kornblith, Norouzi, Hinton: A simple framework for contrastive learning of visual
        representations, ICML 2020.

    Departures:
        The released code pre-trains for 1000 epochs with an optimiser and batches of their own; here a method may not change
        the regime. The views are those of `joint-ssl`. With `patience` the regime may end stage 1 early, since validation
        numbers say nothing while no label is learnt. VICReg is divided by 25.

    Example:
        >>> from steelyard.settings import describe_method
        >>> describe_method("ssl-pretrain(second=la)").words["loss"]
        'joint-nt-xent (stage 1), logit-adjusted (stage 2)'
    """
    check_epochs("pretrain_epochs", 1 if pretrain_epochs is None else pretrain_epochs)
    check_classifier(task, "self-supervised pre-training compares what goes into the classifier")
    if term not in _WEIGHT:
        raise ArgumentError("term", " or ".join(map(repr, _WEIGHT)), repr(term))
    check_second(second)
    stage = next(joint_ssl(task, term=term, weight=_WEIGHT[term]))
    loss = stage.objective.loss
    assert isinstance(loss, Joint)
    loss.loss = _NoLabels()
    yield replace(stage, trainable=_features, epochs=pretrain_epochs)
    judged: nn.Module | None = yield from fine_tuned(task, second, None)
    return judged


class _NoLabels(Loss):
    """Nothing is lost, whatever is said."""

    def rows(self, logits: Tensor, target: Tensor, **_: Any) -> Tensor:
        return logits.new_zeros(target.shape)


def _features(model: nn.Module) -> Iterable[nn.Parameter]:
    """All parameters but the classifier's."""
    last = {id(parameter) for parameter in head_parameters(model)}
    return [parameter for parameter in model.parameters() if id(parameter) not in last]
