"""Features of training rows, and a loss that draws features to targets."""

from __future__ import annotations

from contextlib import closing
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from steelyard.core.errors import CombinationError
from steelyard.core.head import Tap
from steelyard.core.loss import Loss, upcast
from steelyard.core.modes import evaluating
from steelyard.core.roles import Explains
from steelyard.core.rows import Batch
from steelyard.core.task import EVALUATION_ROWS, TaskView


@torch.no_grad()
def features_of(task: TaskView, model: nn.Module) -> Tensor:
    """What the classifier sees of the training rows `[N, d]`, float32 on the CPU, in order and without augmentation.

    The model is given images and nothing else: the rows carry class 0, whatever they are.

    Args:
        task: its training rows are read once.
        model: in evaluation mode meanwhile.

    Raises:
        CombinationError: the model's last linear layer is not given one vector a row.
    """
    device = next(model.parameters()).device
    whole, source = task.on(task.train), task.train.to(device)
    found = list[Tensor]()
    with evaluating(model), closing(Tap(model)) as tap:
        for index, inputs in source.stream(torch.split(torch.arange(len(source)), EVALUATION_ROWS)):
            images = whole.load(inputs, augment="none", generator=None)
            whole.forward(model, Batch(images, torch.zeros_like(index), index))
            features = tap.take()
            if features is None or features.ndim != 2 or len(features) != len(index):
                raise CombinationError(
                    f"calibration needs one feature vector a row, [N, d], and the last linear layer of {type(model).__name__} "
                    "is given something else"
                )
            found.append(features.float().cpu())
    return torch.cat(found)


class FeatureTargets(Loss, Explains):
    """Mean squared distance of each row's features from a target of its own, and cross-entropy where asked for.

    Formula:
        `L_i = mean_j (f_ij - t_ij)^2 / v + weight * CE(z_i, y_i)`, v the mean variance of the features before

    Args:
        targets: t `[N, d]`, a row a training row; fixed.
        unit: v, above 0.
        weight: of the cross-entropy, 0 or more.
        told: what `explain` says, as JSON values.
    """

    def __init__(self, targets: Tensor, unit: float, weight: float, told: dict[str, Any]) -> None:
        super().__init__()
        self.unit, self.weight, self.told = unit, weight, told
        self.targets: Tensor
        self.register_buffer("targets", targets.detach(), persistent=False)  # made again, from the same model, on a resume

    def rows(
        self, logits: Tensor, target: Tensor, *, features: Tensor | None = None, index: Tensor | None = None, **_: Any
    ) -> Tensor:
        """The loss of each row `[N]`."""
        assert features is not None
        assert index is not None
        distance = (upcast(features) - self.targets[index]).square().mean(1) / self.unit
        if self.weight == 0:
            return distance
        return distance + self.weight * F.cross_entropy(upcast(logits), target, reduction="none")

    def explain(self) -> dict[str, Any]:
        """What was clustered and moved, and how far."""
        return self.told
