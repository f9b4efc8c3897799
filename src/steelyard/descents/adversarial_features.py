"""Features that are moved uphill before the classifier sees them, those of rare classes further."""

from __future__ import annotations

import dataclasses
from typing import Literal

import torch
from torch import Tensor, nn
from torch.func import vjp

from steelyard.core.counts import CountsLike, effective
from steelyard.core.descent import plain
from steelyard.core.errors import ArgumentError
from steelyard.core.head import Head
from steelyard.core.objective import Evaluation
from steelyard.core.oracle import Oracle
from steelyard.core.rows import Batch, Clock
from steelyard.descents._ascent import check_radius, same_weights
from steelyard.descents._classifier import class_pulls, classifier_of, scores_of
from steelyard.numeric.ascent import FLOOR
from steelyard.numeric.by_class import class_totals
from steelyard.numeric.precision import as_table

SEARCH = {"reach": "log(0.01..3)", "limit": "0.1..1", "weigh": "true|false"}
LENGTHS = ("row", "class")


class AdversarialFeatures(nn.Module):
    """Score each row also by features that were moved uphill for the row's own loss, further for rarer classes.

    Formula:
        `L = (1 - a) * mean l(z) + a * mean u_c l(z')`, l of a row of class c, z its features, `z' = z + reach * u_c * g / |g|`,
        g the gradient of the row's loss by z; `u_c = log(n_max / n_c + 0.01) / 2`; `a = min((epoch + 1) / epochs, limit)`

    The second stage of CC-SAM, where only the classifier learns, on rows of all classes equally often. The model runs once, and
    nothing but its classifier sees the moved features, so a step costs hardly more than a plain one. Where more than the
    classifier learns, gradients go through z and z' alike; the step from one to the other counts as a constant.

    Args:
        class_counts: training rows a class `[C]`; a class without rows counts as one of a single row.
        reach: length of the step for `u_c = 1`, 0 or more, in the units of the features.
        limit: largest share a of the second loss, in [0, 1]; 0 is plain descent. It is reached when this fraction of the
            epochs is done.
        per: |g| of each row ("row"); or, as released, of all rows of the class in the batch together, g being the gradient of
            their mean ("class"): steps are then shorter the more rows there are, and longer for rows that are learnt worse.
        weigh: multiply the second loss by u_c, as released; false counts classes alike. The largest class has `u_c = 0.005`,
            so that near `a = 1` almost nothing holds its rows; where all classes are of one size, all learning fades.

    Raises:
        ArgumentError: no class sizes, or a value out of its range.
        CombinationError: in training, where the model has no linear classifier that is given one vector of features a row.

    Reference:
        Zhou, Li, Zhao, Heng, Gong, Class-conditional sharpness-aware minimization for deep long-tailed recognition, CVPR 2023.

    Departures:
        From the paper's abstract: adversarial features of class-balanced rows, the backbone frozen. Its formulas were not
        found; those above are the released code's, with `reach=1`, and `limit=1` (CIFAR-10) or 0.3 (CIFAR-100).
        `per="row"`, `weigh=False` and the defaults of `reach` and `limit` are ours, chosen on validation rows of CIFAR-10.
        A gradient of zeros divides by zero in the released code; here it gives no step. Row weights enter the gradient of a
        class and both losses. Mixed rows are moved each for its own label.

    Example:
        >>> from steelyard.core.objective import Objective
        >>> from steelyard.core.rows import Rows
        >>> model = nn.Sequential(nn.Linear(2, 4), nn.ReLU(), nn.Linear(4, 3))
        >>> oracle = Oracle(model, lambda model, batch: Rows(model(batch.inputs), batch.target), Objective())
        >>> batch = Batch(torch.randn(8, 2), torch.randint(3, (8,)), torch.arange(8))
        >>> descent = AdversarialFeatures([90, 9, 1])
        >>> evaluation = descent(oracle, batch)
        >>> model[2].weight.grad.shape, descent.strengths
        (torch.Size([3, 4]), tensor([0.0050, 1.1518, 2.2500], dtype=torch.float64))
    """

    strengths: Tensor
    """`u_c` of each class `[C]`."""

    def __init__(
        self,
        class_counts: CountsLike,
        reach: float = 0.1,
        limit: float = 0.3,
        *,
        per: Literal["row", "class"] = "row",
        weigh: bool = True,
    ) -> None:
        super().__init__()
        if check_radius(limit, "limit") > 1:
            raise ArgumentError("limit", "in [0, 1]", limit)
        if per not in LENGTHS:
            raise ArgumentError("per", " or ".join(map(repr, LENGTHS)), repr(per))
        self.reach, self.limit, self.per, self.weigh = check_radius(reach, "reach"), float(limit), per, weigh
        sizes = effective(class_counts)
        self.register_buffer("strengths", as_table((sizes.max() / sizes + 0.01).log() / 2))

    def share_at(self, clock: Clock) -> float:
        """a, the share of the second loss."""
        return min((clock.epoch + 1) / max(clock.epochs, 1), self.limit)

    def forward(self, oracle: Oracle, batch: Batch) -> Evaluation:
        """Fill `.grad` and return the evaluation here."""
        if self.limit == 0 or (self.reach == 0 and not self.weigh):
            return plain(oracle, batch)
        first = oracle(batch)
        head = classifier_of(oracle, first, "adversarial features are those that a classifier is given", "SAM or ImbSAM")
        rows, share = first.rows, self.share_at(oracle.clock)
        strength = self.strengths.to(rows.target.device)[rows.target]
        logits = rows.logits + self._shift(oracle, first, head, strength)
        weights = same_weights(first)
        if self.weigh:
            weights = strength.to(first.losses.dtype) * weights
        moved = oracle.objective(dataclasses.replace(rows, logits=logits), oracle.clock, weights=weights)
        ((1 - share) * first.loss + share * moved.loss).backward()
        return first

    def _shift(self, oracle: Oracle, first: Evaluation, head: nn.Linear | Head, strength: Tensor) -> Tensor:
        """What the classifier says more of each row when it is given the moved features `[N, C]`."""
        features, pulls = first.rows.features, class_pulls(oracle, first)
        assert features is not None
        features = features.to(torch.promote_types(features.dtype, pulls.dtype))
        if isinstance(head, nn.Linear):
            weight = head.weight.to(features.dtype)
            gradient = pulls.to(features.dtype) @ weight.detach()
            return self._step(gradient, first.rows.target, strength) @ weight.T
        params = dict(head.named_parameters())
        fixed = {name: value.detach() for name, value in params.items()}
        pull = vjp(lambda seen: scores_of(head, fixed, seen), features.detach())[1]
        step = self._step(pull(pulls.to(features.dtype))[0], first.rows.target, strength)
        return scores_of(head, params, features + step) - scores_of(head, params, features)

    def _step(self, gradient: Tensor, target: Tensor, strength: Tensor) -> Tensor:
        """`z' - z` of each row `[N, d]`."""
        square = gradient.square().sum(1)
        length = (class_totals(square, target) if self.per == "class" else square).sqrt()
        return (self.reach * strength.to(gradient.dtype) / length.clamp_min(FLOOR))[:, None] * gradient

    def extra_repr(self) -> str:
        """Shown by print(descent)."""
        return f"reach={self.reach:g}, limit={self.limit:g}, per={self.per}, weigh={self.weigh}"
