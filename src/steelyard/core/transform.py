"""What a transform is: batch -> batch, before the model sees it; it may look at the model through the oracle."""

from __future__ import annotations

from typing import Protocol

from steelyard.core.oracle import Oracle
from steelyard.core.rows import Batch


class Transform(Protocol):
    """Makes a new batch; draws only from `oracle.generator`, and never changes the batch it is given."""

    def __call__(self, oracle: Oracle, batch: Batch) -> Batch:
        """The batch that the step will use."""
        ...


def untouched(oracle: Oracle, batch: Batch) -> Batch:
    """The batch as it is: the identity element of transforms."""
    return batch
