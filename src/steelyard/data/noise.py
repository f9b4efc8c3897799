"""Wrong labels on purpose, with the transition matrix that made them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from steelyard.core.counts import CountsLike, as_counts
from steelyard.core.errors import ArgumentError, UnknownName
from steelyard.core.grouping import LabelsLike, as_labels, group_rows
from steelyard.core.seeds import generator

KINDS = ("symmetric", "asymmetric", "imbalance")


def label_noise(
    targets: LabelsLike,
    rate: float,
    kind: str | Tensor | np.ndarray = "symmetric",
    seed: int = 0,
    *,
    class_counts: CountsLike | None = None,
    partners: Sequence[int] | Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """Redraw a share of the labels.

    Each label is kept with probability 1 - rate and otherwise redrawn from row `i` (its true class) of a matrix M::

        T = (1 - rate) I + rate M,   T[i, j] = P(noisy label j | true label i)

        symmetric    M[i, j] = 1 / (C - 1) for j != i, 0 for j = i
        asymmetric   M[i, partner of i] = 1
        imbalance    M[i, j] = n_j / N for all j, the own class included: wrong labels land mostly in large classes

    Labels are redrawn independently, so the number of wrong ones varies around its mean. With "imbalance" that mean is
    rate * (1 - n_i / N) of class i rather than rate, because a label may be redrawn as itself.

    Args:
        targets: class of each row `[N]`, integers 0..C-1.
        rate: share of labels that are redrawn, in [0, 1].
        kind: "symmetric", "asymmetric", "imbalance", or M itself `[C, C]`: numbers >= 0 whose rows sum to 1 (with rate = 1,
            M is the transition matrix).
        seed: the same seed gives the same noise; the noise of a class does not depend on the other classes.
        class_counts: training rows per class `[C]`: says how many classes there are, and n_j for "imbalance"; None to count
            `targets`.
        partners: for "asymmetric", the class that each class is mistaken for `[C]`; a class that is its own partner stays
            clean. None for the next class, the last one for the first.

    Returns:
        Noisy labels `[N]`, int64, and T `[C, C]`, float64, whose rows sum to 1.

    Raises:
        ArgumentError: a value outside its range, fewer than two classes, labels beyond C, a matrix that is not row-stochastic,
            or `partners` for a kind that has none.
        UnknownName: no such kind.

    Reference:
        Symmetric and asymmetric: Patrini et al., CVPR 2017 (CIFAR-10: truck to automobile, bird to airplane, deer to horse,
        cat and dog to each other: `partners=[0, 1, 0, 5, 7, 3, 6, 7, 8, 1]`); next class: Han et al., "Co-teaching",
        NeurIPS 2018. Imbalance: the prior-aware noise of Jiang et al., "Delving into Sample Loss Curve", AAAI 2022 (code).

    Departures:
        - Some code draws symmetric noise from all C classes, so that only rate (C - 1) / C of the labels change; here rate do.

    Example:
        >>> noisy, matrix = label_noise([0, 0, 0, 1], 0.2, "imbalance")
        >>> matrix
        tensor([[0.9500, 0.0500],
                [0.1500, 0.8500]], dtype=torch.float64)
    """
    labels = as_labels(targets)
    if not 0.0 <= rate <= 1.0:
        raise ArgumentError("rate", "a share of the labels from 0 to 1", rate)
    observed = torch.bincount(labels)
    counts = observed if class_counts is None else as_counts(class_counts)
    if len(counts) < len(observed):
        found = f"{len(counts)} numbers for labels up to {len(observed) - 1}"
        raise ArgumentError("class_counts", "one number for each class in the targets", found)
    if len(counts) < 2:
        raise ArgumentError("targets", "of at least two classes, or else `class_counts` given", "one class only")
    if partners is not None and kind_name(kind) != "asymmetric":
        raise ArgumentError("partners", f"left out for {kind_name(kind)} noise", "partners")
    mistakes = _mistakes(kind, counts, partners)
    matrix = (1.0 - rate) * torch.eye(len(counts), dtype=torch.float64) + rate * mistakes
    return _redraw(labels, matrix, seed), matrix


def kind_name(kind: str | Tensor | np.ndarray) -> str:
    """What to call a kind of noise."""
    return kind if isinstance(kind, str) else "custom"


def _mistakes(kind: str | Tensor | np.ndarray, counts: Tensor, partners: Sequence[int] | Tensor | None) -> Tensor:
    """Where redrawn labels go: M `[C, C]`."""
    classes = len(counts)
    if not isinstance(kind, str):
        return _check_matrix(kind, classes)
    if kind == "symmetric":
        return (1.0 - torch.eye(classes, dtype=torch.float64)) / (classes - 1)
    if kind == "asymmetric":
        into = (torch.arange(classes) + 1) % classes if partners is None else _check_partners(partners, classes)
        return torch.nn.functional.one_hot(into, classes).to(torch.float64)
    if kind == "imbalance":
        return (counts.to(torch.float64) / counts.sum()).repeat(classes, 1)
    raise UnknownName("kind of noise", kind, KINDS)


def _check_matrix(kind: Tensor | np.ndarray, classes: int) -> Tensor:
    matrix = torch.as_tensor(kind).detach().cpu().to(torch.float64)
    if matrix.shape != (classes, classes):
        raise ArgumentError("kind", f"a matrix of shape ({classes}, {classes})", f"shape {tuple(matrix.shape)}")
    sums = matrix.sum(1)
    if not bool((matrix >= 0).all()) or not bool(((sums - 1.0).abs() <= 1e-6).all()):
        row = int(((matrix < 0).any(1) | ~((sums - 1.0).abs() <= 1e-6)).nonzero()[0])
        raise ArgumentError("kind", "a matrix of numbers >= 0 whose rows sum to 1", f"row {row}: {matrix[row].tolist()[:8]}")
    return matrix / sums[:, None]


def _check_partners(partners: Sequence[int] | Tensor, classes: int) -> Tensor:
    into = torch.as_tensor(partners)
    if into.shape != (classes,) or into.is_floating_point() or bool(((into < 0) | (into >= classes)).any()):
        raise ArgumentError("partners", f"a class from 0 to {classes - 1} for each of the {classes} classes", into.tolist())
    return into.long()


def _redraw(labels: Tensor, matrix: Tensor, seed: int) -> Tensor:
    noisy = labels.to(torch.int64, copy=True)
    grouped = group_rows(labels, len(matrix))
    for label in grouped.counts.nonzero().flatten().tolist():
        rows = grouped.rows(label)
        below = matrix[label].cumsum(0)
        # Sums that rounding leaves under 1 would let a draw fall off the end: the last possible class takes the rest.
        below[int(matrix[label].nonzero()[-1]) :] = 1.0
        uniform = torch.rand(len(rows), dtype=torch.float64, generator=generator(seed, "label noise", label))
        noisy[rows] = torch.searchsorted(below, uniform, right=True)
    return noisy
