"""From held-out scores to calibrated probabilities and decisions, and an honest estimate of how good both are."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import torch
from torch import Tensor

from steelyard.core.errors import ArgumentError
from steelyard.core.seeds import derive
from steelyard.core.stacked import mean_of
from steelyard.decisions import Temperature, Thresholds
from steelyard.estimator.scoring import ON_PROBABILITIES, Metric, weights_for

Decision: TypeAlias = "str | Thresholds | np.ndarray | Callable[..., Thresholds]"
SEARCHED = ("f1", "macro_f1", "g_mean", "mcc")
"""Metrics whose best thresholds have no closed form."""
PARTS = 5
"""Parts in which the held-out rows are judged by what was learnt from the others."""


@dataclass(frozen=True)
class Held:
    """Rows that were not learnt from, and what the model says about them.

    Attributes:
        logits: `[M, C]` float64.
        target: classes `[M]`.
        weights: of the rows `[M]`; None where all count the same.
        prior: share of each class `[C]` that the probabilities are to answer for.
    """

    logits: Tensor
    target: Tensor
    weights: Tensor | None
    prior: np.ndarray

    def part(self, rows: Tensor) -> Held:
        """Some of the rows."""
        return Held(self.logits[rows], self.target[rows], None if self.weights is None else self.weights[rows], self.prior)

    def mass(self) -> np.ndarray:
        """Weight of the rows of each class `[C]`."""
        found: np.ndarray = np.bincount(self.target.numpy(), weights=self.weights_array(), minlength=len(self.prior))
        return found

    def weights_array(self) -> np.ndarray | None:
        """Weights as an array."""
        return None if self.weights is None else self.weights.numpy()


@dataclass(frozen=True)
class Adjustment:
    """What is done to a model's scores: calibration, then the decision.

    Attributes:
        temperature: logits to calibrated logits.
        thresholds: probabilities to decisions.
    """

    temperature: Temperature
    thresholds: Thresholds

    @torch.no_grad()
    def log_proba(self, logits: Tensor) -> Tensor:
        """Calibrated log-probabilities `[N, C]` float64."""
        return torch.log_softmax(self.temperature(logits.double()), 1)

    def log_proba_of_each(self, logits: Tensor) -> Tensor:
        """Calibrated log-probabilities of each member `[k, N, C]` float64, from their logits."""
        return self.log_proba(logits.flatten(0, 1)).reshape(logits.shape)

    def log_proba_of_members(self, logits: Tensor) -> Tensor:
        """Logarithm of the mean of the members' calibrated probabilities `[N, C]`, from their logits `[k, N, C]`."""
        return mean_of(self.log_proba_of_each(logits))

    def apply(self, logits: Tensor) -> tuple[np.ndarray, np.ndarray]:
        """Probabilities `[N, C]` and decisions `[N]`."""
        proba = self.log_proba(logits).exp().numpy()
        return proba, self.thresholds.decide(proba)


def adjust(held: Held, metric: Metric, decision: Decision) -> Adjustment:
    """Calibrate on held-out rows, and choose how to decide.

    Args:
        held: the rows.
        metric: what the decisions should be best for, where `decision` is "auto".
        decision: see `decision_of`.
    """
    classes = held.logits.shape[1]
    temperature = Temperature()
    if len(held.target) >= classes:
        temperature = Temperature.fit(held.logits, held.target, bias=True, sample_weight=held.weights)
    with torch.no_grad():
        proba = torch.log_softmax(temperature(held.logits.double()), 1).exp().numpy()
    return Adjustment(temperature, thresholds_for(decision_of(decision, metric), proba, held))


def cross_adjusted(held: Held, metric: Metric, decision: Decision, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities `[M, C]` and decisions `[M]` of held-out rows, adjusted by what the other held-out rows say.

    Judging rows by what was fitted on them would flatter; so each fifth is adjusted by the other four.
    """
    rows = len(held.target)
    order = np.random.default_rng(derive(seed, "parts")).permutation(rows)
    order = order[np.argsort(held.target.numpy()[order], kind="stable")]
    part = np.empty(rows, dtype=np.int64)
    part[order] = np.arange(rows) % PARTS
    proba, decided = np.empty((rows, held.logits.shape[1])), np.empty(rows, dtype=np.int64)
    for number in range(PARTS):
        inside = part == number
        if inside.any():
            adjustment = adjust(held.part(torch.from_numpy(~inside)), metric, decision)
            proba[inside], decided[inside] = adjustment.apply(held.logits[torch.from_numpy(inside)])
    return proba, decided


def decision_of(decision: Decision, metric: Metric) -> Decision:
    """What "auto" means: the decision that is best for the metric.

    Metrics of decisions ask for their own. Those of probabilities, and accuracy, ask for the largest probability; those of the
    order of rows, and functions of the user's, say nothing about decisions and get those for balanced accuracy.

    Raises:
        ArgumentError: something that is no decision.
    """
    if not isinstance(decision, str):
        return decision
    if decision == "auto":
        if metric.function is not None:
            return "balanced_accuracy"
        if metric.name == "expected_cost":
            assert metric.cost is not None
            return metric.cost
        if metric.name in ON_PROBABILITIES or metric.name == "accuracy":
            return "argmax"
        return metric.name if metric.name in SEARCHED else "balanced_accuracy"
    if decision not in ("argmax", "balanced_accuracy", "accuracy", *SEARCHED):
        known = "'auto', 'argmax', " + ", ".join(map(repr, ("balanced_accuracy", *SEARCHED)))
        raise ArgumentError("decision", f"{known}, a cost matrix, Thresholds, or a function that makes them", repr(decision))
    return decision


def thresholds_for(decision: Decision, proba: np.ndarray, held: Held) -> Thresholds:
    """The thresholds that a decision stands for, as held-out rows say.

    Raises:
        ArgumentError: a cost matrix of another size, or something that is no decision.
    """
    classes = proba.shape[1]
    if isinstance(decision, Thresholds):
        return decision
    if isinstance(decision, str):
        if decision in ("argmax", "accuracy"):
            return Thresholds(np.full(classes, 1.0 / classes))
        seen = held.mass() > 0
        if decision == "balanced_accuracy" or seen.sum() < 2:
            return Thresholds.for_prior(held.prior)
        positive = 0 if classes == 2 and held.prior[0] < held.prior[1] else 1  # the rarer of two
        target, weights = held.target.numpy(), held.weights_array()
        return Thresholds.for_metric(proba, target, decision, positive=positive, sample_weight=weights)
    if callable(decision):
        made = decision(proba, held.target.numpy(), **weights_for(decision, held.weights_array()))
        if not isinstance(made, Thresholds):
            raise ArgumentError("decision", "a function that returns Thresholds", f"one that returned {type(made).__name__}")
        return made
    return Thresholds.for_costs(cost_matrix(decision, classes))


def cost_matrix(cost: Any, classes: int | None = None) -> np.ndarray:
    """A cost matrix `[C, C]`, cost[true, decided], checked.

    Raises:
        ArgumentError: not square, not finite, or not of the number of classes.
    """
    try:
        table = np.asarray(cost, dtype=np.float64)
    except (TypeError, ValueError):
        raise ArgumentError("decision", "a name, a cost matrix, Thresholds, or a function", type(cost).__name__) from None
    size = table.shape[0] if classes is None and table.ndim == 2 else classes
    if table.shape != (size, size) or not np.isfinite(table).all():
        found = list(table.shape) if table.shape != (size, size) else f"{table.tolist()}"
        raise ArgumentError("decision", f"finite costs of shape [{size}, {size}]: cost[true, decided]", found)
    return table


def follows_mix(decision: Decision, metric: Metric) -> bool:
    """Whether decisions go by the probabilities for the class mix where the model is used.

    Least expected cost and the largest probability do. Thresholds over class shares decide the same under every mix, since
    shares and probabilities change together; those that were searched hold for the probabilities they were searched on.
    """
    found = decision_of(decision, metric)
    if isinstance(found, str):
        return found in ("argmax", "accuracy")
    return goes_by_mix(found) if isinstance(found, Thresholds) else not callable(found)


def goes_by_mix(thresholds: Thresholds) -> bool:
    """The same of thresholds of which it is not known how they came about: costs, and equal thresholds."""
    known = thresholds.thresholds
    return thresholds.cost is not None or (known is not None and bool((known == known[0]).all()))


def decision_words(decision: Decision, metric: Metric) -> str:
    """What is decided, for a report."""
    found = decision_of(decision, metric)
    if isinstance(found, str):
        if found in ("argmax", "accuracy"):
            return "largest probability"
        if found == "balanced_accuracy":
            return "largest probability over class share"
        return f"thresholds for {found}"
    if isinstance(found, Thresholds):
        return "thresholds as given"
    return "thresholds of a function" if callable(found) else "least expected cost"
