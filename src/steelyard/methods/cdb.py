"""Weights by class difficulty."""

from __future__ import annotations

from typing import Literal

from steelyard.core.errors import CombinationError
from steelyard.core.objective import Objective
from steelyard.core.stage import Stage, Stages
from steelyard.core.task import TaskView
from steelyard.weightings import ClassDifficulty

SEARCH = {"tau": "0.5..2", "ema": "0..0.9", "floor": "log(1e-3..0.1)"}


def cdb(
    task: TaskView,
    *,
    tau: float | Literal["dynamic", "dynamic_released"] = "dynamic",
    ema: float = 0.9,
    floor: float = 0.01,
    accuracy: Literal["valid", "train"] = "train",
) -> Stages:
    """CDB: after every epoch, classes weigh by how often they are got wrong.

    Formula:
        `L = w_y * CE(z, y)`, `w_c` proportional to `max(1 - A_c, floor) ** tau`, mean 1 over classes, `A_c` the accuracy of
        class c; dynamic: `tau = 2 / (1 + exp(-b))`, `b = max A / (min A + 0.01) - 1`.

    Args:
        task: what is learnt.
        tau: 0 or more; "dynamic" (paper) lies about between 1 and 2, "dynamic_released" (CIFAR code) between 1/2 and 1.
        ema: part of the accuracies so far that is kept, in [0, 1); 0 for the last epoch's alone, as in the paper.
        floor: least difficulty of a class, in [0, 1].
        accuracy: of the training batches ("train"), or of the validation rows, cut from training data ("valid").

    Raises:
        CombinationError: the task has no validation rows and `accuracy` is "valid".

    Reference:
        Sinha, Ohashi, Nakamura: Class-wise difficulty-balanced loss for solving class-imbalance, ACCV 2020.

    Departures:
        A floor, so that no class loses all weight (0 is the paper's). The paper takes validation accuracy of the last epoch:
        `accuracy=valid, ema=0`. The released code has a balanced validation set, cut off before the data are made imbalanced;
        here rare classes have a row or two there, of which accuracies jump between 0 and 1, and the weights with them. A model
        that makes no errors in training any more has equal weights by training accuracy.

    Example:
        >>> from steelyard.settings import describe_method
        >>> describe_method("cdb").words
        {'weighting': 'class-difficulty'}
    """
    if accuracy == "valid" and (task.valid is None or len(task.valid) == 0):
        raise CombinationError("method 'cdb' is taught by validation rows, and this task has none: use cdb(accuracy=train)")
    yield Stage(Objective(weighting=ClassDifficulty(task.num_classes, tau, ema, floor, accuracy)))
