"""Imbalance profiles: how many rows each class keeps, to make a long tail of known shape out of other data."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from operator import index

import torch
from torch import Tensor

from steelyard.core.counts import count
from steelyard.core.errors import ArgumentError, DataError, UnknownName
from steelyard.core.grouping import LabelsLike, as_labels
from steelyard.core.seeds import generator

KINDS = ("exp", "step", "linear", "pareto")


def imbalance_profile(
    n_max: int,
    num_classes: int,
    factor: float,
    kind: str = "exp",
    *,
    order: Sequence[int] | Tensor | None = None,
    tail_share: float = 0.5,
    alpha: float = 3.0,
) -> Tensor:
    """Class sizes that fall from `n_max` to `n_max / factor`.

    With x = c / (C - 1), the place of class c between the largest (0) and the smallest (1)::

        exp      n_max * factor^(-x)
        linear   n_max * (1 - x (1 - 1 / factor))
        pareto   n_max * (1 + x (factor^(1/alpha) - 1))^(-alpha)
        step     n_max for the first classes, n_max / factor for the last floor(tail_share * C)

    Each size is rounded down, and is then at least 1: where factor > n_max the tail keeps single rows and the imbalance is
    smaller than asked for. Rounding down is of the exact value: a size that is a whole number up to the error of double
    precision (1e-9, relative) is that number, as in 49 * 49^-1 = 1, which plain floating point puts just below 1.

    Args:
        n_max: rows of the largest class, >= 1.
        num_classes: C, >= 1. With one class, or with factor 1, all sizes are n_max.
        factor: largest over smallest class, >= 1 and finite.
        kind: "exp", "step", "linear" or "pareto".
        order: classes from the largest to the smallest, a permutation of 0..C-1 (see `class_permutation`); None for 0..C-1.
        tail_share: for "step", the share of classes that are small, in (0, 1); where C >= 2 at least one class is on each side.
        alpha: for "pareto", > 0; 1 is hyperbolic, and for large alpha the profile becomes "exp".

    Returns:
        Rows of each class `[C]`, int64.

    Raises:
        ArgumentError: a value outside its range, or tail_share or alpha given for a kind that has none.
        UnknownName: no such kind.

    Reference:
        exp: Cui et al., CVPR 2019, and Cao et al., NeurIPS 2019 (CIFAR-10-LT with factor 100: 12,406 rows; CIFAR-100-LT
        10,847). step, linear: Buda et al., Neural Networks 2018. pareto: the family of ImageNet-LT, Liu et al., CVPR 2019.

    Departures:
        - step: LDAM's code leaves out a class where C is odd; here the large side has one more.
        - pareto: Liu et al. name a Pareto distribution with power 6 and no formula. This one is a Pareto density of the second
          kind cut off at `factor`; for n_max 1280, 1000 classes and factor 256 it has 116,711 rows with alpha = 3, near their
          115.8 thousand, and 166,769 with alpha = 6.

    Example:
        >>> imbalance_profile(5000, 10, 100).tolist()
        [5000, 2997, 1796, 1077, 645, 387, 232, 139, 83, 50]
        >>> imbalance_profile(100, 4, 10, "step", order=[3, 0, 1, 2]).tolist()
        [100, 10, 10, 100]
    """
    n_max, num_classes = _at_least_one("n_max", n_max), _at_least_one("num_classes", num_classes)
    _check_shape(factor, kind, tail_share, alpha)
    formulas: dict[str, Callable[[float], float]] = {
        "exp": lambda x: n_max * factor**-x,
        "linear": lambda x: n_max * (1.0 - x * (1.0 - 1.0 / factor)),
        "pareto": lambda x: n_max * _pareto(x, factor, alpha),
    }
    if kind == "step":
        few = min(max(_floor(tail_share * num_classes), 1), num_classes - 1)
        sizes = [n_max] * (num_classes - few) + [max(_floor(n_max / factor), 1)] * few
    else:
        formula = formulas[kind]
        sizes = [max(_floor(formula(c / max(num_classes - 1, 1))), 1) for c in range(num_classes)]
    profile = torch.tensor(sizes, dtype=torch.int64)
    if order is None:
        return profile
    placed = torch.empty_like(profile)
    placed[_check_order(order, num_classes)] = profile
    return placed


def longest_tail(
    targets: LabelsLike,
    factor: float,
    kind: str = "exp",
    *,
    order: Sequence[int] | Tensor | str | None = None,
    tail_share: float = 0.5,
    alpha: float = 3.0,
) -> Tensor:
    """The largest `imbalance_profile` of that shape that these rows can fill.

    Args:
        targets: class of each row `[N]`, integers 0..C-1.
        factor: largest over smallest class, >= 1.
        kind: as for `imbalance_profile`, like `tail_share` and `alpha`.
        order: classes from the largest to the smallest; None for 0..C-1 as in the literature; "size" for the order of the
            sizes that there are (equal ones by index), which keeps most rows of data that are imbalanced already.
        tail_share: for "step".
        alpha: for "pareto".

    Returns:
        Rows of each class `[C]`, int64, none above what is available.

    Raises:
        ArgumentError: as `imbalance_profile`.
        DataError: a class below the largest label has no rows.

    Example:
        >>> longest_tail([0] * 40 + [1] * 60 + [2] * 50, 10).tolist()
        [40, 12, 4]
        >>> longest_tail([0] * 40 + [1] * 60 + [2] * 50, 10, order="size").tolist()
        [6, 60, 18]
    """
    labels = as_labels(targets)
    available = count(labels, int(labels.max()) + 1)
    if int(available.min()) == 0:
        raise DataError(f"class {int(available.argmin())} has no rows, so it cannot be part of an imbalance profile")
    if isinstance(order, str):
        if order != "size":
            raise ArgumentError("order", 'a permutation of the classes, "size" or None', repr(order))
        order = torch.sort(available, descending=True, stable=True).indices

    def profile(n_max: int) -> Tensor:
        return imbalance_profile(n_max, len(available), factor, kind, order=order, tail_share=tail_share, alpha=alpha)

    # Sizes grow with n_max, and n_max = 1 always fits: halve the interval of what may fit.
    fits, fails = 1, int(available.max()) + 1
    while fails - fits > 1:
        middle = (fits + fails) // 2
        if bool((profile(middle) <= available).all()):
            fits = middle
        else:
            fails = middle
    return profile(fits)


def class_permutation(num_classes: int, seed: int = 0) -> Tensor:
    """A random order of the classes, for `order`: which classes are the large ones then depends on the seed.

    Args:
        num_classes: C, >= 1.
        seed: the same seed gives the same order.

    Returns:
        A permutation of 0..C-1 `[C]`, int64.

    Example:
        >>> sorted(class_permutation(4, seed=1).tolist())
        [0, 1, 2, 3]
    """
    return torch.randperm(_at_least_one("num_classes", num_classes), generator=generator(seed, "class permutation"))


def _pareto(x: float, factor: float, alpha: float) -> float:
    """(1 - x + x factor^(1/alpha))^-alpha by logarithms, since the power overflows for a small alpha."""
    if x in (0.0, 1.0):
        return float(factor**-x)
    constant, growing = math.log1p(-x), math.log(x) + math.log(factor) / alpha
    larger = max(constant, growing)
    return math.exp(-alpha * (larger + math.log1p(math.exp(min(constant, growing) - larger))))


def _floor(value: float) -> int:
    """The next whole number down, where a value within 1e-9 (relative) of a whole number is that number."""
    near = round(value)
    return near if abs(value - near) <= 1e-9 * max(1.0, abs(value)) else math.floor(value)


def _at_least_one(name: str, value: int) -> int:
    try:
        whole = index(value)
    except TypeError:
        raise ArgumentError(name, "a whole number, at least 1", value) from None
    if whole < 1:
        raise ArgumentError(name, "at least 1", whole)
    return whole


def _check_shape(factor: float, kind: str, tail_share: float, alpha: float) -> None:
    if not (math.isfinite(factor) and factor >= 1.0):
        raise ArgumentError("factor", "a finite number of at least 1 (largest over smallest class)", factor)
    if kind not in KINDS:
        raise UnknownName("profile", kind, KINDS)
    if not 0.0 < tail_share < 1.0:
        raise ArgumentError("tail_share", "a share of the classes between 0 and 1", tail_share)
    if tail_share != 0.5 and kind != "step":
        raise ArgumentError("tail_share", f"left out for the profile '{kind}', which has no steps", tail_share)
    if not (math.isfinite(alpha) and alpha > 0.0):
        raise ArgumentError("alpha", "a finite number above 0", alpha)
    if alpha != 3.0 and kind != "pareto":
        raise ArgumentError("alpha", f"left out for the profile '{kind}', which is not Pareto", alpha)


def _check_order(order: Sequence[int] | Tensor, num_classes: int) -> Tensor:
    ranked = torch.as_tensor(order)
    wanted = torch.arange(num_classes)
    if ranked.is_floating_point() or ranked.shape != wanted.shape or not torch.equal(ranked.long().sort().values, wanted):
        raise ArgumentError("order", f"a permutation of the classes 0..{num_classes - 1}", ranked.tolist())
    return ranked.long()
