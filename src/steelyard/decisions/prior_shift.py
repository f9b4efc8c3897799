"""Probabilities for another class mix: known, or estimated from rows without labels."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from steelyard.core.errors import ArgumentError, DataError
from steelyard.core.loss import check_classes, upcast
from steelyard.decisions._arrays import (
    Floats,
    as_number,
    as_prior,
    as_proba,
    as_target,
    as_weight,
    finite_logs,
    like,
    log_of,
    mass_of,
    need_all,
)

LEAST_SHARE = 1e-12
"""An estimated share is at least this, so that no class is ruled out by an estimate."""
SINGULAR = 1e-6
"""A confusion matrix whose smallest singular value is below this share of its largest is not inverted."""


class PriorShift(nn.Module):
    """What a model would say where the classes are mixed differently: Bayes' rule with another prior.

    Formula:
        `p'(y | x) = p(y | x) q_y / pi_y / sum_k p(k | x) q_k / pi_k`, with source prior pi and target prior q. It is right
        where P(x | y) stays the same and p is calibrated for pi; so calibrate first (`Temperature`).

    Args:
        source_prior: class shares `[C]` for which the probabilities were made, above 0. With a model trained on all rows
            alike these are the shares in the training rows.
        target_prior: class shares `[C]` where the model is used. A share of 0 says that the class does not occur: its
            probability is then exactly 0 and its score minus infinity.

    Attributes:
        source_prior: float64 `[C]`.
        target_prior: float64 `[C]`.
        note: what has to be known about an estimated target prior, in a sentence; empty if nothing.

    Shape:
        scores `[N, C]` (logits or log-probabilities) to log-probabilities up to a constant of the row `[N, C]`, at least
        float32. `proba` takes and returns probabilities.

    Raises:
        ArgumentError: shares that are negative, do not sum to 1 or differ in number, or a source share of 0.

    Reference:
        Saerens, Latinne, Decaestecker: Adjusting the outputs of a classifier to new a priori probabilities, Neural Computation
        2002. Lipton, Wang, Smola: Detecting and correcting for label shift with black box predictors, ICML 2018.

    Example:
        >>> PriorShift([0.5, 0.5], [0.9, 0.1]).proba(np.array([[0.5, 0.5]]))
        array([[0.9, 0.1]])
    """

    source_prior: Tensor
    target_prior: Tensor

    def __init__(self, source_prior: Any, target_prior: Any) -> None:
        super().__init__()
        source = as_prior(source_prior, "source_prior")
        target = as_prior(target_prior, "target_prior", len(source), zeros=True)
        self.register_buffer("source_prior", torch.from_numpy(source))
        self.register_buffer("target_prior", torch.from_numpy(target))
        self.note = ""

    def forward(self, scores: Tensor) -> Tensor:
        """Scores for the target prior `[N, C]`."""
        check_classes(scores, len(self.source_prior))
        shift = self.target_prior.double().log() - self.source_prior.double().log()
        wide = upcast(scores)
        shifted = torch.log_softmax(finite_logs(wide.double()), 1) + shift.to(scores.device)
        return shifted.to(wide.dtype)

    def proba(self, proba: Any) -> Any:
        """Probabilities `[N, C]` for the target prior: an array of an array, a tensor of a tensor.

        Raises:
            ArgumentError: not probabilities, or of another number of classes.
        """
        source, target = self.source_prior.double().cpu().numpy(), self.target_prior.double().cpu().numpy()
        with np.errstate(divide="ignore"):
            shift = np.log(target) - np.log(source)
        values = as_proba(proba, len(source))
        zero = values == 0
        scores = log_of(values) + shift
        scores -= scores.max(1, keepdims=True)
        shifted = np.exp(scores, out=scores)
        # What was ruled out stays so, unless everything that was left does not occur any more.
        shifted[zero & (target * ~zero).any(1)[:, None]] = 0.0
        shifted /= shifted.sum(1, keepdims=True)
        return like(shifted, proba)

    @classmethod
    def em(
        cls, proba: Any, source_prior: Any, *, sample_weight: Any = None, iterations: int = 2000, tolerance: float = 1e-10
    ) -> PriorShift:
        """Estimate the target prior from probabilities of rows without labels, by maximum likelihood.

        Each step of EM is `q_y <- mean_i p'_q(y | x_i)`, from q = the source prior. The likelihood is concave in q, so this
        finds its maximum.

        Args:
            proba: calibrated probabilities `[N, C]` of rows as they occur where the model is used.
            source_prior: class shares `[C]` for which the probabilities were made.
            sample_weight: `[N]`, 0 or more.
            iterations: most steps of EM; where they do not suffice, `note` says so.
            tolerance: EM ends when a step changes no share by more than this.

        Raises:
            ArgumentError: not probabilities, shapes that do not fit, or a source share of 0.

        Reference:
            Saerens, Latinne, Decaestecker, Neural Computation 2002.

        Departures:
            Steps are extrapolated where that raises the likelihood (SQUAREM: Varadhan, Roland, Scandinavian Journal of
            Statistics 2008), which ends at the same maximum sooner. A share is at least 1e-12.

        Example:
            >>> rows = np.array([[0.9, 0.1]] * 3 + [[0.1, 0.9]])
            >>> PriorShift.em(rows, [0.5, 0.5]).target_prior.numpy().round(4)
            array([0.8125, 0.1875])
        """
        values = as_proba(proba)
        source = as_prior(source_prior, "source_prior", values.shape[1])
        as_number(iterations, "iterations", "1 or more", lambda value: value >= 1)
        as_number(tolerance, "tolerance", "a number, 0 or more", lambda value: value >= 0)
        weight = as_weight(sample_weight, len(values))
        found, change = _expectation_maximisation(values / source, weight / weight.sum(), source, iterations, tolerance)
        made = cls(source, _kept(found))
        if change > tolerance:
            made.note = f"EM was stopped after {iterations} steps, the last of which changed a share by {change:.2g}"
        return made

    @classmethod
    def bbse(
        cls,
        proba: Any,
        target: Any,
        proba_unlabelled: Any,
        *,
        source_prior: Any = None,
        kind: str = "hard",
        sample_weight: Any = None,
    ) -> PriorShift:
        """Estimate the target prior by black box shift estimation: it need not be calibrated, but must not be blind.

        With `A[i, y]` the mean of decision i over labelled rows of class y, and `mu_i` its mean over rows without labels,
        `A q = mu`. A solution with negative shares is replaced by the nearest point of the simplex, and `note` says so.

        Args:
            proba: probabilities `[M, C]` of labelled rows that were not trained on.
            target: their classes `[M]`; every class must occur, for nothing else tells how its rows are decided.
            proba_unlabelled: probabilities `[N, C]` of rows as they occur where the model is used.
            source_prior: class shares `[C]` for which the probabilities were made; the shares in `target` if not given.
            kind: `"hard"`, where the decision is the largest probability, as in the paper; `"soft"`, where it is the
                probabilities themselves.
            sample_weight: of the labelled rows `[M]`, 0 or more.

        Raises:
            ArgumentError: not probabilities, shapes that do not fit, or another kind.
            DataError: a class has no labelled rows, or the confusion matrix cannot be inverted (as where a class is never
                decided for): say `kind="soft"`, or use `em`.

        Reference:
            Lipton, Wang, Smola, ICML 2018.

        Departures:
            The paper inverts joint shares and estimates q / pi. Conditional shares give the same q and are conditioned
            better with rare classes. The projection on the simplex is ours, and so is the least share of 1e-12.

        Example:
            >>> labelled, free = np.eye(2)[[0, 0, 1, 0]], np.eye(2)[[0, 1, 1, 1]]
            >>> PriorShift.bbse(labelled, [0, 0, 1, 1], free).note
            'the estimated shares were negative for class 0 and were moved to the nearest that are not'
        """
        values = as_proba(proba)
        rows, classes = values.shape
        truth, weight = as_target(target, rows, classes), as_weight(sample_weight, rows)
        free = as_proba(proba_unlabelled, classes, "proba_unlabelled")
        if kind not in ("hard", "soft"):
            raise ArgumentError("kind", "'hard' or 'soft'", repr(kind))
        mass = mass_of(truth, weight, classes)
        need_all(mass, "target", "how such rows are decided cannot be known, so no share of theirs can be estimated")
        source = mass / mass.sum() if source_prior is None else as_prior(source_prior, "source_prior", classes)
        if kind == "hard":
            cell = values.argmax(1) * classes + truth
            confusion = np.bincount(cell, weights=weight, minlength=classes * classes).reshape(classes, classes)
            seen = np.bincount(free.argmax(1), minlength=classes) / len(free)
        else:
            confusion = np.stack([np.bincount(truth, weights=weight * column, minlength=classes) for column in values.T])
            seen = free.mean(0)
        found, note = _solved(confusion / mass, seen)
        made = cls(source, _kept(found))
        made.note = note
        return made

    def to_json(self) -> dict[str, Any]:
        """Plain values from which `from_json` makes the same again, exactly."""
        return {"source_prior": self.source_prior.tolist(), "target_prior": self.target_prior.tolist(), "note": self.note}

    @classmethod
    def from_json(cls, state: dict[str, Any]) -> PriorShift:
        """What `to_json` described."""
        made = cls(state["source_prior"], state["target_prior"])
        # As written: shares that are divided by their sum once more may differ in the last digit.
        made.source_prior.copy_(torch.tensor(state["source_prior"], dtype=torch.float64))
        made.target_prior.copy_(torch.tensor(state["target_prior"], dtype=torch.float64))
        made.note = str(state.get("note", ""))
        return made

    def extra_repr(self) -> str:
        """Shown by print(decision)."""
        shares = (", ".join(f"{share:.4g}" for share in prior.tolist()[:8]) for prior in (self.source_prior, self.target_prior))
        return "source_prior=[{}], target_prior=[{}]".format(*shares) + (f", note={self.note!r}" if self.note else "")


def on_simplex(point: Floats) -> Floats:
    """The nearest point whose entries are 0 or more and sum to 1.

    Reference:
        Duchi, Shalev-Shwartz, Singer, Chandra: Efficient projections onto the l1-ball for learning in high dimensions,
        ICML 2008.

    Example:
        >>> on_simplex(np.array([1.25, -0.5, 0.25]))
        array([1., 0., 0.])
    """
    falling = np.sort(point)[::-1]
    excess = (np.cumsum(falling) - 1) / np.arange(1, len(point) + 1)
    last = int(np.flatnonzero(falling > excess)[-1])
    result: Floats = np.maximum(point - excess[last], 0.0)
    return result


def _kept(shares: Floats) -> Floats:
    """Estimated shares, none of them 0."""
    kept = np.maximum(shares, LEAST_SHARE)
    result: Floats = kept / kept.sum()
    return result


def _solved(confusion: Floats, seen: Floats) -> tuple[Floats, str]:
    """Class shares that explain the decisions, and what is to be known about them."""
    sizes = np.linalg.svd(confusion, compute_uv=False)
    if sizes[-1] < SINGULAR * sizes[0]:
        never = np.flatnonzero(confusion.sum(1) == 0).tolist()
        why = f"class {', '.join(map(str, never[:8]))} is never decided for" if never else "some classes are decided alike"
        raise DataError(f"the confusion matrix of `proba` and `target` cannot be inverted ({why}): use kind='soft', or EM")
    solution = np.linalg.solve(confusion, seen)
    shares: Floats = (
        solution / solution.sum()
    )  # 1 but for rounding: the columns of the matrix sum to 1, and so do the decisions
    wrong = np.flatnonzero(shares < -1e-9).tolist()
    if not wrong:
        return np.maximum(shares, 0.0), ""
    named = ", ".join(map(str, wrong[:8]))
    return on_simplex(
        shares
    ), f"the estimated shares were negative for class {named} and were moved to the nearest that are not"


def _expectation_maximisation(
    ratio: Floats, weight: Floats, start: Floats, iterations: int, tolerance: float
) -> tuple[Floats, float]:
    """Shares q that maximise `sum_i w_i log sum_y ratio_iy q_y`, and the change of the last step of EM."""

    def step(q: Floats) -> tuple[Floats, float]:
        """The next shares, and the likelihood of these."""
        evidence = np.maximum(ratio @ q, 1e-300)
        after = q * (ratio.T @ (weight / evidence))
        return after / after.sum(), float(weight @ np.log(evidence))

    q, change = start, np.inf
    for _ in range(0, iterations, 3):
        first, _ = step(q)
        along = first - q
        change = float(np.abs(along).max())
        if change <= tolerance:
            return first, change
        second, likelihood = step(first)
        bend = (second - first) - along
        length = max(1.0, float(np.linalg.norm(along)) / max(float(np.linalg.norm(bend)), 1e-300))
        far = q + 2 * length * along + length**2 * bend
        q = second
        if np.isfinite(far).all() and far.min() > 0:
            beyond, reached = step(far / far.sum())
            q = beyond if reached >= likelihood else second
    return q, change
