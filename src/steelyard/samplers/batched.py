"""Index tensors for a `DataLoader`, one epoch after another."""

from __future__ import annotations

from collections.abc import Iterator

from torch import Tensor

from steelyard.core.errors import ArgumentError
from steelyard.core.rows import Clock
from steelyard.core.sampler import Sampler


class Batched:
    """Batches of a sampler as index tensors, to be the `batch_sampler` of a `DataLoader` or iterated over by hand.

    An iteration is one epoch and goes on where the last one stopped. Nothing passes through Python lists, so this is many
    times faster than the loader's own grouping of ints; a data set with `__getitems__` gets each index tensor as it is.
    Worker processes of a loader fetch ahead, so `state_dict` then counts batches that were asked for, not yet received.

    Args:
        sampler: which rows; its own position is left alone.
        size: rows of a batch, >= 1.
        drop_last: leave out the last batch where it is shorter.

    Raises:
        ArgumentError: size < 1, or no batch left with drop_last.

    Example:
        >>> from steelyard.samplers import BalancedSampler
        >>> batches = Batched(BalancedSampler([0, 0, 1, 1, 1]), 2)
        >>> [len(index) for index in batches], len(batches)
        ([2, 2, 1], 3)
    """

    def __init__(self, sampler: Sampler, size: int, drop_last: bool = False) -> None:
        if size < 1:
            raise ArgumentError("size", "at least 1", size)
        if drop_last and size > len(sampler):
            raise ArgumentError("size", f"at most the {len(sampler)} rows of an epoch with drop_last", size)
        self.sampler, self.size, self.drop_last = sampler, size, drop_last
        self._epoch = 0
        self._position = 0
        self._restored = False

    def __len__(self) -> int:
        return len(self.sampler) // self.size if self.drop_last else -(-len(self.sampler) // self.size)

    def __iter__(self) -> Iterator[Tensor]:
        if self._position >= len(self) and not self._restored:  # every batch was taken, but not the end
            self._epoch, self._position = self._epoch + 1, 0
        self._restored = False
        clock = Clock(epoch=self._epoch, position=self._position, batches=len(self))
        for index in self.sampler.batches(self.size, clock):
            if self._position >= len(self):
                break
            self._position += 1
            yield index
        self._epoch, self._position = self._epoch + 1, 0

    def state_dict(self) -> dict[str, int]:
        """Where iteration stands (epoch, position in batches)."""
        return {"epoch": self._epoch, "position": self._position}

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Continue iteration where `state_dict` was taken."""
        self._epoch, self._position = state["epoch"], state["position"]
        self._restored = True
