"""Sharpness-aware minimisation: the gradient at the worst point nearby."""

from __future__ import annotations

from steelyard.core.descent import plain
from steelyard.core.objective import Evaluation
from steelyard.core.oracle import Oracle
from steelyard.core.rows import Batch
from steelyard.descents._ascent import check_radius, gradients_of, moved, same_weights, settle
from steelyard.numeric.ascent import uphill, uphill_by_size

SEARCH = {"rho": "log(0.01..1)"}


class SAM:
    """Take the gradient not here but a step of length rho uphill, and apply it here: flat minima are left in peace.

    Formula:
        `eps = rho * g / |g|` with `g` the gradient of the objective here, over all trainable parameters of the model together;
        `.grad` is the gradient at `theta + eps`. Adaptive: `eps = rho * theta^2 g / |theta g|`, entry by entry

    The second pass uses the weights of the first and works on copies of the BatchNorm statistics, so a batch is counted once
    and a weighting is asked once. Parameters are never moved: the model is evaluated beside them. Each of several processes
    climbs along the gradient of its own rows. Clipping, momentum and schedules come after and know nothing of this. A step
    costs two plain ones; `rho=0` is plain descent, to the bit and to the cost.

    Args:
        rho: how far, 0 or more; 0.05 to 0.8 in the literature, the more the stronger rare classes are weighted. Ten times as
            much where adaptive.
        adaptive: measure lengths relative to the parameters, so that rescaling a layer changes nothing.

    Raises:
        ArgumentError: `rho` negative or not finite.

    Reference:
        Foret, Kleiner, Mobahi, Neyshabur, Sharpness-aware minimization for efficiently improving generalization, ICLR 2021.
        Adaptive: Kwon, Kim, Park, Choi, ASAM: adaptive sharpness-aware minimization, ICML 2021, without its constant eta, as
        the PyTorch port that most use has it.

    Departures:
        Parameters of the loss, where it has any, do not climb; their gradient is that of the second pass.
        Dropout draws a new mask in the second pass, as in the released codes.

    Example:
        >>> import torch
        >>> from steelyard.core.objective import Objective
        >>> from steelyard.core.rows import Rows
        >>> model = torch.nn.Linear(2, 3)
        >>> oracle = Oracle(model, lambda model, batch: Rows(model(batch.inputs), batch.target), Objective())
        >>> batch = Batch(torch.randn(8, 2), torch.randint(3, (8,)), torch.arange(8))
        >>> evaluation = SAM(rho=0.1)(oracle, batch)
        >>> model.weight.grad.shape
        torch.Size([3, 2])
    """

    def __init__(self, rho: float = 0.05, *, adaptive: bool = False) -> None:
        self.rho, self.adaptive = check_radius(rho), adaptive

    def __call__(self, oracle: Oracle, batch: Batch) -> Evaluation:
        """Fill `.grad` and return the evaluation here."""
        params = oracle.params()
        if self.rho == 0 or not params:
            return plain(oracle, batch)
        first = oracle(batch)
        gradients, values = gradients_of(first.loss, params.values()), [value.detach() for value in params.values()]
        steps = uphill_by_size(gradients, values, self.rho) if self.adaptive else uphill(gradients, self.rho)
        there = moved(params, steps)
        oracle(batch, at=there, weights=same_weights(first)).loss.backward()
        settle(params, there)
        return first

    def __repr__(self) -> str:
        """The settings."""
        return f"SAM(rho={self.rho:g}, adaptive={self.adaptive})"
