"""Rows that live on the device: a batch is one gather, with no copy from the host but its row numbers."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, TypeAlias

import torch
from torch import Tensor

from steelyard.core.errors import ArgumentError

Inputs: TypeAlias = Tensor | Mapping[str, Tensor]


class ResidentSource:
    """Tensors on a device.

    Args:
        inputs: a tensor `[N, ...]` or a mapping of such tensors.
        target: classes `[N]`.

    Raises:
        ArgumentError: lengths differ.

    Example:
        >>> source = ResidentSource(torch.arange(6.0).reshape(3, 2), torch.tensor([0, 1, 1]))
        >>> [inputs.tolist() for _, inputs in source.stream([torch.tensor([2, 0])])]
        [[[4.0, 5.0], [0.0, 1.0]]]
    """

    def __init__(self, inputs: Inputs, target: Tensor) -> None:
        for name, values in inputs.items() if isinstance(inputs, Mapping) else [("inputs", inputs)]:
            if len(values) != len(target):
                raise ArgumentError(name, f"as many rows as the target ({len(target)})", len(values))
        self.inputs = inputs
        self.target = target.detach().to("cpu", torch.int64)

    def __len__(self) -> int:
        return len(self.target)

    @property
    def device(self) -> torch.device:
        """Where the inputs are."""
        first = next(iter(self.inputs.values())) if isinstance(self.inputs, Mapping) else self.inputs
        return first.device

    def to(self, device: torch.device) -> ResidentSource:
        """The same rows on `device`; this very source where they are there already."""
        if self.device == torch.device(device):
            return self
        return ResidentSource(_each(self.inputs, lambda values: values.to(device)), self.target)

    def stream(self, batches: Iterable[Tensor]) -> Iterator[tuple[Tensor, Any]]:
        """For each index tensor `[M]`: the index and the inputs of those rows, on the device."""
        device, inputs = self.device, self.inputs
        for batch in batches:
            index = batch.to(device, non_blocking=True)
            yield index, _each(inputs, lambda values, index=index: values.index_select(0, index))


def _each(inputs: Inputs, function: Any) -> Any:
    if isinstance(inputs, Mapping):
        return {name: function(values) for name, values in inputs.items()}
    return function(inputs)
