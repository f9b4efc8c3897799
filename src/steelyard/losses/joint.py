"""A loss together with a self-supervised term that compares two views of each row."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

from torch import Tensor, nn

from steelyard.core.errors import CombinationError
from steelyard.core.loss import Loss, upcast
from steelyard.losses._checks import check_number
from steelyard.numeric.contrastive import nt_xent, vicreg


class Joint(Loss):
    """A loss of labels plus `weight` times a loss of two views; what the two kinds below share.

    Args:
        loss: of the labels.
        weight: lambda, 0 or more; 0 is the loss alone.
        projector: maps features `[N, d]` to the embeddings that are compared; trained along, and thrown away afterwards. None
            to compare the features.
        reduction: "mean", "sum" or "none".
    """

    def __init__(self, loss: Loss, weight: float, projector: nn.Module | None, reduction: str) -> None:
        super().__init__(reduction)
        self.loss = loss
        self.weight = check_number("weight", weight, low=0)
        self.projector = nn.Identity() if projector is None else projector

    @abstractmethod
    def compare(self, first: Tensor, second: Tensor) -> Tensor:
        """The term of each pair of views `[N]`, from embeddings `[N, d]`."""

    def rows(
        self, logits: Tensor, target: Tensor, *, features: Tensor | None = None, views: int | None = None, **context: Any
    ) -> Tensor:
        """The loss of each row plus `weight` times the term of its pair `[2N]`; row i and row N + i are a pair.

        Raises:
            CombinationError: rows without a second view, or without features.
        """
        losses, term = self.parts(logits, target, features=features, views=views, **context)
        return losses if term is None else losses + term

    def parts(
        self, logits: Tensor, target: Tensor, *, features: Tensor | None = None, views: int | None = None, **context: Any
    ) -> tuple[Tensor, Tensor | None]:
        """The loss of each row, which a weighting weighs, and `weight` times the term of its pair, which it does not, `[2N]`.

        Raises:
            CombinationError: as `rows`.
        """
        losses, more = self.loss.parts(logits, target, features=features, views=views, **context)
        if self.weight == 0 or len(losses) == 0:
            return losses, more
        if views != 2:
            raise CombinationError(
                f"{type(self).__name__} compares two views of each row, and the batch has one: add transform=two-views (and do "
                "not combine it with parts that draw batches of their own)"
            )
        if features is None:
            raise CombinationError(
                f"{type(self).__name__} compares the inputs of the classifier, and the model has none: end it in an nn.Linear"
            )
        first, second = self.projector(upcast(features)).chunk(2)
        term = self.weight * self.compare(first, second).to(losses.dtype).repeat(2)
        return losses, term if more is None else more + term

    def extra_repr(self) -> str:
        """Shown by print(loss)."""
        return f"weight={self.weight:g}, {super().extra_repr()}"


class JointNTXent(Joint):
    """A loss of labels and NT-Xent: of all rows of the batch, each view should find its twin.

    Formula:
        `L_i = loss_i + weight * (l_u + l_u') / 2` with, for the views u, u' of row i and v over the 2N views of the batch,
        `l_u = -log( exp(cos(u, u') / T) / sum_{v != u} exp(cos(u, v) / T) )`

    Labels do not enter the second part, and a weighting does not weigh it.

    Args:
        loss: of the labels.
        weight: lambda, 0 or more; 0 is the loss alone.
        temperature: T, above 0.
        projector: maps features `[N, d]` to embeddings; None to compare the features.
        reduction: "mean", "sum" or "none".

    Shape:
        logits `[2N, C]`, target `[2N]`, features `[2N, d]`, values `[2N]`: first one view of all rows, then the other, as
        `TwoViews` makes them.

    Raises:
        ArgumentError: weight negative, or temperature not above 0.
        CombinationError: rows without a second view, or a model without a linear classifier.

    Reference:
        Chen, Kornblith, Norouzi, Hinton, A simple framework for contrastive learning of visual representations, ICML 2020;
        beside a loss of labels: Shwartz-Ziv, Goldblum, Li, Bruss, Wilson, Simplifying neural network training under class
        imbalance, NeurIPS 2023.

    Departures:
        The second paper's term and its weight were not found, and its released code has none; this is the definition that its
        text suggests. Cosines are not clamped at zero, as there in pre-training, where pairs that point apart get no gradient.
        Over several processes each compares its own rows.

    Example:
        >>> import torch
        >>> from steelyard.losses import CrossEntropy
        >>> loss = JointNTXent(CrossEntropy(), weight=1.0, temperature=1.0)
        >>> values = loss.rows(torch.zeros(4, 2), torch.tensor([0, 1, 0, 1]), features=torch.eye(2).repeat(2, 1), views=2)
        >>> values - torch.log(torch.tensor(2.0))
        tensor([0.5514, 0.5514, 0.5514, 0.5514])
    """

    def __init__(
        self,
        loss: Loss,
        weight: float = 1.0,
        temperature: float = 0.5,
        projector: nn.Module | None = None,
        reduction: str = "mean",
    ) -> None:
        super().__init__(loss, weight, projector, reduction)
        self.temperature = check_number("temperature", temperature, low=1e-3)

    def compare(self, first: Tensor, second: Tensor) -> Tensor:
        """NT-Xent of each pair `[N]`."""
        return nt_xent(first, second, self.temperature)


class JointVicreg(Joint):
    """A loss of labels and VICReg: views of a row agree, dimensions spread, and dimensions do not repeat each other.

    Formula:
        `L_i = loss_i + weight * (inv * mean_j (z_ij - z'_ij)^2 + var * (v(Z) + v(Z')) / 2 + cov * (c(Z) + c(Z')))`,
        `v(Z) = mean_j max(0, 1 - sqrt(Var_j + 1e-4))`, `c(Z) = sum_{j != k} Cov_jk^2 / d`

    Labels do not enter the second part, and a weighting does not weigh it.

    Args:
        loss: of the labels.
        weight: lambda, 0 or more; 0 is the loss alone. The three terms are large: begin with 0.01.
        invariance: inv, 0 or more.
        variance: var, 0 or more.
        covariance: cov, 0 or more.
        projector: maps features `[N, d]` to embeddings; None to compare the features.
        reduction: "mean", "sum" or "none".

    Shape:
        logits `[2N, C]`, target `[2N]`, features `[2N, d]`, values `[2N]`: first one view of all rows, then the other, as
        `TwoViews` makes them.

    Raises:
        ArgumentError: a number is negative.
        CombinationError: rows without a second view, or a model without a linear classifier.

    Reference:
        Bardes, Ponce, LeCun, VICReg: variance-invariance-covariance regularization for self-supervised learning, ICLR 2022;
        beside a loss of labels: Shwartz-Ziv, Goldblum, Li, Bruss, Wilson, Simplifying neural network training under class
        imbalance, NeurIPS 2023.

    Departures:
        The second paper's term and its weight were not found. The distance is a mean over dimensions and the variance term a
        mean over the two views, which we recall from VICReg's released code; its paper has sums. A batch of one row counts
        as one without spread. Over several processes each compares its own rows.

    Example:
        >>> import torch
        >>> from steelyard.losses import CrossEntropy
        >>> loss = JointVicreg(CrossEntropy(), weight=1.0)
        >>> spread = torch.tensor([[1.0, 1.0], [1.0, -1.0], [-1.0, 1.0], [-1.0, -1.0]])
        >>> loss.rows(torch.zeros(8, 1), torch.zeros(8).long(), features=spread.repeat(2, 1), views=2).sum()
        tensor(0.)
    """

    def __init__(
        self,
        loss: Loss,
        weight: float = 0.01,
        *,
        invariance: float = 25.0,
        variance: float = 25.0,
        covariance: float = 1.0,
        projector: nn.Module | None = None,
        reduction: str = "mean",
    ) -> None:
        super().__init__(loss, weight, projector, reduction)
        self.invariance = check_number("invariance", invariance, low=0)
        self.variance = check_number("variance", variance, low=0)
        self.covariance = check_number("covariance", covariance, low=0)

    def compare(self, first: Tensor, second: Tensor) -> Tensor:
        """VICReg's part of each pair `[N]`."""
        return vicreg(first, second, self.invariance, self.variance, self.covariance)
