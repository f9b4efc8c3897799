"""What imbalance costs with the rows at hand: recalls of linear discriminant analysis whose means and covariance are estimated.

Rule with ridge `lam` (0 is plain LDA): w = (S + lam I)^-1 (minority mean - majority mean), decide for the minority where
w . (x - midpoint) > log(n0 / n1). In high dimension four numbers say everything, whatever the rule's dimension:

    mean1 = (A + B/n0 - B/n1) / 2        mean0 = -(A + B/n1 - B/n0) / 2        sd = sqrt(C + D (1/n0 + 1/n1))
    minority recall = Phi((mean1 - t) / sd)        majority recall = Phi((t - mean0) / sd)        t = log(n0 / n1)

n0 >= n1 are the rows of the two classes, d the features that the rule is given, m = n - (number of classes).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from steelyard.core.errors import ArgumentError
from steelyard.diagnosis._normal import cdf
from steelyard.diagnosis.gaussian import bayes, shifted
from steelyard.metrics.arrays import Floats, as_array


@dataclass(frozen=True)
class Recalls:
    """Recalls of a rule and what they follow from, each of the broadcast shape.

    Args:
        minority: share of minority rows that are found.
        majority: share of majority rows that are left alone.
        delta_eff: separability of the rule's scores; its area under the ROC curve is Phi(delta_eff / sqrt 2).
        mean1: mean of the score in the minority.
        mean0: mean of the score in the majority.
        sd: standard deviation of the score in either class.
    """

    minority: Floats
    majority: Floats
    delta_eff: Floats
    mean1: Floats
    mean0: Floats
    sd: Floats


@dataclass(frozen=True)
class Equivalents:
    """The four numbers that determine the recalls of (ridge) LDA in high dimension.

    Args:
        a: what separates the mean scores.
        b: what the noise of a class mean adds to the score of its own class, times the class's rows: the count bias.
        c: variance of the score that stays with infinitely many rows.
        d: variance of the score due to the noise of a class mean, times the class's rows.
    """

    a: Floats
    b: Floats
    c: Floats
    d: Floats

    def recalls(self, n0: Any, n1: Any, *, threshold: Any = None, corrected: bool = False) -> Recalls:
        """Recalls with `n0` majority and `n1` minority rows.

        Args:
            n0: majority rows, any shape that broadcasts.
            n1: minority rows.
            threshold: t; log(n0 / n1) if None, 0 for a rule that takes the classes as equally frequent.
            corrected: whether (B/2)(1/n1 - 1/n0) is added to the score, which removes the count bias.
        """
        one0, one1 = 1 / _rows(n0, "n0"), 1 / _rows(n1, "n1")
        t = np.log(one1 / one0) if threshold is None else np.asarray(threshold, dtype=np.float64)
        bias = self.b * (one0 - one1) / 2 * (not corrected)
        mean1, mean0 = self.a / 2 + bias, bias - self.a / 2
        sd = np.sqrt(np.maximum(self.c + self.d * (one0 + one1), 0.0))
        return Recalls(
            minority=cdf(shifted(mean1 - t, sd)),
            majority=cdf(shifted(t - mean0, sd)),
            delta_eff=shifted(self.a, sd)[()],
            mean1=np.asarray(mean1)[()],
            mean0=np.asarray(mean0)[()],
            sd=np.asarray(sd)[()],
        )


def lda_equivalents(delta: Any, dim: Any, dof: Any) -> Equivalents:
    """Plain LDA with a pooled covariance of `dof` degrees of freedom.

        y = d/m;   A = delta^2/(1-y),  B = d/(1-y),  C = delta^2/(1-y)^3,  D = d/(1-y)^3

    Args:
        delta: Mahalanobis distance of the class means, 0 or more.
        dim: features d that the rule is given; any shape that broadcasts.
        dof: degrees of freedom m of the covariance, above d.

    Raises:
        ArgumentError: a negative distance, or as many features as degrees of freedom.

    Reference:
        The regime of as many features as rows: Wang and Jiang, Electronic Journal of Statistics 12(2), 2018. Derived
        here again.

    Example:
        >>> found = lda_equivalents(delta=2, dim=50, dof=498).recalls(n0=450, n1=50)
        >>> round(float(found.minority), 4), round(float(found.majority), 4), round(float(found.delta_eff), 4)
        (0.4299, 0.9682, 1.6781)
    """
    distance, width, freedom = (np.asarray(value, dtype=np.float64) for value in (delta, dim, dof))
    if not (distance >= 0).all():
        raise ArgumentError("delta", "a distance, 0 or more", delta)
    if not ((width >= 1) & (width < freedom)).all():
        expected = "features, at least 1 and fewer than the rows less the classes (see `ridge_equivalents`)"
        raise ArgumentError("dim", expected, f"{dim} with {dof} degrees of freedom")
    keep = 1 - width / freedom
    return Equivalents(distance**2 / keep, width / keep, distance**2 / keep**3, width / keep**3)


def ridge_equivalents(eigenvalues: Any, coordinates: Any, dof: int, lam: float) -> Equivalents:
    """LDA with the ridge `lam`, for any covariance and any number of features, also more than rows.

        t solves t (lam + (1/m) sum w/(1 + t w)) = 1;   q = 1/(lam (1 + t w));   v = w q^2 / (1 - (1/m) sum (t w/(1 + t w))^2)
        A = sum a^2 q,   B = sum w q,   C = sum a^2 v,   D = sum w v

    Args:
        eigenvalues: w of the true covariance `[d]`, 0 or more.
        coordinates: a of the difference of the class means in its eigenvectors `[d]`.
        dof: degrees of freedom m of the estimated covariance, at least 1.
        lam: ridge, above 0. Ledoit-Wolf's (1-rho) S + rho mu I points where lam = rho mu / (1-rho) does.

    Raises:
        ArgumentError: shapes that do not fit, negative eigenvalues, or a ridge that is not above 0.

    Example:
        >>> isotropic = ridge_equivalents([1.0] * 400, [3.0] + [0.0] * 399, dof=198, lam=1.0)
        >>> plain, corrected = isotropic.recalls(180, 20), isotropic.recalls(180, 20, corrected=True)
        >>> round(float(plain.minority), 4), round(float(corrected.minority), 4)
        (0.1112, 0.5901)
    """
    from scipy.optimize import brentq

    w, a = as_array(eigenvalues).astype(np.float64), as_array(coordinates).astype(np.float64)
    if w.ndim != 1 or w.shape != a.shape or not w.size or (w < 0).any():
        raise ArgumentError("eigenvalues", "as many as `coordinates`, 0 or more", f"shapes {w.shape} and {a.shape}")
    if not (lam > 0 and np.isfinite(lam)):
        raise ArgumentError("lam", "a finite ridge above 0 (see `lda_equivalents` for none)", lam)
    if dof < 1:
        raise ArgumentError("dof", "at least 1", dof)
    t = brentq(lambda t: t * (lam + (w / (1 + t * w)).sum() / dof) - 1, 0.0, 1 / lam, xtol=1e-300, rtol=1e-14)
    q = 1 / (lam * (1 + t * w))
    v = w * q**2 / (1 - np.square(t * w / (1 + t * w)).sum() / dof)
    return Equivalents(*(np.asarray(total) for total in ((a**2 * q).sum(), (w * q).sum(), (a**2 * v).sum(), (w * v).sum())))


def recall_at(eta: Any, kappa: Any, delta: Any) -> Floats:
    """Minority recall of plain LDA as a function of the three scales alone, for so many rows that m = n.

        Phi( sqrt(1-1/kappa) [delta^2 - (eta-1/eta)/kappa - 2 (1-1/kappa) log eta] / (2 sqrt(delta^2 + (1+eta)^2/(eta kappa))) )

    Args:
        eta: majority rows to one minority row, above 0.
        kappa: rows to one feature, above 1.
        delta: Mahalanobis distance of the class means, 0 or more.

    Raises:
        ArgumentError: `kappa` is not above 1, or the others are out of range.

    Example:
        >>> recall_at([1, 10, 100], 5, 2).round(4).tolist()
        [0.7929, 0.3845, 0.0172]
    """
    eta, kappa, delta = _scales(eta, kappa, delta)
    # One feature and kappa rows stand for the limit: only the ratios enter.
    return lda_equivalents(delta, np.ones_like(kappa), kappa).recalls(kappa * eta / (1 + eta), kappa / (1 + eta)).minority


def effective_delta(eta: Any, kappa: Any, delta: Any) -> Floats:
    """Separability that plain LDA reaches, as a function of the three scales alone.

        delta * sqrt(1 - 1/kappa) * sqrt(delta^2 / (delta^2 + (1+eta)^2/(eta kappa)))

    For large `eta` this depends on the minority rows to one feature, kappa/(1+eta), not on kappa.

    Args:
        eta: majority rows to one minority row, above 0.
        kappa: rows to one feature, above 1.
        delta: Mahalanobis distance of the class means, 0 or more.

    Example:
        >>> effective_delta([1, 10, 100], 5, 2).round(6).tolist()
        [1.632993, 1.412009, 0.724256]
    """
    eta, kappa, delta = _scales(eta, kappa, delta)
    return lda_equivalents(delta, np.ones_like(kappa), kappa).recalls(kappa * eta / (1 + eta), kappa / (1 + eta)).delta_eff


def intrinsic_delta(delta_eff: Any, n0: Any, n1: Any, dim: Any, dof: Any) -> Floats:
    """The distance of the class means behind a separability that plain LDA reached: the inverse of `lda_equivalents`.

        u = delta_eff^2/(1-y),  J = d/n0 + d/n1;   delta^2 = (u + sqrt(u^2 + 4 u J)) / 2

    Args:
        delta_eff: separability of the scores on rows not trained on, 0 or more.
        n0: majority rows trained on.
        n1: minority rows trained on.
        dim: features d.
        dof: degrees of freedom m of the covariance, above d.

    Example:
        >>> round(float(intrinsic_delta(1.6781341, 450, 50, 50, 498)), 5)
        2.0
    """
    width, freedom = np.asarray(dim, dtype=np.float64), np.asarray(dof, dtype=np.float64)
    if not (width < freedom).all():
        raise ArgumentError("dim", "fewer features than degrees of freedom", f"{dim} with {dof}")
    u = np.square(np.asarray(delta_eff, dtype=np.float64)) / (1 - width / freedom)
    j = width / _rows(n0, "n0") + width / _rows(n1, "n1")
    return np.asarray(np.sqrt((u + np.sqrt(u**2 + 4 * u * j)) / 2), dtype=np.float64)[()]


def collapse_eta(kappa: float, delta: float) -> float:
    """Ratio of classes above which plain LDA finds less than half of the minority.

    It solves 2 (1 - 1/kappa) log eta + (eta - 1/eta)/kappa = delta^2, and tends to exp(delta^2/2) for large kappa.

    Args:
        kappa: rows to one feature, above 1.
        delta: Mahalanobis distance of the class means, 0 or more.

    Example:
        >>> round(collapse_eta(kappa=5, delta=2), 3), round(collapse_eta(kappa=10, delta=3), 3)
        (5.929, 29.261)
    """
    from scipy.optimize import brentq

    _scales(1.0, kappa, delta)
    keep = 1 - 1 / kappa

    def above(log_eta: float) -> float:
        return float(2 * keep * log_eta + 2 * np.sinh(log_eta) / kappa - delta**2)

    # 2 log eta <= 2 keep log eta + 2 sinh(log eta)/kappa, so the root is not above the population's.
    return float(np.exp(brentq(above, 0.0, delta**2 / 2 + 1e-9, xtol=1e-14)))


@dataclass(frozen=True)
class AbstractRule:
    """The rule in the abstract of arXiv:2601.04149, "minority recall collapses once log(eta) exceeds delta * sqrt(kappa)".

    Args:
        ratio: log(eta) / (delta * sqrt(kappa)).
        collapses: whether the ratio is above 1.
    """

    ratio: Floats
    collapses: Any


def abstract_rule(eta: Any, kappa: Any, delta: Any) -> AbstractRule:
    """The abstract's collapse rule, kept as a label beside our own prediction; do not decide by it.

    Args:
        eta: majority rows to one minority row, at least 1.
        kappa: rows to one feature, above 0.
        delta: Mahalanobis distance of the class means, 0 or more.

    Reference:
        Bandolo Essomba and Fokoué, arXiv:2601.04149, 2026 (abstract).

    Departures:
        As a general law it does not hold: it predicts no collapse for many rows, where the Bayes rule itself collapses at
        exp(delta^2/2). It is never used for a regime here; `collapse_eta` is.

    Example:
        >>> bool(abstract_rule(eta=50, kappa=5, delta=2).collapses), collapse_eta(kappa=5, delta=2) < 50
        (False, True)
    """
    log_eta = np.log(_rows(eta, "eta"))
    ratio = shifted(log_eta, np.asarray(delta, dtype=np.float64) * np.sqrt(_rows(kappa, "kappa")))[()]
    return AbstractRule(ratio, ratio > 1)


@dataclass(frozen=True)
class LostRecall:
    """Where the minority's recall went, from what balanced and endless data would give to what LDA gets from these rows.

    `ideal - recall` is exactly `prior + count_bias + estimation + interaction`, and `curable + estimation`.

    Args:
        ideal: Phi(delta/2), equally frequent classes and endless data.
        recall: of plain LDA with the rows at hand.
        prior: lost to the ratio of classes with endless data; logit adjustment or a threshold brings it back.
        count_bias: lost to the bias of the intercept by unequal counts; a corrected intercept brings it back.
        estimation: lost to estimated means and covariance; no weight and no threshold brings it back: more rows, fewer or
            better features or regularisation do.
        interaction: what prior and estimation lose together beyond their sum.
        curable: what adjustment and corrected intercept bring back with these rows.
    """

    ideal: float
    recall: float
    prior: float
    count_bias: float
    estimation: float
    interaction: float
    curable: float


def lost_recall(delta: float, n0: float, n1: float, dim: float, dof: float | None = None) -> LostRecall:
    """Split the minority recall that plain LDA loses into what can be cured and what cannot.

    Args:
        delta: Mahalanobis distance of the class means, 0 or more.
        n0: majority rows.
        n1: minority rows.
        dim: features d.
        dof: degrees of freedom m of the covariance; n0 + n1 - 2 if None.

    Example:
        >>> parts = lost_recall(delta=2, n0=450, n1=50, dim=50)
        >>> round(parts.prior, 4), round(parts.count_bias, 4), round(parts.estimation, 4)
        (0.3806, 0.074, 0.0421)
    """
    found = lda_equivalents(delta, dim, n0 + n1 - 2 if dof is None else dof)
    return split(found, n0, n1, ideal=float(cdf(delta / 2)), endless=float(bayes(n0 / n1, delta).minority_recall))


def split(found: Equivalents, n0: float, n1: float, *, ideal: float, endless: float) -> LostRecall:
    """The parts of `lost_recall` for any rule with known equivalents.

    Args:
        found: of the rule.
        n0: majority rows.
        n1: minority rows.
        ideal: recall with equally frequent classes and endless data.
        endless: recall at this ratio with endless data.
    """
    plain, corrected = found.recalls(n0, n1), found.recalls(n0, n1, corrected=True)
    reached = float(cdf(plain.delta_eff / 2))
    recall, count_bias = float(plain.minority), float(corrected.minority - plain.minority)
    prior, estimation = ideal - endless, ideal - reached
    return LostRecall(
        ideal=ideal,
        recall=recall,
        prior=prior,
        count_bias=count_bias,
        estimation=estimation,
        interaction=ideal - recall - prior - count_bias - estimation,
        curable=reached - recall,
    )


def _rows(value: Any, argument: str) -> Floats:
    values = np.asarray(value, dtype=np.float64)
    if not ((values > 0) & np.isfinite(values)).all():
        raise ArgumentError(argument, "above 0", value)
    return values


def _scales(eta: Any, kappa: Any, delta: Any) -> tuple[Floats, Floats, Floats]:
    ratio, samples, distance = _rows(eta, "eta"), _rows(kappa, "kappa"), np.asarray(delta, dtype=np.float64)
    if not (samples > 1).all():
        raise ArgumentError("kappa", "rows to one feature, above 1 (plain LDA needs more rows than features)", kappa)
    if not (distance >= 0).all():
        raise ArgumentError("delta", "a distance, 0 or more", delta)
    return ratio, samples, distance
