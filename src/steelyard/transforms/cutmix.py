"""CutMix: a rectangle of every image is replaced by that of another one, and both labels count by their area."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from steelyard.core.errors import ArgumentError, CombinationError
from steelyard.core.oracle import Oracle
from steelyard.core.rows import Batch
from steelyard.transforms._leaves import refuse_label_sets
from steelyard.transforms._mixing import check_alpha, draw_beta, refuse_extra, two_rows

SEARCH = {"alpha": "log(0.1..2)", "probability": "0..1"}


class CutMix:
    """Paste a rectangle of a partner from the same batch into each image.

    With lambda ~ Beta(alpha, alpha), a rectangle of height H sqrt(1 - lambda) and width W sqrt(1 - lambda) around a pixel drawn
    evenly, cut off at the border, comes from the partner. The image becomes two rows: its own label, with the share of the
    pixels that are its own, and the partner's with the rest. The shares are counted in pixels, after cutting off.

    A batch whose rows already have owners or shares is mixed on: the shares multiply, and a row of share 0 stays at 0.

    Args:
        alpha: at least 0; 1 draws lambda uniformly, and 0 changes nothing.
        probability: in [0, 1]: how often a batch (with `per_row`: an image) is cut at all.
        per_row: draw a rectangle for each image instead of one for the batch.

    Shapes:
        images `[M, channels, H, W]` and N rows to as many images and 2N rows; the first N rows are the batch's own, in order.

    Raises:
        ArgumentError: a value out of its range.
        CombinationError: the inputs are no images `[M, channels, H, W]`, or the batch carries `extra`.

    Reference:
        Yun, Han, Oh, Chun, Choe, Yoo: CutMix: regularization strategy to train strong classifiers with localizable features,
        ICCV 2019.

    Departures:
        none; the released CIFAR recipe has probability 0.5.

    Example:
        >>> from steelyard.core.objective import Objective
        >>> from steelyard.core.rows import Rows
        >>> oracle = Oracle(torch.nn.Linear(2, 2), lambda m, b: Rows(m(b.inputs)[b.owner], b.target), Objective())
        >>> images = torch.arange(2.0).reshape(2, 1, 1, 1).expand(2, 1, 8, 8)
        >>> batch = CutMix()(oracle, Batch(images, torch.tensor([0, 1]), torch.tensor([7, 8])))
        >>> batch.inputs.shape, batch.owner
        (torch.Size([2, 1, 8, 8]), tensor([0, 1, 0, 1]))
    """

    def __init__(self, alpha: float = 1.0, *, probability: float = 1.0, per_row: bool = False) -> None:
        if not 0 <= probability <= 1:
            raise ArgumentError("probability", "in [0, 1]", probability)
        self.alpha, self.probability, self.per_row = check_alpha(alpha), float(probability), per_row

    def __call__(self, oracle: Oracle, batch: Batch) -> Batch:
        """The mixed batch; draws from `oracle.generator`."""
        if self.alpha == 0 or self.probability == 0:
            return batch
        refuse_extra(batch, "cutmix cannot mix")
        refuse_label_sets(batch.inputs, "cutmix shares out one class an image")
        images = batch.inputs
        if not isinstance(images, Tensor) or images.ndim != 4:
            found = f"shape {list(images.shape)}" if isinstance(images, Tensor) else f"a {type(images).__name__}"
            instead = "use mixup" if _can_be_blended(images) else "leave it out"
            raise CombinationError(
                f"cutmix pastes rectangles of images [M, channels, H, W] and these inputs are none (found {found}): {instead}"
            )
        stream = oracle.generator
        size, height, width = len(images), images.shape[2], images.shape[3]
        inside = self._rectangles(size if self.per_row else 1, height, width, stream).to(images.device)
        partner = torch.randperm(size, generator=stream, device=stream.device).to(images.device)
        share = 1 - inside.flatten(1).sum(1).float() / (height * width)
        mixed = torch.where(inside[:, None], images[partner], images)
        return two_rows(batch, share.to(batch.target.device).expand(size), partner).replace(inputs=mixed)

    def _rectangles(self, count: int, height: int, width: int, stream: torch.Generator) -> Tensor:
        """Which pixels come from the partner `[count, H, W]`."""
        device = stream.device
        side = (1 - draw_beta(self.alpha, count, stream)).sqrt()
        side = side * (torch.rand(count, generator=stream, device=device) < self.probability)
        within = []
        for length in (height, width):
            centre = torch.randint(length, (count, 1), generator=stream, device=device)
            half = (side[:, None] * length).long() // 2
            place = torch.arange(length, device=device)
            within.append((place >= centre - half) & (place < centre + half))
        return within[0][:, :, None] & within[1][:, None, :]

    def __repr__(self) -> str:
        """The settings."""
        return f"CutMix(alpha={self.alpha:g}, probability={self.probability:g}, per_row={self.per_row})"


def _can_be_blended(inputs: Any) -> bool:
    """Are these numbers, or named columns? The numbers of nodes, and clouds with neighbours of each point, are not."""
    if isinstance(inputs, Mapping):
        return all(isinstance(values, Tensor) and values.ndim <= 2 for values in inputs.values())
    return isinstance(inputs, Tensor) and inputs.is_floating_point()
