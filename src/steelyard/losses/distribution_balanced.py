"""Distribution-balanced loss for several labels an example."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from steelyard.core.counts import CountsLike, as_counts, effective
from steelyard.core.errors import ArgumentError
from steelyard.losses._checks import check_number
from steelyard.losses._labels import LabelLoss
from steelyard.numeric.precision import as_table
from steelyard.numeric.psi import focal


class DistributionBalanced(LabelLoss):
    """Binary cross-entropy a label, re-balanced for labels that occur together, and tolerant of absences.

    Formula:
        `r_k = (1 / n_k) / sum_{j present} 1 / n_j`, `w_k = alpha + sigmoid(beta (r_k - mu))`;
        present: `w_k softplus(-(z_k - v_k))`; absent: `w_k softplus(scale (z_k - v_k)) / scale`;
        `v_k = -kappa b_k`, `b_k = log(p_k / (1 - p_k))`, `p_k = n_k / N`; decide by z

    Drawing examples by class would repeat the frequent labels that rare ones come with; `r_k` undoes that for the label sets
    at hand. `scale` makes the loss of an absence flat once it is decided, and `v_k` asks rare presences for a larger score.

    Args:
        label_counts: in how many training examples each label is present `[L]`; never present counts as once.
        examples: training examples N, more than the largest count.
        alpha: smallest weight, 0 or more.
        beta: steepness of the smoothed weight, 0 or more.
        mu: where it is in the middle.
        scale: of the scores of absent labels, above 0; 1 is plain.
        kappa: share of the log prior odds in the shift, 0 or more; 0 for no shift.
        gamma: of a focal factor `(1 - p)^gamma`, p the (scaled and shifted) probability of what is; 0 for none.
        reduction: "mean" over known labels, "sum" or "none".

    Shape:
        log-odds `[N, L]`, labels `[N, L]` (0, 1, or NaN where not known), values `[N, L]`.

    Raises:
        ArgumentError: counts that are no counts or exceed `examples`, a number out of range, or shapes that do not fit.

    Reference:
        Wu, Huang, Liu, Wang, Lin: Distribution-balanced loss for multi-label classification in long-tailed datasets, ECCV 2020.

    Departures:
        The settings are those for COCO-MLT. As the paper's formula, unlike the released code, the shift is not divided by
        `scale`. An example without present labels has weight `alpha + 1`, the limit of the formula. With `gamma` above 0 the
        released code multiplies by 2.

    Example:
        >>> loss = DistributionBalanced([50, 5], 100, kappa=0.0, scale=1.0, beta=0.0, alpha=0.5)  # weights of 1
        >>> loss(torch.zeros(1, 2), torch.tensor([[1, 0]]))  # log 2
        tensor(0.6931)
    """

    rarity: Tensor
    shift: Tensor

    def __init__(
        self,
        label_counts: CountsLike,
        examples: int,
        *,
        alpha: float = 0.1,
        beta: float = 10.0,
        mu: float = 0.2,
        scale: float = 2.0,
        kappa: float = 0.05,
        gamma: float = 0.0,
        reduction: str = "mean",
    ) -> None:
        super().__init__(reduction)
        largest = int(as_counts(label_counts, "label_counts").max())
        if type(examples) is not int or examples <= largest:
            raise ArgumentError("examples", f"a number of examples above the largest label count ({largest})", examples)
        self.alpha, self.beta = check_number("alpha", alpha, low=0), check_number("beta", beta, low=0)
        self.mu, self.kappa = check_number("mu", mu), check_number("kappa", kappa, low=0)
        self.scale, self.gamma = check_number("scale", scale, low=0), check_number("gamma", gamma, low=0)
        if self.scale == 0:
            raise ArgumentError("scale", "above 0", scale)
        counts = effective(label_counts)
        self.register_buffer("rarity", as_table(1 / counts))
        self.register_buffer("shift", as_table(-self.kappa * (counts / (examples - counts)).log()))

    def label_weights(self, label_sets: Tensor) -> Tensor:
        """The weight of each label of each example `[N, L]`, from what labels the examples have `[N, L]`."""
        rarity = self.rarity.to(label_sets.dtype)
        total = (label_sets * rarity).sum(1, keepdim=True)
        ratio = rarity / total.where(total > 0, 1.0)
        weights = self.alpha + torch.sigmoid(self.beta * (ratio - self.mu))
        return torch.where(total > 0, weights, self.alpha + 1.0)

    def entries(self, logits: Tensor, target: Tensor, label_sets: Tensor) -> Tensor:
        """The loss of each label of each example `[N, L]`."""
        if logits.shape[1] != len(self.rarity):
            raise ArgumentError("logits", f"of shape [N, {len(self.rarity)}], one column a label", list(logits.shape))
        moved = logits - self.shift.to(logits.dtype)
        present = focal(F.softplus(-moved), self.gamma)
        absent = focal(F.softplus(self.scale * moved), self.gamma) / self.scale
        return self.label_weights(label_sets) * torch.where(target == 1, present, absent)

    def extra_repr(self) -> str:
        """Shown by print(loss)."""
        own = ", ".join(f"{name}={getattr(self, name)}" for name in ("alpha", "beta", "mu", "scale", "kappa", "gamma"))
        return f"labels={len(self.rarity)}, {own}, {super().extra_repr()}"
