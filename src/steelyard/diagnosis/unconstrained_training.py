"""Training the unconstrained-features model: to its optimum with a ridge, or by gradient descent with and without one."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from steelyard.core.counts import CountsLike
from steelyard.core.errors import ArgumentError, TrainingError
from steelyard.core.seeds import derive
from steelyard.diagnosis.simplex_encoding import Grams, class_sizes
from steelyard.diagnosis.unconstrained import Unconstrained
from steelyard.metrics.arrays import Floats

RESTARTS = 40
"""L-BFGS is started anew from where it stopped, at most so often: it stops early where the loss no longer changes visibly."""

STATIONARY = 1e-6
"""Largest gradient at the end, relative to the ridge's own pull."""


def train_unconstrained(
    class_counts: CountsLike, ridge: float, *, dim: int | None = None, shared: bool = False, seed: int = 0
) -> Unconstrained:
    """Train the unconstrained-features model to its optimum with L-BFGS, from random classifier and embeddings.

    Args:
        class_counts: rows of each class `[C]`, at least two classes; a class without rows is treated as one row.
        ridge: above 0.
        dim: dimensions of the embeddings, at least C - 1, below which the optimum is another; C if None.
        shared: one embedding for all rows of a class, weighted by its count. The optimum is the same and takes memory of
            order C^2 instead of C N: for large counts.
        seed: of the start.

    Returns:
        The state at the end; `means` are those of the rows' embeddings.

    Raises:
        ArgumentError: a value out of range.
        TrainingError: no optimum was reached.

    Reference:
        Thrampoulidis, Kini, Vakilian, Behnia. Imbalance Trouble: Revisiting Neural-Collapse Geometry. NeurIPS 2022.

    Departures:
        L-BFGS in double precision instead of SGD: it is the optimum that is asked for.

    Example:
        >>> from steelyard.diagnosis.unconstrained import unconstrained_step
        >>> trained, exact = train_unconstrained([20, 20, 4, 4], 0.01), unconstrained_step([20, 20, 4, 4], 0.01)
        >>> bool(abs(trained.objective - exact.objective) < 1e-10)
        True
    """
    from scipy.optimize import minimize

    problem = _Problem.of(class_counts, ridge, dim, shared)
    if ridge <= 0:
        raise ArgumentError("ridge", "above 0 (descend_unconstrained trains without)", ridge)
    place = problem.start(seed)
    for _ in range(RESTARTS):
        found = minimize(
            problem.objective,
            place,
            jac=True,
            method="L-BFGS-B",
            options={"maxcor": 30, "ftol": 0.0, "gtol": STATIONARY * ridge / 100, "maxiter": 20_000, "maxfun": 40_000},
        )
        place = found.x
        steepest = float(np.abs(found.jac).max())
        if steepest <= STATIONARY * ridge:
            return problem.state(place)
    raise TrainingError(f"no optimum for ridge {ridge}: the gradient is still {steepest:.1e}; use a larger ridge")


def descend_unconstrained(
    class_counts: CountsLike,
    ridge: float = 0.0,
    *,
    at: tuple[int, ...] = (10, 100, 1000),
    dim: int | None = None,
    shared: bool = False,
    seed: int = 0,
) -> Iterator[tuple[int, Unconstrained]]:
    """Train the unconstrained-features model by gradient descent, and show it at some steps.

    Without a ridge nothing stops the norms: the loss goes to 0, and what converges, slowly, are the angles. The step grows by
    a tenth after each step that lowers the objective and is halved after one that does not, so that it keeps up with a
    vanishing gradient, until the loss is too small for a float; from there on the state stays.

    Args:
        class_counts: rows of each class `[C]`, at least two classes; a class without rows is treated as one row.
        ridge: 0 or more.
        at: numbers of steps after which to show the state, rising.
        dim: dimensions of the embeddings, 1 or more; C if None.
        shared: one embedding for all rows of a class, weighted by its count.
        seed: of the start.

    Yields:
        Steps made, and the state.

    Raises:
        ArgumentError: a value out of range.

    Reference:
        Lyu, Li. Gradient descent maximizes the margin of homogeneous neural networks. ICLR 2020, whose steps, too, grow as
        the loss falls.

    Example:
        >>> [(steps, round(state.loss, 3)) for steps, state in descend_unconstrained([8, 2], at=(10, 20))][-1][0]
        20
    """
    problem = _Problem.of(class_counts, ridge, dim, shared)
    if not at or at[0] < 0 or any(later <= earlier for earlier, later in pairwise(at)):
        raise ArgumentError("at", "rising numbers of steps", at)
    place, rate = problem.start(seed), 1.0
    value, slope = problem.objective(place)
    done = 0
    for stop in at:
        while done < stop:
            tried = place - rate * slope
            with np.errstate(over="ignore", invalid="ignore"):  # a step that is far too long is not taken
                lower, steeper = problem.objective(tried)
            if np.isfinite(lower) and lower < value:
                place, value, slope, rate = tried, lower, steeper, rate * 1.1
            else:
                rate /= 2
            done += 1
        yield done, problem.state(place)


@dataclass(frozen=True)
class _Problem:
    """Rows with their class and weight, and how a flat vector holds classifier and embeddings."""

    target: Any
    weight: Floats
    classes: int
    dim: int
    ridge: float

    @classmethod
    def of(cls, class_counts: CountsLike, ridge: float, dim: int | None, shared: bool) -> _Problem:
        n = class_sizes(class_counts)
        if not (ridge >= 0 and np.isfinite(ridge)):
            raise ArgumentError("ridge", "0 or more", ridge)
        if dim is not None and dim < 1:
            raise ArgumentError("dim", "1 or more", dim)
        labels = np.arange(len(n))
        target = labels if shared else np.repeat(labels, n.astype(np.int64))
        weight = n if shared else np.ones(len(target))
        return cls(target, weight, len(n), len(n) if dim is None else dim, float(ridge))

    def start(self, seed: int) -> Floats:
        draw = np.random.default_rng(derive(seed, "unconstrained"))
        found: Floats = draw.normal(size=(self.classes + len(self.target)) * self.dim) / np.sqrt(self.dim)
        return found

    def parts(self, place: Floats) -> tuple[Floats, Floats]:
        """Classifier `[C, d]`, and embeddings `[M, d]` times the root of their weights, which makes the ridge even."""
        both = place.reshape(-1, self.dim)
        return both[: self.classes], both[self.classes :]

    def losses(self, logits: Floats) -> tuple[Floats, Floats]:
        """Cross-entropy `[M]`, exact where it is tiny, and probabilities less the target `[M, C]`."""
        rows = np.arange(len(self.target))
        margin = logits - logits[rows, self.target][:, None]
        margin[rows, self.target] = -np.inf
        top = np.maximum(margin.max(1), 0.0)
        others = np.exp(margin - top[:, None])
        total = others.sum(1)
        loss = np.where(top > 0, top + np.log(total + np.exp(-top)), np.log1p(total))
        slope = others / (total + np.exp(-top))[:, None]
        slope[rows, self.target] = -slope.sum(1)
        return loss, slope

    def objective(self, place: Floats) -> tuple[float, Floats]:
        """Objective and gradient."""
        classifier, scaled = self.parts(place)
        root = np.sqrt(self.weight)[:, None]
        loss, slope = self.losses((scaled / root) @ classifier.T)
        total = self.weight.sum()
        slope *= root / total
        gradient = np.concatenate([slope.T @ scaled, slope @ classifier])
        value = float(loss @ self.weight / total + self.ridge / 2 * (place @ place))
        return value, gradient.ravel() + self.ridge * place

    def state(self, place: Floats) -> Unconstrained:
        """What is left when rotations do not count."""
        classifier, scaled = self.parts(place)
        rows = scaled / np.sqrt(self.weight)[:, None]
        means = np.zeros((self.classes, self.dim))
        np.add.at(means, self.target, rows * self.weight[:, None])
        means /= np.bincount(self.target, self.weight)[:, None]
        loss, _ = self.losses(rows @ classifier.T)
        mean = float(loss @ self.weight / self.weight.sum())
        logits = classifier @ means.T
        grams = Grams(classifier @ classifier.T, means @ means.T, logits - logits.mean(0))
        return Unconstrained(grams, mean, mean + self.ridge / 2 * float(place @ place), self.ridge)
