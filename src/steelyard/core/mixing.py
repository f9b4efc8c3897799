"""Does something of a stage mix rows, or need more than rows? What decides whether members can be trained at once."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from steelyard.core.descent import plain
from steelyard.core.objective import Objective
from steelyard.core.roles import playing
from steelyard.core.rows import Clock, Rows
from steelyard.core.seeds import generator
from steelyard.core.stacked import Members
from steelyard.core.stage import Stage
from steelyard.core.transform import untouched

if TYPE_CHECKING:
    from steelyard.core.cohort import CohortTask

PROBE_ROWS = 16


def why_mixed(stages: Sequence[Stage], epochs: int, task: CohortTask) -> str:
    """Why the stages of a cohort's members cannot be trained as one; "" where they can.

    Decided by the words of the stage: the descent is plain; no part plays a role (learns, observes, assesses); the transform is
    nobody's network; the objective is the same for all members and learns nothing; and the loss and the weight of a row
    do not change with the other rows, which is found out by trying: some rows are evaluated together and in two halves, at the
    beginning, in the middle and at the end of the stage.

    Args:
        stages: one a member.
        epochs: of the stage.
        task: of the cohort.
    """
    stage = stages[0]
    if stage.descent is not plain:
        return f"its descent ({_name(stage.descent)}) is not the plain one"
    heard = playing([stage.objective, stage.transform])
    for part in (*heard.preparing, *heard.following, *heard.observing, *heard.assessing):
        return f"its part {_name(part)} follows the training of one model"
    if isinstance(stage.transform, nn.Module) and any(True for _ in stage.transform.parameters()):
        return f"its transform ({_name(stage.transform)}) has a network of its own"
    if task.folds is not None and stage.transform is not untouched:
        return f"its transform ({_name(stage.transform)}) makes rows of others, and with folds each member has its own"
    if any(own.task is not None for own in stages):
        return "it trains on rows that it chooses itself"
    if any(True for _ in stage.objective.parameters()):
        return "its loss or weighting has parameters of its own"
    if any(not _same(own.objective, stage.objective) or own.epochs != stage.epochs for own in stages[1:]):
        return "its loss, weighting or length depends on the seed"
    return _why_not_row_by_row(copy.deepcopy(stage.objective), epochs, task)


def _why_not_row_by_row(objective: Objective, epochs: int, task: CohortTask) -> str:
    total = len(task.splits["train"])
    count = max(min(PROBE_ROWS, total) // 2, 1)
    stream = generator(0, "probe")
    logits = torch.randn(2 * count, task.num_classes, generator=stream)
    # The halves have different classes, so that what counts classes, or normalises, differs between them.
    target = torch.cat([torch.zeros(count, dtype=torch.int64), torch.arange(count) % max(task.num_classes - 1, 1) + 1])
    target = target.clamp_max(task.num_classes - 1)
    index = torch.arange(2 * count) % total
    for epoch in {0, epochs // 2, max(epochs - 1, 0)}:
        clock = Clock(epoch=epoch, epochs=max(epochs, 1))
        try:
            whole, first, second = (
                _evaluated(objective, Rows(logits[part], target[part], index=index[part]), clock)
                for part in (slice(None), slice(count), slice(count, None))
            )
        except Exception as error:  # of whatever kind: the loss may be anybody's
            return f"its loss or weighting needs more than scores and labels ({type(error).__name__})"
        for name, all_rows, halves in zip(("loss", "weight"), whole, zip(first, second, strict=True), strict=True):
            if not torch.allclose(all_rows, torch.cat(halves), rtol=1e-4, atol=1e-5, equal_nan=True):
                return f"the {name} of a row depends on the other rows of its batch"
    return ""


def _evaluated(objective: Objective, rows: Rows, clock: Clock) -> tuple[Tensor, Tensor]:
    """Losses and weights `[N]`."""
    found = objective.to(rows.logits.device)(rows, clock)
    return found.losses, torch.ones_like(found.losses) if found.weights is None else found.weights


def mixes_rows(members: Members, inputs: Any) -> bool:
    """Does the score of a row depend on the other rows, as with BatchNorm in training mode? Runs forward and back.

    Found out by the gradient of the first row's scores, which must not reach the others; where inputs have no floating-point
    numbers, by whether a layer that keeps running statistics is in training mode.
    """
    leaves: list[Tensor] = []

    def open_to_gradients(value: Any) -> Any:
        if isinstance(value, Tensor):
            if value.is_floating_point():
                value = value.detach().clone().requires_grad_()
                leaves.append(value)
            return value
        return {name: open_to_gradients(inner) for name, inner in value.items()}

    logits = members.each(open_to_gradients(inputs))
    known = [parameter for parameter in members.parameters() if parameter.requires_grad]
    found: tuple[Tensor | None, ...] = torch.autograd.grad(logits[:, 0].sum(), [*leaves, *known], allow_unused=True)
    reached = any(bool((grad[1:] != 0).any()) for grad in found[: len(leaves)] if grad is not None)
    return reached or members.keeps_statistics()


def _same(first: nn.Module, second: nn.Module) -> bool:
    ours, theirs = first.state_dict(), second.state_dict()
    if repr(first) != repr(second) or ours.keys() != theirs.keys():
        return False
    return all(bool(torch.equal(value, theirs[name])) for name, value in ours.items() if isinstance(value, Tensor))


def _name(part: object) -> str:
    return str(getattr(part, "__name__", type(part).__name__))
