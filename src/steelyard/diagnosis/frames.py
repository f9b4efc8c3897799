"""Norms, angles and distances to SELI of one vector for each class, and whether few-shot classes have collapsed."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from steelyard.diagnosis.simplex_encoding import centring, gram_distance
from steelyard.metrics.arrays import Floats, Ints


@dataclass(frozen=True)
class Frame:
    """One vector for each class, centred over the classes: the classifier's or the class means.

    Args:
        norms: `[C]`; NaN for a class without rows.
        cosines: `[C, C]`.
        equinorm: standard deviation over mean of the norms (NC2); 0 in neural collapse.
        angle_spread: standard deviation of the cosines of different classes (NC2); 0 in neural collapse.
        angle_gap: mean of |cosine + 1/(C-1)| (NC2); 0 in neural collapse.
        to_seli: distance of the Gram matrices at norm 1, from 0; see `gram_distance`.
        to_etf: the same from the simplex equiangular tight frame.
        few_cosine: mean cosine of two few-shot classes; 1 in minority collapse.
        few_spread: smallest singular value among the differences of few-shot classes, over the root mean square norm of
            all classes; 0 in minority collapse.
        many_to_few: mean norm of many-shot over that of few-shot classes.
        gram: inner products, scaled to Frobenius norm 1 `[C, C]`.
    """

    norms: Floats
    cosines: Floats = field(repr=False)
    equinorm: float
    angle_spread: float
    angle_gap: float
    to_seli: float
    to_etf: float
    few_cosine: float
    few_spread: float
    many_to_few: float
    gram: Floats = field(repr=False)


def frame_of(vectors: Floats, ideals: tuple[Floats, Floats], groups: tuple[tuple[int, ...], tuple[int, ...]]) -> Frame:
    """Norms and angles of one vector for each class.

    Args:
        vectors: `[C, d]`, centred over the classes that are there; lines of NaN stand for the others.
        ideals: Gram matrices `[C, C]` of SELI and of the simplex equiangular tight frame.
        groups: many-shot and few-shot classes.

    Example:
        >>> from steelyard.diagnosis.simplex_encoding import etf
        >>> ideal = etf(3).means
        >>> round(frame_of(ideal, (ideal, ideal), ((0,), (1, 2))).few_cosine, 6)
        -0.5
    """
    present = np.flatnonzero(np.isfinite(vectors).all(1))
    # Offsets are compared over the classes that are there: centring the ideal again makes it the same thing.
    inner = vectors @ vectors.T
    around = centring(len(present))
    to_seli, to_etf = (
        gram_distance(inner[np.ix_(present, present)], around @ ideal[np.ix_(present, present)] @ around) for ideal in ideals
    )
    norms = np.sqrt(np.diag(inner))
    with np.errstate(invalid="ignore", divide="ignore"):
        cosines = inner / np.outer(norms, norms)
    between = cosines[np.ix_(present, present)][~np.eye(len(present), dtype=bool)]
    many, few = (np.intersect1d(group, present).astype(np.int64) for group in groups)
    return Frame(
        norms=norms,
        cosines=cosines,
        equinorm=_ratio(float(norms[present].std()), float(norms[present].mean())),
        angle_spread=float(between.std()),
        angle_gap=float(np.abs(between + 1 / (len(vectors) - 1)).mean()),
        to_seli=to_seli,
        to_etf=to_etf,
        few_cosine=_mean(cosines[np.ix_(few, few)][~np.eye(len(few), dtype=bool)]),
        few_spread=_few_spread(vectors, few, norms[present]),
        many_to_few=_ratio(_mean(norms[many]), _mean(norms[few])),
        gram=inner / np.linalg.norm(inner[np.ix_(present, present)]) if norms[present].any() else inner,
    )


def _few_spread(vectors: Floats, few: Ints, norms: Floats) -> float:
    if few.size < 2:
        return float("nan")
    apart = np.linalg.svd(vectors[few] - vectors[few].mean(0), compute_uv=False)
    smallest = float(apart[few.size - 2]) if apart.size >= few.size - 1 else 0.0
    return _ratio(smallest, float(np.sqrt(np.square(norms).mean())))


def _mean(values: Floats) -> float:
    return float(values.mean()) if values.size else float("nan")


def _ratio(value: float, base: float) -> float:
    return value / base if base > 0 else float("nan")
