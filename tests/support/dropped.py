"""What members drop, as the layers of several members take it."""

from __future__ import annotations

from torch import Tensor

from steelyard.core.stacked_dropout import TOGETHER, Drops, part_of


def parts_of(drops: Drops, member: int) -> list[Tensor]:
    """The numbers of a member, layer by layer; none where nothing is dropped."""
    (group,) = drops.drawn(member, member + 1)
    return [part_of(layer, member, TOGETHER, drops.rows, width) for layer, width in zip(group, drops.widths, strict=True)]
