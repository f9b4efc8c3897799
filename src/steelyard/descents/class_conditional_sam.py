"""A classifier that is perturbed for each class by itself, rare classes further."""

from __future__ import annotations

import dataclasses
from functools import partial
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
from steelyard.core.rows import Batch
from steelyard.descents._ascent import check_radius, same_weights
from steelyard.descents._classifier import class_pulls, classifier_of, scores_of
from steelyard.numeric.ascent import FLOOR, class_radius, length
from steelyard.numeric.precision import as_table

SEARCH = {"flat": "0.1..0.7", "noise": "log(1e-5..0.1)"}
NORMS = ("global", "tensor")
PAIRED_ROWS = 4096
"""Rows up to which a linear classifier is perturbed through products of pairs of rows; above, classes are gone through."""


class ClassConditionalSAM(nn.Module):
    """Score each row also by a classifier that was moved uphill for the row's own class, further for rarer classes.

    Formula:
        `L = (1 - flat) * mean l(W) + flat * mean l(W + eps_c)`, l of a row of class c, W the classifier, features as they are;
        `eps_c = noise * sqrt(k) * r_c * g_c / |g_c|`, `r_c = (|W| / (2 |g_c|))^(1/2) * k^(-1/4) * (n_c - 1)^(-1/4)`, g_c the
        gradient by W of the mean loss of the batch's rows of class c, k the number of entries of W

    This is the paper's efficient version: only the classifier is perturbed, so that the model runs once and a step costs hardly
    more than a plain one. All classes are perturbed at once: with a linear classifier, what `W + eps_c` says of a row differs
    from what W says by products of pairs of rows, and no eps_c is ever formed.

    Args:
        class_counts: training rows a class `[C]`; a class of one row or none counts as one of two.
        flat: share of the perturbed loss, in [0, 1]; 0 is plain descent. Released: 0.3 (CIFAR-10), 0.5 (CIFAR-100).
        noise: factor on the radius, 0 or more. 1 is the bound's own: it moves the classifier about as far as it is long, and
            further the better a class is learnt (|g_c| is in the denominator), so that small problems are not learnt any more.
            1e-6 is released, and next to nothing. The default is ours.
        norm: lengths of W and of gradients over the classifier as a whole ("global"), or of weight and bias each by
            themselves ("tensor", as released).

    Raises:
        ArgumentError: no class sizes, or a value out of its range.
        CombinationError: in training, where the model has no linear classifier that is given one vector of features a row.

    Reference:
        Zhou, Li, Zhao, Heng, Gong, Class-conditional sharpness-aware minimization for deep long-tailed recognition, CVPR 2023.

    Departures:
        `noise`, see above. A class of one row, and a gradient of zeros, divide by zero in the released code; here they get the
        radius of two rows, and no step. Mixed rows count by their share for both classes (released: first labels only).
        Row weights enter the class means. The paper's second stage is `AdversarialFeatures`; the method `cc-sam` has both.

    Example:
        >>> from steelyard.core.objective import Objective
        >>> from steelyard.core.rows import Rows
        >>> model = nn.Sequential(nn.Linear(2, 4), nn.ReLU(), nn.Linear(4, 3))
        >>> oracle = Oracle(model, lambda model, batch: Rows(model(batch.inputs), batch.target), Objective())
        >>> batch = Batch(torch.randn(8, 2), torch.randint(3, (8,)), torch.arange(8))
        >>> evaluation = ClassConditionalSAM([90, 9, 1])(oracle, batch)
        >>> model[0].weight.grad.shape
        torch.Size([4, 2])
    """

    class_counts: Tensor

    def __init__(
        self,
        class_counts: CountsLike,
        flat: float = 0.5,
        *,
        noise: float = 0.001,
        norm: Literal["global", "tensor"] = "global",
    ) -> None:
        super().__init__()
        if check_radius(flat, "flat") > 1:
            raise ArgumentError("flat", "in [0, 1]", flat)
        if norm not in NORMS:
            raise ArgumentError("norm", " or ".join(map(repr, NORMS)), repr(norm))
        self.flat, self.noise, self.norm = float(flat), check_radius(noise, "noise"), norm
        self.register_buffer("class_counts", as_table(effective(class_counts)))

    def forward(self, oracle: Oracle, batch: Batch) -> Evaluation:
        """Fill `.grad` and return the evaluation here."""
        if self.flat == 0 or self.noise == 0:
            return plain(oracle, batch)
        first = oracle(batch)
        head = classifier_of(oracle, first, "class-conditional SAM perturbs the classifier", "SAM or ImbSAM")
        trained = {name: value for name, value in head.named_parameters() if value.requires_grad}
        if not trained:
            first.loss.backward()
            return first
        rows = first.rows
        logits = rows.logits + self._shift(oracle, first, head, trained)
        perturbed = oracle.objective(dataclasses.replace(rows, logits=logits), oracle.clock, weights=same_weights(first))
        ((1 - self.flat) * first.loss + self.flat * perturbed.loss).backward()
        return first

    def _shift(self, oracle: Oracle, first: Evaluation, head: nn.Linear | Head, trained: dict[str, nn.Parameter]) -> Tensor:
        """What the perturbed classifiers say more of each row `[N, C]`."""
        features, target = first.rows.features, first.rows.target
        assert features is not None
        pulls = class_pulls(oracle, first)
        features = features.to(torch.promote_types(features.dtype, pulls.dtype))
        sizes = self.class_counts.to(target.device)
        if isinstance(head, nn.Linear) and len(target) <= PAIRED_ROWS:
            return self._by_pairs(head, trained, features, pulls, target, sizes)
        return self._by_class(head, trained, features, pulls, target, sizes)

    def _factors(self, trained: dict[str, nn.Parameter], lengths: dict[str, Tensor], sizes: Tensor) -> dict[str, Tensor]:
        """What to multiply class gradients of these lengths by, for each part of the classifier."""
        weights = {name: length([value.detach()]) for name, value in trained.items()}
        if self.norm == "global":
            lengths = dict.fromkeys(lengths, torch.stack(list(lengths.values())).square().sum(0).sqrt())
            weights = dict.fromkeys(weights, length(list(weights.values())))
        entries = sum(value.numel() for value in trained.values())
        return {
            name: self.noise * class_radius(weights[name], along, entries, sizes) / along.clamp_min(FLOOR)
            for name, along in lengths.items()
        }

    def _by_pairs(
        self,
        head: nn.Linear,
        trained: dict[str, nn.Parameter],
        features: Tensor,
        pulls: Tensor,
        target: Tensor,
        sizes: Tensor,
    ) -> Tensor:
        """A linear classifier: `g_c = sum_j pull_j x (h_j, 1)` over the class, so that `g_c h_i` is a sum over pairs (i, j)."""
        seen = features.detach()
        same = (target[:, None] == target).to(pulls.dtype)
        alike = same * (pulls @ pulls.T)
        products = {"weight": features @ seen.T, "bias": torch.ones_like(same)}
        lengths = {
            name: (same @ (alike * products[name].detach()).sum(1)).clamp_min(0).sqrt() for name in trained
        }  # of each row's own class
        factors = self._factors(trained, lengths, sizes[target])
        kernel = torch.stack([factors[name][:, None] * products[name] for name in trained]).sum(0)
        return (same * kernel) @ pulls

    def _by_class(
        self,
        head: nn.Module,
        trained: dict[str, nn.Parameter],
        features: Tensor,
        pulls: Tensor,
        target: Tensor,
        sizes: Tensor,
    ) -> Tensor:
        """Any classifier: the gradients of all classes of the batch beside each other, and a classifier moved along each."""
        scores = partial(scores_of, head)
        labels, place = target.unique(return_inverse=True)
        own = place == torch.arange(len(labels), device=place.device)[:, None]
        pull = vjp(lambda params: scores(params, features.detach()), {name: p.detach() for name, p in trained.items()})[1]
        gradients = torch.vmap(lambda mine: pull(mine[:, None] * pulls)[0])(own.to(pulls.dtype))
        lengths = {name: value.flatten(1).norm(dim=1) for name, value in gradients.items()}
        factors = self._factors(trained, lengths, sizes[labels])
        there = {
            name: value + factors[name].reshape(-1, *[1] * value.ndim) * gradients[name] for name, value in trained.items()
        }
        moved = torch.vmap(scores, in_dims=(0, None))(there, features)
        return moved[place, torch.arange(len(place), device=place.device)] - scores(dict(trained), features)

    def extra_repr(self) -> str:
        """Shown by print(descent)."""
        return f"flat={self.flat:g}, noise={self.noise:g}, norm={self.norm}"
