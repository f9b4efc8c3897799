"""Rows to draw further batches from, beside those of the loop: a meta set, or the training rows under another sampler."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from steelyard.core.errors import ArgumentError
from steelyard.core.oracle import Oracle
from steelyard.core.rows import Batch, Clock
from steelyard.core.sampler import Sampler, SamplerFactory, ShuffledSampler
from steelyard.core.seeds import derive
from steelyard.core.task import Source
from steelyard.core.world import World


class RowPool:
    """Draws a batch for every step of training; which rows is a pure function of (seed, step), so it has no state to save.

    Several processes draw what one process would: each takes its part of the batch.

    Args:
        source: the rows.
        batch_size: rows a batch over all processes, 1 or more; where there are fewer rows than that, a batch is all of them.
        sampler: in which order; every sampler class is a factory.
        seed: of the order.

    Raises:
        ArgumentError: `batch_size` below 1, or a source that is none or has no rows.

    Example:
        >>> from steelyard.core.objective import Objective
        >>> from steelyard.core.rows import Rows
        >>> class Held:
        ...     target = torch.tensor([0, 1, 1, 0])
        ...     def __len__(self): return 4
        ...     def to(self, device): return self
        ...     def stream(self, batches):
        ...         for index in batches:
        ...             yield index, torch.eye(4)[index]
        >>> oracle = Oracle(torch.nn.Linear(4, 2), lambda m, b: Rows(m(b.inputs), b.target), Objective())
        >>> batch = RowPool(Held(), batch_size=2).batch(oracle)
        >>> batch.inputs.shape, batch.target.shape
        (torch.Size([2, 4]), torch.Size([2]))
    """

    def __init__(
        self, source: Source, *, batch_size: int = 100, sampler: SamplerFactory = ShuffledSampler, seed: int = 0
    ) -> None:
        if batch_size < 1:
            raise ArgumentError("batch_size", "at least 1", batch_size)
        check_source(source, "source")
        if len(source) == 0:
            raise ArgumentError("source", "one with rows", "an empty one")
        self.source, self.batch_size, self.sampler, self.seed = source, batch_size, sampler, seed
        self._live: _Live | None = None

    def __len__(self) -> int:
        """Rows."""
        return len(self.source)

    def __deepcopy__(self, memo: dict[int, Any]) -> RowPool:
        """A pool of the same rows, which are shared; nothing else is kept."""
        return RowPool(self.source, batch_size=self.batch_size, sampler=self.sampler, seed=self.seed)

    def batch(self, oracle: Oracle, number: int | None = None) -> Batch:
        """The batch of that number, read for the oracle's model and on its device.

        Args:
            oracle: says where and when.
            number: 0, 1, ...; None for the step of the oracle's clock. Going up by one is fast, anything else starts anew.

        `index` counts the rows of this pool's source, which are not those of the training split.
        """
        if self._live is None or self._live.device != oracle.device:
            self._live = _Live(self, oracle.device)
        index, inputs = self._live.rows(oracle.clock.step if number is None else number)
        return Batch(oracle.read(inputs), self._live.target[index.to(oracle.device)], index.to(oracle.device))

    def everything(self, oracle: Oracle, size: int = 1024) -> Iterator[Batch]:
        """All rows in order, in batches of `size`, read like those of `batch`."""
        target = self.source.target.to(oracle.device)
        for index, inputs in self.source.to(oracle.device).stream(torch.split(torch.arange(len(self)), size)):
            yield Batch(oracle.read(inputs), target[index], index.to(oracle.device))


def check_source(source: Source, argument: str) -> None:
    """Refuse what is no source of rows, inputs and classes as they are for instance.

    Raises:
        ArgumentError: it is none.
    """
    try:
        _ = source.target, source.stream
    except AttributeError:
        expected = "a source of rows, as steelyard.data.ResidentSource(inputs, target) makes one"
        raise ArgumentError(argument, expected, f"a {type(source).__name__}") from None


def check_pool(pool: object, argument: str) -> RowPool:
    """Refuse what is no pool, a tensor of inputs for instance.

    Raises:
        ArgumentError: it is none.
    """
    if isinstance(pool, RowPool):
        return pool
    expected = "a RowPool, as steelyard.RowPool(steelyard.data.ResidentSource(inputs, target)) makes one"
    raise ArgumentError(argument, expected, f"a {type(pool).__name__}")


class _Live:
    """A pool in use: its rows on a device, and the order that is being handed out."""

    def __init__(self, pool: RowPool, device: torch.device) -> None:
        self.device = device
        self.world = World.current()
        self.source = pool.source.to(device)
        self.target = pool.source.target.to(device)
        self.size = max(1, pool.batch_size // self.world.size)
        self.order: Sampler = pool.sampler(
            pool.source.target, seed=derive(pool.seed, "pool"), rank=self.world.rank, world_size=self.world.size
        )
        self.batches = max(1, len(self.order) // self.size)  # a last, smaller batch is left out where there are others
        self.next = -1
        self.drawn: Iterator[tuple[Tensor, Any]] = iter(())

    def rows(self, step: int) -> tuple[Tensor, Any]:
        """Index and inputs of a step's batch."""
        if step != self.next or step % self.batches == 0:
            self.drawn = iter(self._from(step))
        self.next = step + 1
        return next(self.drawn)

    def _from(self, step: int) -> Iterator[tuple[Tensor, Any]]:
        epoch, position = divmod(step, self.batches)
        clock = Clock(step=step, epoch=epoch, epochs=epoch + 1, position=position, batches=self.batches)
        yield from self.source.stream(self.order.batches(self.size, clock))
