"""The geometry inside a trained network: neural collapse, minority collapse, and how far it is from SELI and from the ETF.

All averages are over classes, not rows: weighted by rows, the same geometry gives other numbers as soon as counts differ.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from steelyard.core.counts import CountsLike, as_counts, group_classes
from steelyard.core.errors import ArgumentError
from steelyard.diagnosis.frames import Frame, frame_of
from steelyard.diagnosis.simplex_encoding import centring, etf, gram_distance, seli
from steelyard.metrics.arrays import Floats, Ints, as_array, as_classes, same_rows

CHUNK = 16_384
"""Rows taken to double precision at a time."""

MATRIX = 50
"""`to_json` holds matrices of pairs up to this many classes."""

COLLAPSED = 0.9
"""Mean cosine of few-shot classifiers above which minority collapse is reported; our choice."""


@dataclass(frozen=True)
class Geometry:
    """What `geometry` found. NaN where something is not defined: a class without rows, no two few-shot classes.

    Args:
        class_counts: that SELI and the groups go by `[C]`.
        rows: of each class that were measured `[C]`.
        dim: dimensions of the features.
        means: class means less their mean.
        classifier: rows of the classifier less their mean; None where none was given.
        nc1: tr(within between^+) / C, covariances averaged over classes; 0 in neural collapse.
        nc1_by_class: with the within-class covariance of one class `[C]`; NaN below two rows.
        nc1_by_rows: as `nc1`, but everything weighted by rows, as in code for balanced data. It grows with the imbalance of
            an unchanged geometry.
        quotient: tr(within) / tr(between).
        cdnv: mean over pairs of classes of (variance_i + variance_j) / (2 |mean_i - mean_j|^2).
        cdnv_pairs: of each pair `[C, C]`.
        nc3: squared distance of classifier and means, each scaled to norm 1; 0 where they are dual. SELI of unequal counts is
            not.
        alignment: cosine of each class' classifier and mean `[C]`.
        product_to_seli: distance of the logits of class means, scaled to norm 1, from simplex-encoded labels. They are the
            same for SELI and the ETF.
        nc4: share of rows that the classifier and the nearest class mean decide differently; mean over classes.
        nc4_by_class: `[C]`.
        many: many-shot classes.
        few: few-shot classes.
        possible: whether SELI fits into so many dimensions, which takes C - 1.
        collapsed: whether few-shot classifiers have a mean cosine above 0.9 (class means, where no classifier was given).
    """

    class_counts: Ints
    rows: Ints
    dim: int
    means: Frame
    classifier: Frame | None
    nc1: float
    nc1_by_class: Floats
    nc1_by_rows: float
    quotient: float
    cdnv: float
    cdnv_pairs: Floats = field(repr=False)
    nc3: float
    alignment: Floats
    product_to_seli: float
    nc4: float
    nc4_by_class: Floats
    many: tuple[int, ...]
    few: tuple[int, ...]
    possible: bool
    collapsed: bool

    def summary(self) -> dict[str, float]:
        """One number for each measure, for a line of a log: those of the classifier only where there is one."""
        found = {name: getattr(self, name) for name in ("nc1", "quotient", "cdnv")}
        frames = {"means": self.means} | ({} if self.classifier is None else {"classifier": self.classifier})
        for name, frame in frames.items():
            found |= {
                f"{name}_{one.name}": getattr(frame, one.name) for one in dataclasses.fields(frame) if one.type == "float"
            }
        if self.classifier is not None:
            found |= {name: getattr(self, name) for name in ("nc3", "nc4", "product_to_seli")}
        return found

    def to_dict(self) -> dict[str, Any]:
        """Plain values; None stands for NaN and infinity, and for matrices of more than 50 classes."""
        values = _plain(self)
        if len(self.rows) > MATRIX:
            values["cdnv_pairs"] = None
            for frame in (values["means"], values["classifier"]):
                if frame is not None:
                    frame |= {"cosines": None, "gram": None}
        found: dict[str, Any] = values
        return found

    def to_json(self, indent: int | None = 2) -> str:
        """`to_dict` as JSON.

        Args:
            indent: spaces a level; None for one line.
        """
        return json.dumps(self.to_dict(), indent=indent, allow_nan=False)


def geometry(
    features: Any,
    target: Any,
    classifier: Any = None,
    *,
    bias: Any = None,
    class_counts: CountsLike | None = None,
    groups: str = "auto",
) -> Geometry:
    """Measure neural collapse, minority collapse and the distance to SELI of features and classifier.

    Take training rows to compare with the theory, in evaluation mode and without augmentation; held-out rows say another
    thing, and are worth a second call.

    Args:
        features: what goes into the last layer `[N, d]`, array or tensor.
        target: classes `[N]`, whole numbers from 0.
        classifier: weight of the last layer `[C, d]`; None leaves out what needs it.
        bias: of the last layer `[C]`, for its decisions (NC4) only; the theory has none.
        class_counts: training rows of each class `[C]`, where `features` are not all training rows; counted from `target` if
            None.
        groups: which classes are many-shot and few-shot, as for `steelyard.core.counts.group_classes`.

    Returns:
        Geometry, with `to_json`. Takes time of order N d C and no `[N, N]` or `[d, d]` matrix.

    Raises:
        ArgumentError: shapes do not fit, values are not finite, fewer than two classes have rows.

    Reference:
        NC1 to NC4: Papyan, Han, Donoho, PNAS 2020. CDNV: Galanti, György, Hutter. On the role of neural collapse in transfer
        learning. ICLR 2022. SELI: Thrampoulidis, Kini, Vakilian, Behnia, NeurIPS 2022. Minority collapse: Fang, He, Long, Su,
        PNAS 2021.

    Departures:
        - NC1 has the average within-class covariance over classes, where the released notebook averages over rows; they are
          the same for equal counts. It is divided by C, as in the paper, and not in the notebook.
        - Standard deviations divide by the number of values.
        - The classifier is centred over classes first, since a shift common to all classes changes no probability.
        - NC4 is averaged over classes.

    Example:
        >>> import numpy as np
        >>> corners = np.eye(3) * 2
        >>> found = geometry(np.repeat(corners, 4, axis=0), np.repeat([0, 1, 2], 4), classifier=corners)
        >>> round(found.means.to_etf, 6), found.nc1, found.nc4
        (0.0, 0.0, 0.0)
    """
    values, classes, counts = _checked(features, target, classifier, class_counts)
    weight, shift = _head(classifier, bias, values.shape[1], len(counts))
    rows = np.bincount(classes, minlength=len(counts))
    present = np.flatnonzero(rows)
    if present.size < 2:
        raise ArgumentError("target", "rows of at least two classes", f"rows of {present.size}")
    means = _class_means(values, classes, rows)
    centred = means - means[present].mean(0)
    within = _Within.measure(values, classes, means, centred, (rows, weight, shift))
    grouped = group_classes(counts, groups)
    many, few = (tuple(grouped.members[name]) for name in ("many", "few"))
    ideal, balanced = seli(counts), etf(len(counts))
    frame = frame_of(centred, (ideal.means, balanced.means), (many, few))
    head = None if weight is None else frame_of(weight, (ideal.classifier, balanced.classifier), (many, few))
    pairs = _cdnv(centred, within.variance)
    nc3, alignment, product = _duality(centred, weight, present)
    leaning = frame.few_cosine if head is None else head.few_cosine
    return Geometry(
        class_counts=counts,
        rows=rows,
        dim=values.shape[1],
        means=frame,
        classifier=head,
        nc1=float(within.nc1[present].mean()),
        nc1_by_class=np.where(rows > 1, within.nc1, np.nan),
        nc1_by_rows=within.nc1_by_rows,
        quotient=float(within.variance[present].mean() / np.square(centred[present]).sum(1).mean()),
        cdnv=float(pairs[np.ix_(present, present)][~np.eye(len(present), dtype=bool)].mean()),
        cdnv_pairs=pairs,
        nc3=nc3,
        alignment=alignment,
        product_to_seli=product,
        nc4=float("nan") if weight is None else float(within.disagreement[present].mean()),
        nc4_by_class=within.disagreement,
        many=many,
        few=few,
        possible=values.shape[1] >= len(counts) - 1,
        collapsed=bool(leaning > COLLAPSED),
    )


@dataclass(frozen=True)
class _Within:
    """What the spread of rows about their class means gives.

    Args:
        variance: trace of the within-class covariance `[C]`.
        nc1: tr(within-class covariance of the class between^+) / C `[C]`.
        nc1_by_rows: with everything weighted by rows.
        disagreement: share of rows that classifier and nearest mean decide differently `[C]`; NaN without a classifier.
    """

    variance: Floats
    nc1: Floats
    nc1_by_rows: float
    disagreement: Floats

    @classmethod
    def measure(
        cls, values: Any, classes: Ints, means: Floats, centred: Floats, known: tuple[Ints, Floats | None, Floats]
    ) -> _Within:
        rows, weight, shift = known
        present = np.flatnonzero(rows)
        _, singular, basis = np.linalg.svd(centred[present], full_matrices=False)
        # At most C - 1 directions; what is left of the last one is rounding.
        kept = (singular > singular[0] * max(centred.shape) * np.finfo(np.float64).eps) & (
            np.arange(len(singular)) < present.size - 1
        )
        singular, basis = singular[kept], basis[kept]
        variance, unlike = np.zeros((2, len(rows)))
        along, together = np.zeros((len(rows), len(singular))), np.zeros((len(singular), len(singular)))
        for part, labels in _chunks(values, classes):
            rest = part - means[labels]
            variance += np.bincount(labels, np.square(rest).sum(1), minlength=len(rows))
            projected = rest @ basis.T
            _add_by_class(along, labels, np.square(projected))
            together += projected.T @ projected
            if weight is not None:
                nearest = present[(np.square(means[present]).sum(1) - 2 * part @ means[present].T).argmin(1)]
                unlike += np.bincount(labels, (part @ weight.T + shift).argmax(1) != nearest, minlength=len(rows))
        with np.errstate(invalid="ignore", divide="ignore"):
            share = 1 / np.where(rows > 0, rows, np.nan)
        # tr(cov (sum_j s_j^2 v_j v_j^T / C)^+) / C: the two C cancel.
        nc1 = (along * share[:, None] / np.square(singular)).sum(1)
        weighted = means[present] - (rows @ np.nan_to_num(means)) / rows.sum()
        between = (weighted @ basis.T) * np.sqrt(rows[present] / rows.sum())[:, None]
        by_rows = np.trace(np.linalg.pinv(between.T @ between, hermitian=True) @ together) / rows.sum() / present.size
        return cls(variance * share, nc1, float(by_rows), unlike * share if weight is not None else np.full(len(rows), np.nan))


def _duality(centred: Floats, weight: Floats | None, present: Ints) -> tuple[float, Floats, float]:
    """NC3, alignment of each class, and distance of the product to simplex-encoded labels."""
    if weight is None:
        return float("nan"), np.full(len(centred), np.nan), float("nan")
    means, own = centred[present], weight[present]
    # Over the classes that are there, so that a perfect network with a class unseen is still perfect.
    own = own - own.mean(0)
    lengths = np.linalg.norm(own), np.linalg.norm(means)
    nc3 = float(np.square(own / lengths[0] - means / lengths[1]).sum()) if min(lengths) > 0 else float("nan")
    product = weight @ centred.T
    with np.errstate(invalid="ignore", divide="ignore"):
        alignment: Floats = np.diag(product) / (np.linalg.norm(weight, axis=1) * np.linalg.norm(centred, axis=1))
    ideal = centring(len(centred))[:, present]
    return nc3, alignment, gram_distance(product[:, present], ideal - ideal.mean(1, keepdims=True))


def _cdnv(means: Floats, variance: Floats) -> Floats:
    """Class-distance normalised variance of each pair `[C, C]`; 0 on the diagonal, infinite for equal means."""
    squares = np.square(means).sum(1)
    distance = np.maximum(squares[:, None] + squares - 2 * means @ means.T, 0.0)
    with np.errstate(invalid="ignore", divide="ignore"):
        found: Floats = (variance[:, None] + variance) / (2 * distance)
    np.fill_diagonal(found, 0.0)
    return found


def _class_means(values: Any, classes: Ints, rows: Ints) -> Floats:
    sums = np.zeros((len(rows), values.shape[1]))
    for part, labels in _chunks(values, classes):
        if not np.isfinite(part).all():
            raise ArgumentError("features", "finite", f"{int((~np.isfinite(part)).any(1).sum())} rows with NaN or infinity")
        _add_by_class(sums, labels, part)
    return sums / np.where(rows > 0, rows, np.nan)[:, None]


def _chunks(values: Any, classes: Ints) -> Iterator[tuple[Floats, Ints]]:
    for start in range(0, len(classes), CHUNK):
        yield values[start : start + CHUNK].astype(np.float64), classes[start : start + CHUNK]


def _add_by_class(sums: Floats, labels: Ints, part: Floats) -> None:
    """Add rows `[M, d]` to the sums of their classes `[C, d]`."""
    order = np.argsort(labels, kind="stable")
    seen, starts = np.unique(labels[order], return_index=True)
    sums[seen] += np.add.reduceat(part[order], starts, axis=0)


def _checked(features: Any, target: Any, classifier: Any, class_counts: CountsLike | None) -> tuple[Any, Ints, Ints]:
    values = as_array(features)
    if values.ndim != 2 or 0 in values.shape or values.dtype.kind not in "biuf":
        raise ArgumentError("features", "numbers [N, d]", f"shape {values.shape}, dtype {values.dtype}")
    counts = None if class_counts is None else as_counts(class_counts).numpy()
    known = len(counts) if counts is not None else None if classifier is None else len(as_array(classifier))
    classes = as_classes(target, known)
    same_rows(len(values), len(classes), "features")
    if counts is None:
        counts = np.bincount(classes, minlength=known or 0)
    return values, classes, counts.astype(np.int64)


def _head(classifier: Any, bias: Any, dim: int, classes: int) -> tuple[Floats | None, Floats]:
    """Classifier `[C, d]`, centred, and bias `[C]`."""
    shift = np.zeros(classes) if bias is None else as_array(bias).astype(np.float64)
    if shift.shape != (classes,) or not np.isfinite(shift).all():
        raise ArgumentError("bias", f"finite numbers [{classes}], one a class", f"shape {shift.shape}")
    if classifier is None:
        if bias is not None:
            raise ArgumentError("bias", "given with a classifier", "a bias alone")
        return None, shift
    weight = as_array(classifier).astype(np.float64)
    if weight.shape != (classes, dim) or not np.isfinite(weight).all():
        raise ArgumentError("classifier", f"finite numbers [{classes}, {dim}], a line a class", f"shape {weight.shape}")
    return weight - weight.mean(0), shift


def _plain(value: Any) -> Any:
    """Values as JSON knows them."""
    if dataclasses.is_dataclass(value):
        return {one.name: _plain(getattr(value, one.name)) for one in dataclasses.fields(value)}
    if isinstance(value, np.ndarray):
        return _plain(value.tolist())
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    return None if isinstance(value, float) and not np.isfinite(value) else value
