"""The unconstrained-features model: what classifier and embeddings become when the network can put each row anywhere.

Minimises (1/N) sum of cross-entropies + (ridge/2) (||W||^2 + ||H||^2) over the classifier W `[C, d]` and the embedding of
every row H `[N, d]`, without bias. As the ridge goes to 0 the solution goes to SELI, but only as 1/log(1/ridge): compare a
trained network with the solution at its own ridge, not only with the limit. Where weight decays differ for W and H, the ridge
is their geometric mean.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from steelyard.core.counts import CountsLike
from steelyard.core.errors import ArgumentError
from steelyard.diagnosis.simplex_encoding import Grams, centring, class_sizes
from steelyard.metrics.arrays import Floats


@dataclass(frozen=True)
class Unconstrained:
    """A state of the unconstrained-features model.

    Args:
        grams: of classifier and class means; `product` holds the logits, column c of a row of class c, centred.
        loss: mean cross-entropy.
        objective: with the ridge's term.
        ridge: 0 where it is below the smallest float.
    """

    grams: Grams
    loss: float
    objective: float
    ridge: float


def collapse_ridge(class_counts: CountsLike) -> Floats:
    """Ridges from which on classes of equal counts have one classifier and one mean: sqrt(n_c) / N.

    Exact for every group of classes with the same count, whatever the others are: the smallest classes collapse first. For a
    class whose count no other class has, it says at which ridge a group of such classes would.

    Args:
        class_counts: rows of each class `[C]`, at least two classes; a class without rows is treated as one row.

    Returns:
        Thresholds `[C]`.

    Raises:
        ArgumentError: bad counts, or one class only.

    Reference:
        Minority collapse: Fang, He, Long, Su. Exploring deep neural networks via layer-peeled model. PNAS 2021.

    Departures:
        The threshold is derived here, from the optimality conditions of the nuclear norm.

    Example:
        >>> collapse_ridge([100] * 5 + [10] * 5)[[0, 9]].round(7).tolist()
        [0.0181818, 0.0057496]
    """
    n = class_sizes(class_counts)
    found: Floats = np.sqrt(n) / n.sum()
    return found


def unconstrained_step(
    class_counts: CountsLike, ridge: float | None = None, *, log_ridge: float | None = None
) -> Unconstrained:
    """The exact solution of the unconstrained-features model for STEP or equal counts, at any ridge.

    The logits are a P_A + b P_B + u v^T, with P the centrings within majority A and minority B, and u the direction between
    them. The optimality conditions of the nuclear norm give every probability in closed form from one angle t, the direction
    of the right singular vector (sqrt(n_A) v_A, sqrt(n_B) v_B) = r (cos t, sin t)::

        probability that a row of A gives to all of B:      ridge N sqrt(B / (k n_A)) cos t
        probability that it gives to each other class of A: ridge N (1 - sqrt(B/k) cos t) / (A sqrt(n_A))

    and the same with A and B, cos and sin exchanged; what is left is an equation in t. It is solved in logarithms, so the
    ridge may be far below the smallest float.

    Args:
        class_counts: rows of each class `[C]`, at least two classes, with at most two different counts; a class without rows
            is treated as one row.
        ridge: above 0.
        log_ridge: its natural logarithm instead.

    Returns:
        Grams, loss and objective, exact to rounding.

    Raises:
        ArgumentError: more than two different counts (`train_unconstrained` takes any), or not one positive ridge.

    Reference:
        Thrampoulidis, Kini, Vakilian, Behnia, NeurIPS 2022, for the model; Hong and Ling, arXiv:2309.09725, for the convex
        problem in the logits.

    Departures:
        The equation in one angle is derived here.

    Example:
        >>> import numpy as np
        >>> counts = [100] * 5 + [10] * 5
        >>> found = unconstrained_step(counts, 0.5 * collapse_ridge(counts)[9])
        >>> lengths = np.sqrt(np.diag(found.grams.classifier))
        >>> round(float(lengths[0] / lengths[9]), 4)
        2.177
    """
    n = class_sizes(class_counts)
    log_lam = _log_ridge(ridge, log_ridge) + float(np.log(n.sum()))
    sizes = np.unique(n)
    if len(sizes) > 2:
        raise ArgumentError("class_counts", "at most two different sizes (train_unconstrained takes any)", f"{len(sizes)}")
    large = n == sizes[-1]
    if len(sizes) == 1:  # any split of equal classes will do
        large = np.arange(len(n)) < (len(n) + 1) // 2
    sides = _sides(n, large, log_lam)
    angle = _angle(sides)
    if angle is None:
        parts = [side.alone() for side in sides]
    else:
        parts = [sides[0].at(float(np.log(np.cos(angle)))), sides[1].at(float(np.log(np.sin(angle))))]
    loss = sum(part.loss * side.count * side.n for part, side in zip(parts, sides, strict=True)) / n.sum()
    grams = _grams(n, large, sides, parts)
    lam = float(np.exp(log_lam - np.log(n.sum())))
    nuclear = float(np.trace(grams.classifier))
    return Unconstrained(grams, float(loss), float(loss + lam * nuclear), lam)


@dataclass(frozen=True)
class _Part:
    """What rows of one side do: margin inside the side, coefficient of the direction between, loss."""

    inside: float
    between: float
    loss: float


@dataclass(frozen=True)
class _Side:
    """Majority or minority: `count` classes of n rows, `others` classes on the other side, `log_lam` = log(ridge N)."""

    n: float
    count: int
    others: int
    log_lam: float

    @property
    def pull(self) -> float:
        """sqrt(B/k) for side A: how far the direction between is along this side's own classes."""
        return float(np.sqrt(self.others / (self.count + self.others)))

    @property
    def log_most(self) -> float:
        """Logarithm of the probability given to the other side, without the factor cos t."""
        return self.log_lam + float(np.log(self.pull) - np.log(self.n) / 2)

    def at(self, log_cosine: float) -> _Part:
        """Where the direction between has a share in this side."""
        log_out = self.log_most + log_cosine
        if log_out >= 0:
            return _Part(0.0, -np.inf, np.inf)
        out = np.exp(log_out)
        # Each other class of this side, were the margin inside above 0.
        log_next = self.log_lam - np.log(self.n) / 2 + np.log1p(-self.pull * np.exp(log_cosine)) - np.log(self.count)
        own = 1 - out - (self.count - 1) * np.exp(log_next)
        collapsed = self.count > 1 and own <= np.exp(log_next)
        if collapsed:
            own = (1 - out) / self.count
        log_own = float(np.log1p(own - 1))
        inside = 0.0 if collapsed or self.count == 1 else log_own - log_next
        margin = log_own - log_out + np.log(self.others)
        between = (margin - inside * (1 - 1 / self.count)) * self.count * self.pull
        return _Part(float(inside), float(between), -log_own)

    def alone(self) -> _Part:
        """Where the direction between is zero: only margins inside a side are left."""
        from scipy.optimize import brentq

        k, m = self.count + self.others, self.count

        def excess(a: float) -> float:
            rest = (m - 1) * np.exp(-a) + self.others * np.exp(-a * (1 - 1 / m))
            log_total = np.log1p(rest)
            pull = m * np.exp(-a - log_total) + self.others * np.exp(-a * (1 - 1 / m) - log_total)
            return float(pull * np.sqrt(self.n) - np.exp(self.log_lam))

        if m == 1 or excess(0.0) <= 0:
            return _Part(0.0, 0.0, float(np.log(k)))
        top = 1.0
        while excess(top) > 0:
            top *= 2
        a = float(brentq(excess, 0.0, top, xtol=1e-15, rtol=1e-15))
        return _Part(a, 0.0, float(np.log1p((m - 1) * np.exp(-a) + self.others * np.exp(-a * (1 - 1 / m)))))


def _sides(n: Floats, large: np.ndarray, log_lam: float) -> tuple[_Side, _Side]:
    first, second = int(large.sum()), int((~large).sum())
    return _Side(float(n[large][0]), first, second, log_lam), _Side(float(n[~large][0]), second, first, log_lam)


def _angle(sides: tuple[_Side, _Side]) -> float | None:
    """The angle t in (0, pi/2); None where the direction between is zero."""
    from scipy.optimize import brentq

    # With nothing between, the probability given to the other side, over what the ridge could hold back.
    held = 0.0
    for side in sides:
        a = side.alone().inside
        log_out = np.log(side.others) - a * (1 - 1 / side.count)
        log_out -= np.log1p((side.count - 1) * np.exp(-a) + side.others * np.exp(-a * (1 - 1 / side.count)))
        held += float(np.exp(min(2 * (log_out - side.log_most), 1.0)))
    if held <= 1:
        return None

    def uneven(t: float) -> float:
        cosine, sine = np.cos(t), np.sin(t)
        first, second = sides[0].at(float(np.log(cosine))).between, sides[1].at(float(np.log(sine))).between
        if first == -np.inf or second == -np.inf:
            return 1.0 if first == -np.inf else -1.0
        return float(np.sqrt(sides[1].n) * second * cosine - np.sqrt(sides[0].n) * first * sine)

    return float(brentq(uneven, 1e-12, np.pi / 2 - 1e-12, xtol=1e-16, rtol=1e-15, maxiter=500))


def _grams(n: Floats, large: np.ndarray, sides: tuple[_Side, _Side], parts: list[_Part]) -> Grams:
    """Gram matrices from the singular values and vectors of the logits times sqrt(counts), which are known."""
    k = len(n)
    u, v = np.zeros(k), np.zeros(k)
    logits, classifier, means = np.zeros((3, k, k))
    for side, part, members, sign in zip(sides, parts, (large, ~large), (1.0, -1.0), strict=True):
        u[members] = sign * side.pull / np.sqrt(side.count)
        v[members] = sign * part.between / np.sqrt(side.count)
        block = np.ix_(members, members)
        logits[block] = part.inside * centring(side.count)
        classifier[block] = logits[block] * np.sqrt(side.n)
        means[block] = logits[block] / np.sqrt(side.n)
    length = float(np.linalg.norm(v * np.sqrt(n)))
    if length > 0:
        classifier += length * np.outer(u, u)
        means += np.outer(v, v) / length
    return Grams(classifier, means, logits + np.outer(u, v))


@dataclass(frozen=True)
class Rectified:
    """The unconstrained-features model with embeddings that are not negative.

    Args:
        state: Grams, loss and objective; class means are orthogonal.
        margins: logit of the own class less that of each other one `[C]`; 0 for a class that has vanished.
    """

    state: Unconstrained
    margins: Floats


def unconstrained_relu(class_counts: CountsLike, ridge: float) -> Rectified:
    """The exact solution of the unconstrained-features model with features after a ReLU, for any counts.

        margin_c = max(0, log((C-1)(1/s_c - 1))),   s_c = N ridge sqrt((C-1)/(C n_c))
        |mean_c|^2 = margin_c sqrt((C-1)/(C n_c)),  means of different classes orthogonal

    A class vanishes from the features where s_c >= (C-1)/C.

    Args:
        class_counts: rows of each class `[C]`, at least two classes; a class without rows is treated as one row.
        ridge: above 0; the geometric mean of the weight decays of classifier and features.

    Raises:
        ArgumentError: bad counts, one class only, or a ridge that is not above 0.

    Reference:
        Dang, Tran, Nguyen, Ho. Neural collapse for cross-entropy class-imbalanced learning with unconstrained ReLU features
        model. ICML 2024, whose abstract says that the means are orthogonal and as long as their counts make them.

    Departures:
        The full text was not at hand; the formulas are derived here.

    Example:
        >>> found = unconstrained_relu([100, 50, 20, 10], 0.01)
        >>> round(found.state.objective, 8), found.margins.round(5).tolist()
        (0.73235392, [2.78779, 2.36163, 1.72395, 1.12681])
    """
    n = class_sizes(class_counts)
    lam, k = float(np.exp(_log_ridge(ridge, None))), len(n)
    factor = np.sqrt((k - 1) / (k * n))
    held = n.sum() * lam * factor
    margins = np.log(np.maximum((k - 1) * (1 / np.minimum(held, 1.0) - 1), 1.0))
    lengths = margins * factor
    loss = float(n @ np.log1p((k - 1) * np.exp(-margins)) / n.sum())
    with np.errstate(invalid="ignore", divide="ignore"):
        rise = np.where(lengths > 0, margins**2 / lengths, 0.0)
    classifier = (centring(k) * rise) @ centring(k)
    grams = Grams(classifier, np.diag(lengths), centring(k) * margins)
    objective = loss + lam * (float(np.trace(classifier)) + float(n @ lengths)) / 2
    return Rectified(Unconstrained(grams, loss, objective, lam), margins)


def _log_ridge(ridge: float | None, log_ridge: float | None) -> float:
    if (ridge is None) == (log_ridge is None):
        raise ArgumentError("ridge", "given, or `log_ridge` instead of it", f"{ridge} and log_ridge {log_ridge}")
    if log_ridge is not None:
        if not np.isfinite(log_ridge):
            raise ArgumentError("log_ridge", "a finite number", log_ridge)
        return float(log_ridge)
    if ridge is None or not (ridge > 0 and np.isfinite(ridge)):
        raise ArgumentError("ridge", "a number above 0", ridge)
    return float(np.log(ridge))
