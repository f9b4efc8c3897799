"""Weight vectors of equal size after training."""

from __future__ import annotations

from typing import Literal

import torch
from torch import nn

from steelyard.core.errors import ArgumentError
from steelyard.core.measure import predict_logits, recall_of
from steelyard.core.stage import Stage, Steps
from steelyard.core.task import TaskView
from steelyard.decisions import Adjusted, TauNormalize
from steelyard.methods._classifier import check_classifier

GRID = tuple(step / 10 for step in range(21))
"""Values of tau that are tried: 0, 0.1, ..., 2."""

SEARCH = {"tau": "auto|0.25|0.5|0.75|1"}


def tau_norm(task: TaskView, *, tau: float | Literal["auto"] = "auto", keep_bias: bool = False) -> Steps:
    """Train with plain cross-entropy and divide each class's weights by a power of their norm: tau-normalisation.

    Formula:
        `L = CE(z, y)`; decide by the scores of the classifier `w_c / |w_c| ** tau`, without bias.

    Args:
        task: what is learnt.
        tau: 0 or more: 0 drops the bias and no more, 1 gives all classes weights of the same norm; "auto" takes the one of
            0, 0.1, ..., 2 with the highest balanced accuracy on the validation split, the smallest of equals.
        keep_bias: leave the bias as it is.

    Raises:
        CombinationError: the task's model does not end in an `nn.Linear`.
        ArgumentError: "auto" and there is no validation split, or `tau` is negative.

    Reference:
        Kang, Xie, Rohrbach, Yan, Gordo, Feng, Kalantidis: Decoupling representation and classifier for long-tailed recognition,
        ICLR 2020.

    Departures:
        The authors choose tau on a balanced draw of training rows, and for one data set on test rows; here it is the validation
        split, which is cut from training data. Tau is chosen for the last epoch's weights and used for those of the selected
        epoch too. Validation numbers during training, and with them the selected epoch, are those before normalisation. Rows of
        zeros are guarded, see `TauNormalize`.

    Example:
        >>> from steelyard.settings import describe_method
        >>> describe_method("tau-norm").words
        {'decision': 'tau-normalize'}
    """
    fresh = check_classifier(task, "tau-normalisation divides the rows of the classifier by their norms")
    decision = TauNormalize(1.0 if tau == "auto" else tau, keep_bias=keep_bias).of(fresh)
    if tau == "auto" and (task.valid is None or len(task.valid) == 0):
        raise ArgumentError(
            "tau", f"a number where there is no validation split to choose it on, as for '{task.name}'", "'auto'"
        )
    model = yield Stage()
    return Adjusted(model, _best(task, model, keep_bias) if tau == "auto" else decision)


def _best(task: TaskView, model: nn.Module, keep_bias: bool) -> TauNormalize:
    """The decision with the highest balanced accuracy on the validation split."""
    valid = task.valid
    assert valid is not None
    device = next(model.parameters()).device
    logits, target = predict_logits(task.on(task.train), model, valid.to(device))
    logits = logits.to(device)
    decisions = [TauNormalize(tau, keep_bias=keep_bias).of(model) for tau in GRID]
    with torch.no_grad():
        chosen = [decide(logits).argmax(1).cpu() for decide in decisions]
    scores = [float(recall_of(prediction, target, task.num_classes)[0].nanmean()) for prediction in chosen]
    return decisions[scores.index(max(scores))]
