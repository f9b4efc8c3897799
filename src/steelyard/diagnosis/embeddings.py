"""What goes into a model's last layer and what comes out, for rows of a task: nothing is trained, drawn or changed."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from steelyard.core.grouping import group_rows
from steelyard.core.head import Tap, find_head
from steelyard.core.modes import evaluating
from steelyard.core.rows import Batch
from steelyard.core.seeds import generator
from steelyard.core.task import EVALUATION_ROWS, Task


@dataclass(frozen=True)
class Embedded:
    """Some rows through a model, on the CPU.

    Args:
        features: what goes into the last layer `[N, d]` float32; None where that is not one vector a row.
        logits: `[N, C]` float32.
        target: classes `[N]`.
        why: why there are no features, as the end of a sentence; empty where there are.
    """

    features: Tensor | None
    logits: Tensor
    target: Tensor
    why: str = ""

    def recall(self, classes: int) -> Tensor:
        """Recall of each class `[C]`, float64; NaN for classes without rows."""
        rows = torch.bincount(self.target, minlength=classes).double()
        right = self.target[self.logits.argmax(1) == self.target]
        return torch.bincount(right, minlength=classes) / rows


def choose_rows(task: Task, split: str, *, per_class: int, most: int | None = None, seed: int = 0) -> Tensor:
    """Numbers of rows of a split, ascending: at most so many of each class, the same ones every time.

    Args:
        task: has the split.
        split: its name.
        per_class: at most so many of each class, 1 or more.
        most: at most about so many in all: of more, classes keep fewer rows each, the largest first; None for no limit.
        seed: of the draw.
    """
    source = task.splits[split]
    if len(source.target) != len(source):  # inputs of several rows each: their classes are not known beforehand
        order = torch.randperm(len(source), generator=generator(seed, "geometry"))
        return order[: len(source) if most is None else most].sort().values
    grouped = group_rows(source.target, task.num_classes)
    each = per_class if most is None else _cut(grouped.counts.clamp_max(per_class), per_class, most)
    stream = generator(seed, "geometry")
    kept = [grouped.rows(c)[torch.randperm(size, generator=stream)[:each]] for c, size in enumerate(grouped.counts.tolist())]
    return torch.cat(kept).sort().values


def _cut(counts: Tensor, per_class: int, most: int) -> int:
    """Rows that each class may keep so that there are about `most` in all."""
    low, high = 1, per_class
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if int(counts.clamp_max(middle).sum()) <= most else (low, middle - 1)
    return low


@torch.no_grad()
def embed(task: Task, model: nn.Module, split: str, rows: Tensor | None = None) -> Embedded:
    """Features, scores and classes of rows in evaluation mode, without augmentation.

    Args:
        task: reads the rows and scores them.
        model: where its parameters are, rows are computed; training flags are as before afterwards.
        split: name of the split.
        rows: numbers of the rows, ascending; None for all.
    """
    device = next(iter([*model.parameters(), *model.buffers()])).device
    source = task.splits[split].to(device)
    order = torch.arange(len(source)) if rows is None else rows
    known = len(source.target) == len(source)
    parts: list[tuple[Tensor | None, Tensor, Tensor]] = []
    with evaluating(model):
        tap = Tap(model)
        try:
            for index, inputs in source.stream(torch.split(order, EVALUATION_ROWS)):
                classes = source.target[index.cpu()].to(index.device) if known else torch.zeros_like(index)
                found = task.forward(model, Batch(task.load(inputs, augment="none", generator=None), classes, index))
                tapped = tap.take() if found.features is None else found.features
                fits = tapped is not None and tapped.ndim == 2 and len(tapped) == len(found.logits)
                kept = torch.ones_like(found.target, dtype=torch.bool) if found.share is None else found.share > 0
                seen = tapped[kept].float().cpu() if fits and tapped is not None else None
                parts.append((seen, found.logits[kept].float().cpu(), found.target[kept].cpu()))
        finally:
            tap.close()
    logits, target = torch.cat([part[1] for part in parts]), torch.cat([part[2] for part in parts])
    features = [part[0] for part in parts if part[0] is not None]
    if len(features) < len(parts):
        said = (
            "has no last linear layer"
            if find_head(model) is None
            else "gives its last layer something else than a vector a row"
        )
        return Embedded(None, logits, target, f"{type(model).__name__} {said}")
    return Embedded(torch.cat(features), logits, target)


def linear_head(model: nn.Module) -> tuple[Tensor | None, Tensor | None]:
    """Weight `[C, d]` and bias `[C]` of the last layer; None where it is no plain linear one (a cosine head, say)."""
    head = find_head(model)
    if head is None or not isinstance(head[1], nn.Linear):
        return None, None
    values = {name: value.detach() for name, value in head[1].named_parameters()}
    return values["weight"], values.get("bias")
