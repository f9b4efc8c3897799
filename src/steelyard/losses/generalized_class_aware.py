"""Class weights with confidence margins in the general cross-entropy family."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from steelyard.core.counts import CountsLike, effective, prior
from steelyard.core.errors import ArgumentError
from steelyard.core.loss import Loss, as_rows
from steelyard.losses._checks import check_number
from steelyard.numeric.nll import affine_nll
from steelyard.numeric.normalise import over_classes, over_rows
from steelyard.numeric.precision import as_table
from steelyard.numeric.psi import generalized

SEARCH = {"q": "0..0.7"}

WEIGHTS = ("rho_over_prior", "inverse_prior")
NORMALISATIONS = ("none", "rows", "classes")


class GeneralizedClassAware(Loss):
    """Inverse-prior weights, a confidence margin a class that divides the logits, and a loss that may be bounded.

    Formula:
        `L = w_y Psi_q( softmax(z / rho_y)_y )`, `w_y = rho_y / pi_y` or `1 / pi_y`, `Psi_q(u) = (1 - u^q) / q`,
        `Psi_0(u) = -log u`; decide by `argmax z`

    Where all margins are equal, both weights are consistent for balanced accuracy at every q: the population decision is
    `argmax eta_y / pi_y`, `eta_y = P(y | x)`. With unequal margins only `rho_y / pi_y` with q = 0 is; `1 / pi_y` decides for
    `argmax eta_y / (pi_y rho_y)`, and with q > 0 either decides otherwise on some populations. The gradient fades where u is
    small, as that of `GeneralizedLogitAdjusted`.

    Args:
        class_counts: training rows a class `[C]`; a class never seen counts as one row.
        q: in [0, 1); 0 is the logarithm.
        margins: rho, one positive number a class `[C]`; None is 1 for each. `numeric.margins.power_margins` makes them
            from class sizes.
        weight: "rho_over_prior" or "inverse_prior".
        normalise: "none" for the weights of the formula, whose mean over training rows is C where margins are 1, so that a
            learning rate tuned for cross-entropy is C times too large; "rows" for mean 1 over training rows; "classes" for
            mean 1 over classes, as the static weightings have it.
        reduction: "mean", "sum" or "none"; the mean divides by N, not by the sum of the weights.

    Shape:
        logits `[N, C]`, target `[N]`, values `[N]`.

    Raises:
        ArgumentError: class_counts are no class sizes, q is out of range, margins are not C positive numbers, weight or
            normalise is no such word, or logits do not have C columns.

    Reference:
        Cortes, Mohri, Zhong, Improved balanced classification with theoretically grounded loss functions, NeurIPS 2025.

    Departures:
        Derived, not the paper's: only its abstract was read. Margins as divisors follow the same authors' earlier work on
        imbalanced margin maximisation; the weight "rho_over_prior" was derived here because it is the one that is consistent.
        The paper's rule for "calibrated" margins is not known to us; choose them by validation.

    Example:
        >>> import torch
        >>> GeneralizedClassAware([90, 10])(torch.zeros(1, 2), torch.tensor([1]))  # log(2) / 0.1
        tensor(6.9315)
    """

    class_weights: Tensor
    margins: Tensor

    def __init__(
        self,
        class_counts: CountsLike,
        q: float = 0.0,
        margins: Tensor | Sequence[float] | None = None,
        weight: str = "rho_over_prior",
        normalise: str = "none",
        reduction: str = "mean",
    ) -> None:
        super().__init__(reduction)
        self.q = check_number("q", q, low=0, high=1, open_high=True)
        if weight not in WEIGHTS:
            raise ArgumentError("weight", "'rho_over_prior' or 'inverse_prior'", repr(weight))
        if normalise not in NORMALISATIONS:
            raise ArgumentError("normalise", "'none', 'rows' or 'classes'", repr(normalise))
        pi = prior(class_counts)
        rho = torch.ones_like(pi) if margins is None else _check_margins(margins, len(pi))
        table = rho / pi if weight == "rho_over_prior" else 1 / pi
        if normalise != "none":
            table = over_classes(table) if normalise == "classes" else over_rows(table, effective(class_counts))
        self.weight, self.normalise = weight, normalise
        self.divides = margins is not None
        self.register_buffer("margins", as_table(rho))
        self.register_buffer("class_weights", as_table(table))

    def rows(self, logits: Tensor, target: Tensor, **_: Any) -> Tensor:
        """`w_y Psi_q(softmax(z / rho_y)_y)`, `[N]`."""
        logits, target = as_rows(logits, target, self.margins.shape[0])
        scale = (1 / self.margins).to(logits.dtype)[target] if self.divides else None
        return self.class_weights.to(logits.dtype)[target] * generalized(affine_nll(logits, target, scale=scale), self.q)

    def extra_repr(self) -> str:
        """Shown by print(loss)."""
        own = f"q={self.q}, weight={self.weight!r}, normalise={self.normalise!r}"
        return f"classes={self.margins.shape[0]}, {own}, {super().extra_repr()}"


def _check_margins(margins: Tensor | Sequence[float], classes: int) -> Tensor:
    rho = torch.as_tensor(margins, dtype=torch.float64).detach().cpu()
    if rho.shape != (classes,):
        raise ArgumentError("margins", f"one number a class, [{classes}]", list(rho.shape))
    if not bool((torch.isfinite(rho) & (rho > 0)).all()):
        raise ArgumentError("margins", "finite and above 0", rho.tolist()[:8])
    return rho
