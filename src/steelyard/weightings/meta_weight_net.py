"""Meta-Weight-Net: a small network from a row's loss to its weight, taught by a meta set."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from steelyard.core.errors import ArgumentError
from steelyard.core.pool import RowPool
from steelyard.core.roles import Explains
from steelyard.core.rows import Evidence
from steelyard.weightings._taught import Lookahead, Net, Normalise, Taught


class MetaWeightNet(Taught, Explains):
    """Weigh a row by a learned function of its loss, so that a step with these weights does a balanced meta set good.

    The weight is `v = sigmoid(a . relu(W l + b) + c)`, divided by its mean over the batch (`normalise`). Before a step of the
    model, the step is tried with the present weights, and the network is moved so that the mean cross-entropy of the meta
    batch after the step falls; see `Lookahead` for the other order. The gradient is exact and needs no second derivative: see
    `steelyard.influence`.

    Args:
        meta: balanced, clean rows that the model is not trained on.
        hidden: width of the network, 1 or more.
        normalise: "batch" (mean 1 over the batch: only relative weights can be learnt), "none" (v itself, which then also sets
            the learning rate), or "detached" (mean 1, learnt as if the divisor were constant).
        lookahead: when and how the network learns; None for every step, in the papers' order, through all parameters.
        lr: of Adam, which moves the network, above 0.
        weight_decay: of Adam, 0 or more.
        detach: False learns as if the weights of the tried step moved with the losses in them, as the released code for class
            imbalance does; the real step does not do so. It costs a second derivative of the model.

    Shapes:
        losses `[N]` to weights `[N]`.

    Raises:
        ArgumentError: a value is out of its range, or the evidence has no losses.

    Reference:
        Shu, Xie, Yi, Zhao, Zhou, Xu, Meng: Meta-Weight-Net: learning an explicit mapping for sample weighting, NeurIPS 2019.

    Departures:
        The look-ahead is that of the optimiser used (momentum and weight decay too), where the released code takes a plain
        gradient step. The loss is detached before the network sees it, as in the later released code; the code for class
        imbalance does not detach it (`detach=False`), so that its virtual and its real update disagree. `normalise="none"` is
        the released code for noisy labels, "batch" that for class imbalance.

    Example:
        >>> from steelyard.core.rows import Clock
        >>> from steelyard.data import ResidentSource
        >>> meta = RowPool(ResidentSource(torch.zeros(4, 2), torch.tensor([0, 0, 1, 1])))
        >>> weights = MetaWeightNet(meta)(Evidence(target=torch.tensor([0, 1]), losses=torch.tensor([0.1, 0.1])))
        >>> weights.detach().round(decimals=4)
        tensor([1., 1.])
    """

    def __init__(
        self,
        meta: RowPool,
        *,
        hidden: int = 100,
        normalise: Normalise = "batch",
        lookahead: Lookahead | None = None,
        lr: float = 1e-3,
        weight_decay: float = 1e-4,
        detach: bool = True,
    ) -> None:
        super().__init__(meta, normalise=normalise, lookahead=lookahead, lr=lr, weight_decay=weight_decay)
        if not detach and (self.lookahead.order, self.lookahead.scope) != ("ahead", "all"):
            raise ArgumentError("detach", "True unless a whole step is tried (order 'ahead', scope 'all')", False)
        self.detached = detach
        self.net = Net(hidden)
        self.register_buffer("highest", torch.zeros(()))
        self.highest: Tensor

    def raw(self, evidence: Evidence) -> Tensor:
        """v, in (0, 1) `[N]`."""
        losses = losses_of(evidence)
        self.highest.copy_(torch.maximum(self.highest, losses.detach().max()))
        weights: Tensor = self.net(losses)[:, 0]
        return weights

    def explain(self) -> dict[str, Any]:
        """The learned function, up to the highest loss met."""
        return learned_function(self.net, self.highest, ["all classes"])


def losses_of(evidence: Evidence) -> Tensor:
    """The losses `[N]`, or a sentence asking for them."""
    if evidence.losses is None:
        raise ArgumentError("evidence.losses", "the loss of each row [N]", None)
    return evidence.losses


@torch.no_grad()
def learned_function(net: Net, highest: Tensor, names: list[str]) -> dict[str, Any]:
    """Weights over a grid of losses, a line an output of the network."""
    grid = torch.linspace(0, max(float(highest), 1e-3), 50)
    weights = net(grid.to(highest.device)).cpu()
    lines = {name: [round(w, 6) for w in weights[:, k].tolist()] for k, name in enumerate(names)}
    return {"loss": [round(x, 6) for x in grid.tolist()], "weight": lines}
