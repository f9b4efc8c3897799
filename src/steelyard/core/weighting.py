"""What a weighting is: a weight per row, computed from detached evidence, so it can never leak a gradient to the model."""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn

from steelyard.core.counts import of_class
from steelyard.core.errors import ArgumentError
from steelyard.core.rows import Evidence


class Weighting(nn.Module, ABC):
    """Weights `[N]` of the rows of a batch. Normalisation is a weighting's own, visible act."""

    @abstractmethod
    def forward(self, evidence: Evidence) -> Tensor:
        """Weights `[N]`, non-negative and finite."""


def check_weighting(weighting: object, argument: str = "weighting") -> Weighting:
    """Refuse what is no weighting, a table of class weights for instance.

    Raises:
        ArgumentError: it is none.
    """
    if isinstance(weighting, Weighting):
        return weighting
    found = f"the class {weighting.__name__} itself" if isinstance(weighting, type) else f"a {type(weighting).__name__}"
    raise ArgumentError(argument, "a Weighting, as steelyard.weightings.InverseFrequency(class_counts) is one", found)


class Uniform(Weighting):
    """Every row weighs 1: the identity element of weightings."""

    def forward(self, evidence: Evidence) -> Tensor:
        """Ones `[N]`."""
        return torch.ones(evidence.target.shape[0], device=evidence.target.device)


class ClassTable(Weighting, ABC):
    """A weighting that is one fixed number a class.

    Args:
        class_weights: `[C]`, rescaled here to mean 1 over classes.
    """

    class_weights: Tensor

    def __init__(self, class_weights: Tensor) -> None:
        super().__init__()
        table = class_weights / class_weights.mean()
        self.register_buffer("class_weights", table.to(torch.float32))

    def forward(self, evidence: Evidence) -> Tensor:
        """The weight of each row's class `[N]`.

        Raises:
            ArgumentError: the logits are of more or fewer classes than there are class sizes, or a row is of another class.
        """
        sizes = len(self.class_weights)
        if evidence.logits is not None and evidence.logits.shape[-1] != sizes:
            expected = f"a size for each of the {evidence.logits.shape[-1]} classes that there are logits of"
            raise ArgumentError("class_counts", expected, f"{sizes} class sizes")
        return of_class(self.class_weights, evidence.target)
