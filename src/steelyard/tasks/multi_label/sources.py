"""Sources whose inputs carry their labels."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import torch
from torch import Tensor

from steelyard.core.errors import ArgumentError
from steelyard.core.rows import LABEL_SETS
from steelyard.core.task import Part, Source


class LabelledSource:
    """Examples with several labels each.

    A batch is a mapping: "inputs" as the source beneath gives them, and `LABEL_SETS`, the labels `[M, L]`. So labels go where
    their example goes, through every sampler, meta set and mixing transform.

    Args:
        whole: gives the inputs; its own target is not used.
        labels: `[N, L]`, 1 for present, 0 for absent, NaN for not known.
        target: a class for each example `[N]`, for samplers (see `example_classes`).

    Raises:
        ArgumentError: lengths differ.

    Example:
        >>> from steelyard.data import ResidentSource
        >>> inside = ResidentSource(torch.zeros(2, 3), torch.zeros(2, dtype=torch.int64))
        >>> source = LabelledSource(inside, torch.tensor([[1.0, 0.0], [0.0, 0.0]]), torch.tensor([1, 0]))
        >>> [inputs[LABEL_SETS].tolist() for _, inputs in source.stream([torch.tensor([1, 0])])]
        [[[0.0, 0.0], [1.0, 0.0]]]
    """

    def __init__(self, whole: Source, labels: Tensor, target: Tensor) -> None:
        if not len(whole) == len(labels) == len(target):
            raise ArgumentError("labels", f"as many rows as there are examples ({len(whole)})", f"{len(labels)}")
        self.whole, self.labels = whole, labels.float()
        self.target = target.detach().to("cpu", torch.int64)

    def __len__(self) -> int:
        """Examples."""
        return len(self.target)

    def to(self, device: torch.device) -> LabelledSource:
        """The same examples on a device."""
        return LabelledSource(self.whole.to(device), self.labels.to(device), self.target)

    def stream(self, batches: Iterable[Tensor]) -> Iterator[tuple[Tensor, Any]]:
        """For each index tensor `[M]`: the index, and inputs with their labels."""
        for index, inputs in self.whole.stream(batches):
            yield index, {"inputs": inputs, LABEL_SETS: self.labels[index.to(self.labels.device)]}


def labels_of(source: Source) -> Tensor:
    """The labels `[N, L]` of a source of labelled examples, or of a part of one.

    Raises:
        ArgumentError: a source of another kind.
    """
    if isinstance(source, Part):
        return labels_of(source.whole)[source.rows]
    if isinstance(source, LabelledSource):
        return source.labels.cpu()
    raise ArgumentError("source", "one of examples with several labels (LabelledSource)", type(source).__name__)


def label_counts(labels: Tensor) -> Tensor:
    """How often each label is absent and present, LongTensor `[2L]`: entry 2l is the absence of label l, 2l + 1 its presence.

    Example:
        >>> label_counts(torch.tensor([[1.0, 0.0], [1.0, torch.nan], [0.0, 0.0]]))
        tensor([1, 2, 2, 0])
    """
    return torch.stack([(labels == 0).sum(0), (labels == 1).sum(0)], 1).flatten()


def example_classes(labels: Tensor, class_counts: Tensor) -> Tensor:
    """The class that stands for each example where rows are drawn by class `[N]`: the rarest of the classes that it has.

    Args:
        labels: `[N, L]`, NaN for not known.
        class_counts: training rows of each class `[2L]`, as from `label_counts`. Of equally rare classes the first is taken.

    Example:
        >>> labels = torch.tensor([[1.0, 1.0], [1.0, 0.0], [0.0, 0.0], [1.0, 0.0]])
        >>> example_classes(labels, label_counts(labels))  # label 1 present; label 0 present; label 0 absent; ...
        tensor([3, 1, 0, 1])
    """
    sizes = class_counts.reshape(-1, 2).double()
    has = torch.where(labels == 1, sizes[:, 1], sizes[:, 0])
    has = torch.where(labels.isnan(), torch.inf, has)
    rarest = has.argmin(1)
    present = labels.gather(1, rarest[:, None])[:, 0] == 1
    return 2 * rarest + present.long()
