"""What a descent is: it asks the oracle for the loss wherever it likes, fills `.grad`, and leaves parameters as found."""

from __future__ import annotations

from typing import Protocol

from steelyard.core.objective import Evaluation
from steelyard.core.oracle import Oracle
from steelyard.core.rows import Batch


class Descent(Protocol):
    """Fills `.grad` of every trainable parameter; any `torch.optim` optimiser then steps."""

    def __call__(self, oracle: Oracle, batch: Batch) -> Evaluation:
        """Fill `.grad` and return the evaluation at the current parameters."""
        ...


def plain(oracle: Oracle, batch: Batch) -> Evaluation:
    """The gradient of the objective here: the identity element of descents."""
    evaluation = oracle(batch)
    evaluation.loss.backward()
    return evaluation
