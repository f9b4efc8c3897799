"""What kind of imbalance is this, and what will it cost? Ratio of classes, rows to features, separability."""

from __future__ import annotations

from typing import Any

import numpy as np

from steelyard.core.errors import ArgumentError
from steelyard.diagnosis._pairs import Ground, confusers, counts_of, distances, interval_kind, measure
from steelyard.diagnosis.findings import ClassFindings, Interval, Pair, Taxonomy
from steelyard.diagnosis.finite_sample import lda_equivalents
from steelyard.diagnosis.gaussian import delta_of_auroc, shifted
from steelyard.diagnosis.intrinsic import components, participation_ratio, two_nearest
from steelyard.diagnosis.prepare import Prepared, Within, prepare, within
from steelyard.diagnosis.regimes import regime
from steelyard.diagnosis.scores import Held, held_out
from steelyard.diagnosis.separability import IntervalKind, auroc_interval, eta_interval, multiclass_recalls
from steelyard.diagnosis.shrinkage import Shrinkage, shrunk
from steelyard.metrics.arrays import Floats
from steelyard.metrics.proportion import wilson

SHRINK_BELOW = 3
"""The covariance is shrunk with fewer degrees of freedom than this many times the features."""


def taxonomy(
    X: Any,
    y: Any,
    *,
    interval: IntervalKind = "auto",
    shrinkage: Shrinkage = "ledoit-wolf",
    level: float = 0.95,
    seed: int = 0,
) -> Taxonomy:
    """Measure the imbalance of data, and predict from it what a plain linear classifier will make of the minority.

    Three scales: `eta`, majority rows to one minority row; `kappa`, rows to one feature; `delta`, the Mahalanobis distance of
    the class means. With m = n - K < 3 d the covariance is shrunk; with m <= d + 1 the distance of the means cannot be known,
    and `delta` is the separability that shrinkage LDA reaches on rows held out.

    Args:
        X: numbers `[n, d]`, an array, tensor or data frame; encode categories and fill missing values first.
        y: labels `[n]`.
        interval: of `delta`: "noncentral-f" (exact for Gaussian classes), "jackknife" (for any), or "auto", which takes the
            first where the rows' kurtosis is that of Gaussian classes.
        shrinkage: "ledoit-wolf" or "oas".
        level: confidence of all intervals, between 0 and 1.
        seed: of the folds of the cross-validation.

    Returns:
        Taxonomy; `to_json()` writes it.

    Raises:
        ArgumentError: shapes that do not fit, values that are not numbers, or an unknown setting.
        DataError: missing values, one class only, every class with one row, or no column that varies.

    Reference:
        Bandolo Essomba and Fokoué, arXiv:2601.04149, 2026, for the three scales and the names of the regimes.

    Departures:
        Thresholds of the regimes, finite-sample formulas and estimators are ours: the paper's were not at hand. Its abstract's
        collapse rule is given as `abstract_ratio` and `abstract_collapse` and decides nothing.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> X = rng.normal(size=(1100, 5))
        >>> X[1000:, 0] += 2
        >>> found = taxonomy(X, np.repeat([0, 1], [1000, 100]))
        >>> found.eta, found.kappa, found.regime
        (10.0, 220.0, 'Extreme')
        >>> low, high = found.intervals["delta"]
        >>> low < 2 < high
        True
    """
    if interval not in ("auto", "noncentral-f", "jackknife"):
        raise ArgumentError("interval", "'auto', 'noncentral-f' or 'jackknife'", repr(interval))
    if shrinkage not in ("ledoit-wolf", "oas"):
        raise ArgumentError("shrinkage", "'ledoit-wolf' or 'oas'", repr(shrinkage))
    if not 0 < level < 1:
        raise ArgumentError("level", "between 0 and 1", level)
    prepared = prepare(X, y)
    found = within(prepared.rows, prepared.target, len(prepared.labels))
    ground, rho, ridge_dof = _ground(prepared, found, interval, shrinkage, level)
    counts = counts_of(prepared)
    odds = np.log(counts[None, :] / counts[:, None])
    z = ground.recalls_z(counts, odds)
    against = confusers(z)
    held = held_out(prepared, against, shrink=shrinkage if ground.shrunk else None, seed=seed)
    couples = [(1, 0)] if counts.size == 2 else [(i, int(j)) for i, j in enumerate(against)]
    pairs = measure(ground, couples, held)
    classes = _classes(ground, z, odds, pairs, held)
    dimensions = {
        "features": float(prepared.dim),
        "components_99": float(components(prepared.rows)),
        "participation_ratio": participation_ratio(found.residuals, found.dof),
        "two_nearest": two_nearest(prepared.rows, seed),
        "ridge_dof": ridge_dof,
    }
    return Taxonomy(
        n=int(counts.sum()),
        columns=prepared.columns,
        d=prepared.dim,
        labels=prepared.labels,
        counts=tuple(prepared.counts.tolist()),
        eta=float(counts.max() / counts.min()),
        eta_interval=eta_interval(counts.max(), counts.min(), level=level),
        kappa=float(counts.sum() / prepared.dim),
        kappas=_kappas(counts, prepared.dim, dimensions["participation_ratio"]),
        gini=_gini(counts),
        entropy=float(-(counts / counts.sum() * np.log(counts / counts.sum())).sum() / np.log(counts.size)),
        dimensions=dimensions,
        shrunk=ground.shrunk,
        shrinkage=rho,
        worst=int(np.argmin([one.recall for one in classes])),
        pairs=tuple(pairs),
        classes=classes,
        deltas=ground.delta_matrix(),
        notes=tuple(_notes(ground, pairs, classes)),
    )


def _ground(
    prepared: Prepared, found: Within, interval: IntervalKind, kind: Shrinkage, level: float
) -> tuple[Ground, float, float]:
    """What all pairs share, the intensity of the shrinkage, and the degrees of freedom that it leaves."""
    squares = distances(prepared, found)
    chosen = interval_kind(interval, prepared, found, squares)
    if squares is None or found.dof < SHRINK_BELOW * prepared.dim:
        rule = shrunk(found, counts_of(prepared), prepared.dim, kind)
        return Ground(prepared, found, rule.equivalents, True, squares, level, chosen), rule.rho, rule.ridge_dof
    # The closed form at the unbiased distances.
    plain = Ground(prepared, found, lda_equivalents(0.0, prepared.dim, found.dof), False, squares, level, chosen)
    equivalents = lda_equivalents(plain.delta_matrix(), prepared.dim, found.dof)
    return Ground(prepared, found, equivalents, False, squares, level, chosen), 0.0, float(prepared.dim)


def _classes(ground: Ground, z: Floats, odds: Floats, pairs: list[Pair], held: Held) -> tuple[ClassFindings, ...]:
    """Each class among all."""
    prepared, counts = ground.prepared, counts_of(ground.prepared)
    low, middle, high = multiclass_recalls(z)
    even = np.full(counts.size, counts.sum() / counts.size)
    balanced = multiclass_recalls(ground.recalls_z(even, np.zeros_like(odds)))[1]
    adjusted = multiclass_recalls(ground.adjusted_z(counts))[1]
    deltas = ground.delta_matrix()
    limits = multiclass_recalls(deltas / 2 - shifted(odds, deltas))
    against = confusers(z)
    if counts.size == 2:
        # One number for one thing: the pair's may rest on held-out scores.
        small = prepared.labels.index(pairs[0].minority)
        middle[[small, 1 - small]] = pairs[0].finite_sample.minority_recall, pairs[0].finite_sample.majority_recall
        low = high = middle
        adjusted[[small, 1 - small]] = pairs[0].adjusted.minority_recall, pairs[0].adjusted.majority_recall
        for limit in limits:
            limit[[small, 1 - small]] = pairs[0].population.minority_recall, pairs[0].population.majority_recall
    found = []
    for i, label in enumerate(prepared.labels):
        delta_rest, interval_rest = _rest(held, i, counts, ground.level)
        kind = pairs[0].regime if counts.size == 2 and label == pairs[0].minority else regime(middle[i], balanced[i])
        found.append(
            ClassFindings(
                label=label,
                count=int(counts[i]),
                eta=float(counts.max() / counts[i]),
                eta_rest=float((counts.sum() - counts[i]) / counts[i]),
                confuser=prepared.labels[against[i]],
                recall=float(middle[i]),
                recall_bounds=(float(low[i]), float(high[i])),
                recall_population=(float(limits[0][i]), float(limits[1][i]), float(limits[2][i])),
                recall_adjusted=float(adjusted[i]),
                recall_held_out=float(held.recall[i]),
                delta_rest=delta_rest,
                delta_rest_interval=interval_rest,
                regime=kind,
            )
        )
    return tuple(found)


def _rest(held: Held, i: int, counts: Floats, level: float) -> tuple[float, Interval]:
    """Separability of a class from the rest on rows held out, with its interval; NaN for a class with one row."""
    area, variance = float(held.rest.area[i]), float(held.rest.variance[i])
    if not np.isfinite(area):
        return float("nan"), (float("nan"), float("nan"))
    n1, n0 = int(counts[i]), int(counts.sum() - counts[i])
    low, high = auroc_interval(area, variance, n0, n1, level=level)
    edge = 1 / (2 * n0 * n1)
    point = float(delta_of_auroc(np.clip(area, edge, 1 - edge)))
    return point, (float(delta_of_auroc(low)), float(delta_of_auroc(high)))


def _kappas(counts: Floats, dim: int, effective: float) -> dict[str, float]:
    n, least = float(counts.sum()), float(counts.min())
    return {"n/d": n / dim, "n/d_eff": n / effective, "n_min/d": least / dim, "n_min/d_eff": least / effective}


def _gini(counts: Floats) -> float:
    """Mean absolute difference of counts over twice their mean."""
    ordered = np.sort(counts)
    rank = np.arange(1, ordered.size + 1)
    return float((2 * rank - ordered.size - 1) @ ordered / (ordered.size * ordered.sum()))


def _notes(ground: Ground, pairs: list[Pair], classes: tuple[ClassFindings, ...]) -> list[str]:
    """What was left out, and where measurements speak against the model."""
    prepared = ground.prepared
    said = []
    if prepared.constant:
        said.append(f"{prepared.constant} constant columns were left out")
    if prepared.duplicate:
        said.append(f"{prepared.duplicate} columns that repeat another one (but for unit or sign) were left out")
    if ground.squares is None:
        said.append(
            "the distance of the class means cannot be known (too few rows for so many features, or classes that are apart in "
            "a direction in which their rows do not vary); `delta` is what shrinkage LDA reaches on rows held out"
        )
    if any(np.isinf(pair.delta_interval[1]) for pair in pairs):
        said.append("no rows overlap on held-out scores for some classes: `delta` is then a lower bound")
    if any(pair.delta == 0 for pair in pairs):
        said.append("some classes have means that cannot be told apart (`delta` 0): no threshold or weight helps there")
    single = [one.label for one in classes if one.count == 1]
    if single:
        said.append(f"{len(single)} classes have one row, so nothing could be held out for them (first: {single[0]!r})")
    off = [one for one in classes if _off(one, 1 - 0.01 / len(classes))]
    if off:
        worst = max(off, key=lambda one: abs(one.recall - one.recall_held_out))
        said.append(
            f"the closed forms do not fit {len(off)} of {len(classes)} classes: for {worst.label!r} they predict recall "
            f"{worst.recall:.2f}, and on rows held out it is {worst.recall_held_out:.2f}; trust the latter"
        )
    return said


def _off(one: ClassFindings, level: float) -> bool:
    """Whether the prediction is outside the interval of the recall on rows held out, and not by a little."""
    if not np.isfinite(one.recall_held_out):
        return False
    low, high = wilson(one.recall_held_out * one.count, one.count, level=level)
    inside = float(low) <= one.recall_bounds[1] and one.recall_bounds[0] <= float(high)
    return not inside and abs(one.recall - one.recall_held_out) > 0.05
