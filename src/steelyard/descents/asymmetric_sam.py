"""SAM whose step uphill leans towards rare classes."""

from __future__ import annotations

from typing import Literal

from torch import Tensor, nn

from steelyard.core.counts import CountsLike, effective, of_class
from steelyard.core.errors import ArgumentError
from steelyard.core.objective import Evaluation
from steelyard.core.oracle import Oracle
from steelyard.core.rows import Batch
from steelyard.descents._ascent import check_radius, gradients_of, moved, same_weights, settle
from steelyard.descents.sam import SAM
from steelyard.numeric.ascent import FLOOR, length, stretched, uphill
from steelyard.numeric.precision import as_table

SEARCH = {"rho": "log(0.01..0.5)", "power": "0..1"}
DEFAULT_POWER = {"described": 0.25, "released": 1.0}


class AsymmetricSAM(nn.Module):
    """SAM-A: climb further for rare classes, and take the gradient of the objective as it is there.

    Formula:
        described: `eps = sum_c rho_c g_c / |g|`, `rho_c = rho * (n_max / n_c) ^ power`, g_c the part of the batch's gradient g
        that the rows of class c make; released: `eps = rho * a / |a|`, `a = sum_c (n_max / n_c) ^ power g_c`

    The two differ in length. Released, the step has length rho whatever the class weights are: they tilt its direction only.
    Described, a batch with rare rows climbs further than one without. With equal class sizes, or `power=0`, both are SAM.

    Args:
        class_counts: training rows a class `[C]`, a class never seen counting as one row.
        rho: how far for the largest class, 0 or more.
        power: how much more for rarer classes, 0 or more; None for 0.25 where described, and 1 where released. At imbalance
            factor 100 the described form climbs up to 3 rho with 0.25, and up to 100 rho with 1.
        form: "described" or "released".

    Raises:
        ArgumentError: no class sizes, a negative setting, or another form.

    Reference:
        Shwartz-Ziv, Goldblum, Li, Bruss, Wilson, Simplifying neural network training under class imbalance, NeurIPS 2023.

    Departures:
        A reconstruction: the paper's text describes a larger step for rare classes and gives no formula; the released code
        tilts the direction. `power` is ours (1 in the released code). Rows of the ascent carry the objective's weights too.
        The released class cannot be built (a wrong argument) and counts BatchNorm statistics twice; this does neither.
        The described form makes one more backward pass than SAM, for |g|.

    Example:
        >>> import torch
        >>> from steelyard.core.objective import Objective
        >>> from steelyard.core.rows import Rows
        >>> model = nn.Linear(2, 3)
        >>> oracle = Oracle(model, lambda model, batch: Rows(model(batch.inputs), batch.target), Objective())
        >>> batch = Batch(torch.randn(8, 2), torch.randint(3, (8,)), torch.arange(8))
        >>> evaluation = AsymmetricSAM([90, 9, 1])(oracle, batch)
        >>> model.weight.grad.shape
        torch.Size([3, 2])
    """

    tilt: Tensor

    def __init__(
        self,
        class_counts: CountsLike,
        rho: float = 0.05,
        *,
        power: float | None = None,
        form: Literal["described", "released"] = "described",
    ) -> None:
        super().__init__()
        if form not in DEFAULT_POWER:
            raise ArgumentError("form", " or ".join(map(repr, DEFAULT_POWER)), repr(form))
        self.rho, self.form = check_radius(rho), form
        self.power = DEFAULT_POWER[form] if power is None else check_radius(power, "power")
        sizes = effective(class_counts)
        self.register_buffer("tilt", as_table((sizes.max() / sizes) ** self.power))
        self._even = bool((sizes == sizes[0]).all()) or self.power == 0

    def forward(self, oracle: Oracle, batch: Batch) -> Evaluation:
        """Fill `.grad` and return the evaluation here."""
        params = oracle.params()
        if self._even or self.rho == 0 or not params:
            return SAM(self.rho)(oracle, batch)
        first = oracle(batch)
        there = moved(params, self._steps(first, list(params.values())))
        oracle(batch, at=there, weights=same_weights(first)).loss.backward()
        settle(params, there)
        return first

    def _steps(self, first: Evaluation, params: list[Tensor]) -> list[Tensor]:
        tilted = first.restricted(of_class(self.tilt.to(first.losses), first.rows.target))
        if self.form == "released":
            return uphill(gradients_of(tilted, params), self.rho)
        size = length(gradients_of(first.loss, params, retain_graph=True))
        return stretched(gradients_of(tilted, params), self.rho / (size + FLOOR))

    def extra_repr(self) -> str:
        """Shown by print(descent)."""
        return f"rho={self.rho:g}, power={self.power:g}, form={self.form}"
