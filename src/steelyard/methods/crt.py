"""The classifier trained again on balanced rows."""

from __future__ import annotations

from steelyard.core.stage import Stage, Steps
from steelyard.core.task import TaskView
from steelyard.methods._classifier import check_classifier, check_epochs, held
from steelyard.nets import head_parameters, reset_head
from steelyard.samplers import BalancedSampler

SEARCH = {"head_epochs": "5|10|30", "freeze_statistics": "true|false"}


def crt(task: TaskView, *, head_epochs: int = 10, freeze_statistics: bool = True) -> Steps:
    """Learn features from the data as they are, then a new classifier on balanced rows: cRT.

    Formula:
        stage 1: plain cross-entropy on shuffled rows; stage 2: the last linear layer is drawn anew and trained alone, plain
        cross-entropy, a row of class c with probability `1 / (C n_c)`.

    Args:
        task: what is learnt.
        head_epochs: length of stage 2, 1 or more; it has a learning-rate schedule of its own, that of the regime.
        freeze_statistics: keep the BatchNorm statistics of stage 1; false lets them move to those of balanced rows.

    Raises:
        CombinationError: the task's model does not end in a linear layer.

    Reference:
        Kang, Xie, Rohrbach, Yan, Gordo, Feng, Kalantidis: Decoupling representation and classifier for long-tailed recognition,
        ICLR 2020.

    Departures:
        The released code leaves the frozen network in training mode, so that its BatchNorm statistics move in stage 2:
        `freeze_statistics=false`. An epoch draws as many rows as there are; the released sampler draws the largest class's
        rows times the number of classes. Dropout stays on in stage 2, as in stage 1.

    Example:
        >>> from steelyard.settings import describe_method
        >>> describe_method("crt").words
        {'sampler': 'balanced (stage 2)', 'stages': '2'}
    """
    check_epochs("head_epochs", head_epochs)
    check_classifier(task, "cRT trains the classifier anew")
    model = yield Stage()
    reset_head(model)
    yield Stage(sampler=BalancedSampler, trainable=head_parameters, epochs=head_epochs, model=held(model, freeze_statistics))
    return model
