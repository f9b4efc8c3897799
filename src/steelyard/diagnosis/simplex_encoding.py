"""The geometry that class counts imply: the simplex-encoded-label matrix, its singular vectors and the Gram matrices of SELI.

A network that fits its training labels without regularisation tends to logits proportional to the simplex-encoded labels,
whatever the counts. Classifier and embeddings are then the two factors of that matrix. Every row of a class has the same
column in it, so all of this needs the counts only: `[C, C]` matrices, never one with a side of N rows.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from steelyard.core.counts import CountsLike, as_counts, effective
from steelyard.core.errors import ArgumentError
from steelyard.metrics.arrays import Floats


@dataclass(frozen=True)
class Grams:
    """Inner products of a classifier and of class means: what is left of a geometry when rotations do not count.

    Args:
        classifier: of the rows of the classifier `[C, C]`.
        means: of the class means of the embeddings `[C, C]`.
        product: classifier times means `[C, C]`, the logits of class means; column c is of class c.
    """

    classifier: Floats
    means: Floats
    product: Floats

    @property
    def alignment(self) -> Floats:
        """Cosine of each class' classifier with its mean `[C]`; NaN where one of them is zero."""
        lengths = np.sqrt(np.diag(self.classifier) * np.diag(self.means))
        with np.errstate(invalid="ignore", divide="ignore"):
            found: Floats = np.diag(self.product) / lengths
        return found


@dataclass(frozen=True)
class SimplexSVD:
    """Singular vectors of the simplex-encoded-label matrix Z = left diag(values) right[target].T.

    Args:
        values: singular values `[C-1]`, largest first.
        left: singular vectors on the side of the classes `[C, C-1]`.
        right: those on the side of the rows, one line for all rows of a class `[C, C-1]`.
    """

    values: Floats
    left: Floats
    right: Floats


def simplex_encoding(class_counts: CountsLike) -> Tensor:
    """Simplex-encoded labels of rows sorted by class: column e_c - 1/C for each row of class c.

    Args:
        class_counts: rows of each class `[C]`, at least two classes.

    Returns:
        Matrix `[C, N]`, float64, of rank C - 1 where every class has rows. It is as large as the data: use `seli` and
        `simplex_svd`, which never build it, for large counts.

    Raises:
        ArgumentError: bad counts, or one class only.

    Reference:
        Thrampoulidis, Kini, Vakilian, Behnia. Imbalance Trouble: Revisiting Neural-Collapse Geometry. NeurIPS 2022.

    Example:
        >>> simplex_encoding([2, 1])
        tensor([[ 0.5000,  0.5000, -0.5000],
                [-0.5000, -0.5000,  0.5000]], dtype=torch.float64)
    """
    columns = torch.from_numpy(centring(len(class_sizes(class_counts))))
    return columns.repeat_interleave(as_counts(class_counts), dim=1)


def simplex_svd(class_counts: CountsLike) -> SimplexSVD:
    """Singular value decomposition of the simplex-encoded-label matrix, from the counts alone.

    Args:
        class_counts: rows of each class `[C]`, at least two classes; a class without rows is treated as one row.

    Returns:
        Values `[C-1]` and vectors, a line a class. Singular vectors of equal values are one choice of many.

    Raises:
        ArgumentError: bad counts, or one class only.

    Reference:
        Thrampoulidis et al., NeurIPS 2022. Z Z^T = S D S with S = I - 11^T/C and D = diag(counts), which is what is
        decomposed here.

    Example:
        >>> simplex_svd([30, 3, 3]).values.round(4).tolist()
        [4.5826, 1.7321]
    """
    n = class_sizes(class_counts)
    left, values, right = np.linalg.svd(centring(len(n)) * np.sqrt(n), full_matrices=False)
    return SimplexSVD(values[:-1], left[:, :-1], right[:-1].T / np.sqrt(n)[:, None])


def seli(class_counts: CountsLike) -> Grams:
    """SELI: the geometry of classifier and embeddings that any class counts imply at zero loss.

        classifier: (S D S)^(1/2)      means: ((S D S)^+)^(1/2)      product: S
        S = I - 11^T/C,  D = diag(counts)

    Equal counts give the simplex equiangular tight frame of neural collapse. Scale means nothing: multiplying all counts
    changes neither angles nor ratios of norms.

    Args:
        class_counts: rows of each class `[C]`, at least two classes; a class without rows is treated as one row.

    Returns:
        Grams `[C, C]`. Takes time of order G^3 + C^2 with G different counts.

    Raises:
        ArgumentError: bad counts, or one class only.

    Reference:
        Thrampoulidis, Kini, Vakilian, Behnia. Imbalance Trouble: Revisiting Neural-Collapse Geometry. NeurIPS 2022.

    Departures:
        The paper has STEP imbalance in mind; the formula holds for all counts, since the optimality conditions only ask that
        ((S D S)^+)^(1/2) has no positive entry off its diagonal, and the square root of a graph Laplacian is a Laplacian.

    Example:
        >>> import numpy as np
        >>> found = seli([100] * 5 + [10] * 5)
        >>> lengths = np.sqrt(np.diag(found.classifier))
        >>> round(float(lengths[0] / lengths[9]), 4)
        1.6347
    """
    n = class_sizes(class_counts)
    sizes, group, members = np.unique(n, return_inverse=True, return_counts=True)
    # Within a group of equal counts every direction that sums to zero is a singular one; between groups G - 1 are left.
    share = np.sqrt(members / len(n))
    between = np.linalg.qr(np.column_stack([share, np.eye(len(sizes))[:, 1:]]))[0][:, 1:]
    scaled = between.T * np.sqrt(sizes)
    left, values, _ = np.linalg.svd(scaled, full_matrices=False)
    vectors = between @ left
    roots = np.sqrt(sizes)
    grams = []
    for across, inside in (((vectors * values) @ vectors.T, roots), ((vectors / values) @ vectors.T, 1 / roots)):
        spread = across / np.sqrt(np.outer(members, members)) - np.diag(inside / members)
        grams.append(spread[np.ix_(group, group)] + np.diag(inside[group]))
    return Grams(grams[0], grams[1], centring(len(n)))


def etf(num_classes: int) -> Grams:
    """The simplex equiangular tight frame, which balanced classes end in: SELI of equal counts.

    Args:
        num_classes: C, at least 2.

    Reference:
        Papyan, Han, Donoho. Prevalence of neural collapse during the terminal phase of deep learning training. PNAS 2020.

    Example:
        >>> etf(3).classifier.round(4).tolist()
        [[0.6667, -0.3333, -0.3333], [-0.3333, 0.6667, -0.3333], [-0.3333, -0.3333, 0.6667]]
    """
    return seli([1] * num_classes)


@dataclass(frozen=True)
class StepFrame:
    """Vectors of a STEP geometry, for one majority and one minority row a class.

    Args:
        majority: squared norm of a majority class' vector.
        minority: squared norm of a minority class' vector.
        cos_majority: cosine of two majority classes; NaN where there is one.
        cos_minority: cosine of two minority classes; NaN where there is one.
        cos_between: cosine of a majority and a minority class.
    """

    majority: float
    minority: float
    cos_majority: float
    cos_minority: float
    cos_between: float


@dataclass(frozen=True)
class StepGeometry:
    """SELI under STEP imbalance in closed form.

    Args:
        classifier: of the classifier.
        means: of the class means.
        align_majority: cosine of a majority class' classifier with its mean.
        align_minority: the same of a minority class.
    """

    classifier: StepFrame
    means: StepFrame
    align_majority: float
    align_minority: float


def seli_step(num_classes: int, ratio: float, minority: int | None = None) -> StepGeometry:
    """Closed forms of SELI where some classes have `ratio` times as many rows as the others.

    With A majority and B minority classes of k, sA = sqrt(ratio), sB = 1 and su = sqrt((ratio B + A)/k)::

        |w_maj|^2 = sA (1 - 1/A) + su B/(A k)         <w_maj, w_maj'> = -sA/A + su B/(A k)
        |w_min|^2 = sB (1 - 1/B) + su A/(B k)         <w_min, w_min'> = -sB/B + su A/(B k)
        <w_maj, w_min> = -su/k                        means: the same with 1/s for each s

    Args:
        num_classes: k, at least 2.
        ratio: majority rows to one minority row, above 0.
        minority: number of minority classes B, from 1 to k - 1; half of the classes, rounded down, if None.

    Returns:
        Squared norms for one minority row a class, and cosines.

    Raises:
        ArgumentError: a value out of range.

    Reference:
        Thrampoulidis et al., NeurIPS 2022; written out for any share of minority classes.

    Example:
        >>> found = seli_step(10, 10)
        >>> round(found.classifier.cos_minority, 6), round(found.means.cos_minority, 6)
        (0.033369, -0.186746)
        >>> abs(seli_step(10, 7).classifier.cos_minority) < 1e-12      # above ratio 7 minority classifiers lean together
        True
    """
    small = num_classes // 2 if minority is None else minority
    if num_classes < 2:
        raise ArgumentError("num_classes", "at least 2", num_classes)
    if not 1 <= small < num_classes:
        raise ArgumentError("minority", f"from 1 to {num_classes - 1}, the number of minority classes", minority)
    if not (ratio > 0 and np.isfinite(ratio)):
        raise ArgumentError("ratio", "majority rows to one minority row, above 0", ratio)
    large = num_classes - small
    roots = np.sqrt([ratio, 1.0, (ratio * small + large) / num_classes])
    classifier, means = (_step_frame(large, small, *(float(s) for s in values)) for values in (roots, 1 / roots))
    length = 1 - 1 / num_classes
    return StepGeometry(
        classifier,
        means,
        float(length / np.sqrt(classifier.majority * means.majority)),
        float(length / np.sqrt(classifier.minority * means.minority)),
    )


def _step_frame(large: int, small: int, of_large: float, of_small: float, between: float) -> StepFrame:
    k = large + small
    shared_large, shared_small = between * small / (large * k), between * large / (small * k)
    majority, minority = of_large * (1 - 1 / large) + shared_large, of_small * (1 - 1 / small) + shared_small
    return StepFrame(
        majority,
        minority,
        (shared_large - of_large / large) / majority if large > 1 else float("nan"),
        (shared_small - of_small / small) / minority if small > 1 else float("nan"),
        float(-between / k / np.sqrt(majority * minority)),
    )


def gram_distance(first: Floats, second: Floats) -> float:
    """Frobenius distance of two matrices scaled to norm 1: 0 for the same up to scale, at most 2; NaN where one is zero.

    Args:
        first: `[C, C]`.
        second: `[C, C]`.

    Reference:
        Thrampoulidis et al., NeurIPS 2022, who compare Gram matrices so.

    Example:
        >>> gram_distance(seli([40, 20]).means, etf(2).means) < 1e-12      # two classes have one geometry
        True
    """
    lengths = np.linalg.norm(first), np.linalg.norm(second)
    if min(lengths) == 0 or not np.isfinite(lengths).all():
        return float("nan")
    return float(np.linalg.norm(first / lengths[0] - second / lengths[1]))


def centring(size: int) -> Floats:
    """The projection I - 11^T/size onto what sums to zero."""
    projection: Floats = np.eye(size) - 1 / size
    return projection


def class_sizes(class_counts: CountsLike) -> Floats:
    """Counts as float64 `[C]`, never-seen classes as one row.

    Raises:
        ArgumentError: bad counts, or one class only.
    """
    n: Floats = effective(class_counts).numpy()
    if len(n) < 2:
        raise ArgumentError("class_counts", "sizes of at least two classes", f"{len(n)}")
    return n
