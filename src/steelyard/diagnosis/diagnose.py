"""All that `steelyard diagnose` finds out about data, as plain values for a terminal, a JSON file and a page."""

from __future__ import annotations

import time
from typing import Any

import numpy as np

from steelyard.diagnosis.advice import advise, measured
from steelyard.diagnosis.duplicates import Duplicates, duplicates
from steelyard.diagnosis.findings import Pair, Taxonomy
from steelyard.diagnosis.finite_sample import collapse_eta
from steelyard.diagnosis.gaussian import bayes
from steelyard.diagnosis.noise import OVERLAP, label_noise
from steelyard.diagnosis.plain import plain, rounded
from steelyard.diagnosis.ratios import measured_ratios
from steelyard.diagnosis.regime_map import regime_map
from steelyard.diagnosis.sources import Source
from steelyard.diagnosis.taxonomy import taxonomy

POINTS = 61
"""Ratios at which the curves are drawn."""

MOST_ETA = 1000.0
"""The curves reach to this ratio, or to ten times that of the data."""

Json = dict[str, Any]


def diagnose(source: Source, *, metric: str = "balanced_accuracy", noise: bool = False, seed: int = 0) -> Json:
    """Measure data, predict what imbalance costs, and say what to try.

    Args:
        source: the rows, of `array_source`, `read_table_source` or `read_array_source`.
        metric: what the model will be judged by; see `advise`.
        noise: whether to estimate how many labels are wrong, which trains classifiers and needs cleanlab.
        seed: of the cross-validation.

    Returns:
        JSON values: "data", "taxonomy" (`Taxonomy.to_dict`), "classes" (a line each, the lowest predicted recall first),
        "lost", "curve" and "map" (what the pictures show), "noise" (`LabelNoise.to_dict`, or None), "duplicates"
        (`Duplicates.to_dict`), "advice" (`Advice.to_dict`), "notes", "seconds".

    Raises:
        SteelyardError: nothing can be measured; the message says why.

    Example:
        >>> from steelyard.diagnosis.sources import array_source
        >>> rng = np.random.default_rng(0)
        >>> X, y = rng.normal(size=(330, 4)), np.repeat([0, 1], [300, 30])
        >>> X[300:] += 1
        >>> facts = diagnose(array_source("mine", X, y))
        >>> facts["classes"][0]["name"], facts["advice"]["methods"][0]["method"] != "ce"
        ('1', True)
    """
    started = time.perf_counter()
    labels = np.asarray(source.class_names)[source.y]
    repeated = duplicates(source.X, labels, near=None, examples=0, seed=seed)
    found = taxonomy(source.X, labels, seed=seed)
    wrong = label_noise(source.X, labels, seed=seed) if noise else None
    share = wrong.share if wrong is not None and wrong.balanced_accuracy >= OVERLAP else None
    advice = advise(measured(found, noise=share), metric=metric)
    return {
        "data": _data(source, found),
        "taxonomy": found.to_dict(),
        "classes": _classes(source, found),
        "lost": _lost(found),
        "curve": _curve(found) | {"measured": _measured(source, found, seed)},
        "map": _map(found),
        "noise": None if wrong is None else wrong.to_dict(),
        "duplicates": repeated.to_dict(),
        "advice": advice.to_dict(),
        "notes": [*source.notes, *_repeats(repeated), *found.notes, *(() if wrong is None else wrong.notes)],
        "seconds": time.perf_counter() - started,
    }


def _repeats(found: Duplicates) -> list[str]:
    exact = found.exact
    said = []
    if exact.groups:
        said.append(f"{exact.rows:,} rows are the same as another one in all features: keep such rows in one split")
    if exact.across_classes:
        said.append(f"{exact.rows_across_classes:,} rows are the same as one of another class, which no model can tell apart")
    return said


def _data(source: Source, found: Taxonomy) -> Json:
    return {
        "name": source.name,
        "kind": source.kind,
        "target": source.target,
        "rows": sum(source.counts),
        "measured": found.n,
        "features": found.columns,
        "used": found.d,
        "class_names": list(source.class_names),
        "counts": list(source.counts),
        "eta": max(source.counts) / min(source.counts),
        "columns": [dict(line) for line in source.columns],
    }


def _pair(found: Taxonomy, number: int) -> Pair:
    """A class with its confuser."""
    return found.pairs[number if len(found.pairs) > 1 else 0]


def _classes(source: Source, found: Taxonomy) -> list[Json]:
    """A line a class, the lowest predicted recall first."""
    rows = dict(zip(source.class_names, source.counts, strict=True))
    lines: list[Json] = []
    for number, one in enumerate(found.classes):
        pair = _pair(found, number)
        lines.append(
            {
                "name": str(one.label),
                "rows": rows[one.label],
                "eta": max(source.counts) / rows[one.label],
                "confuser": str(one.confuser),
                "delta": pair.delta,
                "delta_low": pair.delta_interval[0],
                "delta_high": pair.delta_interval[1],
                "recall": one.recall,
                "recall_low": one.recall_bounds[0],
                "recall_high": one.recall_bounds[1],
                "adjusted": one.recall_adjusted,
                "limit": one.recall_population[1],
                "held_out": one.recall_held_out,
                "regime": one.regime,
            }
        )
    return [_finite(line) for line in sorted(lines, key=lambda line: float(line["recall"]))]


def _lost(found: Taxonomy) -> Json:
    """Where the recall of the class that is worst off went, and who it is."""
    pair = found.pair
    parts = {name: getattr(pair.lost, name) for name in ("ideal", "recall", "prior", "count_bias", "estimation", "curable")}
    return _finite(parts | {"minority": str(pair.minority), "majority": str(pair.majority)})


def _curve(found: Taxonomy) -> Json:
    """Recall of the minority of the worst pair if only the ratio changed: the same rows in all, separability and features."""
    pair = found.pair
    n = sum(pair.rows)
    most = min(max(MOST_ETA, 10 * pair.eta), max(n / 2 - 1, pair.eta))
    eta = np.unique(np.append(np.geomspace(1.0, max(most, 1.01), POINTS), pair.eta))
    few, many = n / (1 + eta), n * eta / (1 + eta)
    distance = min(pair.delta, 60.0)
    plain = pair.equivalents.recalls(many, few)
    adjusted = pair.equivalents.recalls(many, few, threshold=0.0, corrected=True)
    low, high = pair.finite_sample.minority_interval
    point = {
        "eta": pair.eta,
        "recall": pair.finite_sample.minority_recall,
        "low": low,
        "high": high,
        "adjusted": pair.adjusted.minority_recall,
        "held_out": found.classes[found.labels.index(pair.minority)].recall_held_out if len(found.labels) == 2 else None,
    }
    return {
        "minority": str(pair.minority),
        "majority": str(pair.majority),
        "eta": rounded(eta),
        "limit": rounded(bayes(eta, distance).minority_recall),
        "recall": rounded(plain.minority),
        "adjusted": rounded(adjusted.minority),
        "point": _finite(point),
    }


def _measured(source: Source, found: Taxonomy, seed: int) -> Json | None:
    """The same curve measured on the rows of the two classes; None where the minority has too few."""
    pair = found.pair
    few, many = (np.flatnonzero(source.y == source.class_names.index(one)) for one in (pair.minority, pair.majority))
    delta = pair.delta if pair.delta_kind == "mahalanobis" else float("nan")
    got = measured_ratios(source.X, few, many, delta=delta, seed=seed)
    return None if got is None else dict(plain(got))


def _map(found: Taxonomy) -> Json:
    """Regimes of the Bayes rule by ratio and separability, where these rows' rule falls below one half, and the classes."""
    places = []
    rows = dict(zip(found.labels, found.counts, strict=True))
    for number, one in enumerate(found.classes):
        pair = _pair(found, number)
        places.append(
            _finite(
                {
                    "name": str(one.label),
                    "eta": rows[one.confuser] / one.count,
                    "delta": pair.delta,
                    "low": pair.delta_interval[0],
                    "high": pair.delta_interval[1],
                    "regime": one.regime,
                    "recall": one.recall,
                }
            )
        )
    drawn = regime_map(place["delta"] for place in places)
    kappa = found.n / found.d
    here = [collapse_eta(kappa, one) for one in drawn["delta"]] if kappa > 1 and not found.shrunk else []
    return drawn | {"half": rounded(np.log10(here)) if here else [], "kappa": kappa, "places": places}


def _finite(line: Json) -> Json:
    """None for NaN and infinity."""
    return {key: None if isinstance(value, float) and not np.isfinite(value) else value for key, value in line.items()}
