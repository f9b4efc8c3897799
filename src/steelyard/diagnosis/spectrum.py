"""Eigenvalues, trace and spectral density of a symmetric matrix that is known only by its products, with intervals.

Probes are drawn from the generator that is given, so that two matrices of one size meet the same ones.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from steelyard.core.errors import ArgumentError
from steelyard.metrics.arrays import Floats

Multiply = Callable[[Tensor], Tensor]
"""Columns `[P, K]` to the matrix times them `[P, K]`."""


@dataclass(frozen=True)
class Ritz:
    """What Lanczos runs from random starts say about a spectrum.

    Args:
        size: P, rows of the matrix.
        nodes: Ritz values of each start, ascending; all lie between the smallest and the largest eigenvalue.
        weights: quadrature weight of each node, of each start; they sum to 1.
        residuals: |A v - theta v| at the lowest and at the highest Ritz value.
        steps: of each run.
        last: of each run, the coefficient that couples it to what it has not seen.
        exact: the nodes are all eigenvalues, each of weight 1 / P.
    """

    size: int
    nodes: tuple[Floats, ...]
    weights: tuple[Floats, ...]
    residuals: tuple[float, float]
    steps: tuple[int, ...]
    last: tuple[float, ...]
    exact: bool = False

    @property
    def low(self) -> float:
        """Smallest eigenvalue found."""
        return float(min(values[0] for values in self.nodes))

    @property
    def high(self) -> float:
        """Largest eigenvalue found."""
        return float(max(values[-1] for values in self.nodes))

    def converged(self, tolerance: float) -> bool:
        """Are both residuals below the tolerance times the largest |eigenvalue|?"""
        return max(self.residuals) <= tolerance * max(abs(self.low), abs(self.high), torch.finfo(torch.float32).tiny)

    def reach(self, level: float = 0.95) -> float:
        """How far beyond the values found the ends of the spectrum may lie, both with probability `level`; infinite if unknown.

        Formula:
            Lanczos from a start that is uniform on the sphere misses the largest eigenvalue by more than a share e of the
            spectrum's width with probability below 1.648 sqrt(P) exp(-sqrt(e) (2k - 1)), k steps, whatever the spectrum. It
            also misses it by at most last / |cosine of start and eigenvector|, and that cosine is below c / sqrt(P) with
            probability at most sqrt(2 / pi) c. The smaller of the two counts.

        Reference:
            Kuczyński and Woźniakowski. Estimating the largest eigenvalue by the power and Lanczos algorithms with a random
            start. SIAM Journal on Matrix Analysis and Applications 13, 1992.

        Departures:
            Independent starts multiply their probabilities; each end gets half of what is left of `level`. The bound is for
            exact arithmetic: rounding is not in it.
        """
        if self.exact:
            return 0.0
        missing = float(((1 - level) / 2) ** (1 / len(self.nodes)))
        coupled = math.sqrt(2 / math.pi) * math.sqrt(self.size) / missing
        return max(
            min(self._by_steps(steps, missing), last * coupled) for steps, last in zip(self.steps, self.last, strict=True)
        )

    def _by_steps(self, steps: int, missing: float) -> float:
        share = (math.log(1.648 * math.sqrt(self.size) / missing) / (2 * steps - 1)) ** 2
        return float(share / (1 - 2 * share) * (self.high - self.low)) if share < 0.5 else math.inf

    def mean(self, function: Callable[[Floats], Floats]) -> float:
        """Mean of a function of the eigenvalues, by quadrature."""
        parts = [float(weights @ function(nodes)) for nodes, weights in zip(self.nodes, self.weights, strict=True)]
        return sum(parts) / len(parts)

    def density(self, points: int = 200, width: float = 0.01) -> tuple[Floats, Floats]:
        """Share of eigenvalues per unit, on a grid: nodes widened to Gaussians.

        Args:
            points: of the grid, 2 or more; it reaches four widths beyond the ends.
            width: standard deviation of the Gaussians as a share of the spectrum's width, above 0.

        Returns:
            Grid `[points]` and density `[points]`.
        """
        if points < 2 or not width > 0:
            raise ArgumentError("points and width", "at least 2, and above 0", f"{points} and {width}")
        spread = width * (self.high - self.low or abs(self.high) or 1.0)
        grid = np.linspace(self.low - 4 * spread, self.high + 4 * spread, points)
        nodes, weights = np.concatenate(self.nodes), np.concatenate(self.weights) / len(self.nodes)
        bumps = np.exp(-0.5 * np.square((grid[:, None] - nodes) / spread)) / (spread * math.sqrt(2 * math.pi))
        return grid, bumps @ weights


@dataclass(frozen=True)
class Trace:
    """An estimated trace.

    Args:
        value: the estimate.
        error: its standard error; 0 where it is exact.
        samples: that the error comes from; 0 where it is exact.
    """

    value: float
    error: float
    samples: int

    def interval(self, level: float = 0.95) -> tuple[float, float]:
        """Student's t interval."""
        from scipy.stats import t

        half = 0.0 if self.samples == 0 else float(t.ppf((1 + level) / 2, self.samples - 1)) * self.error
        return self.value - half, self.value + half


def lanczos(multiply: Multiply, like: Tensor, steps: int, starts: int, stream: torch.Generator) -> Ritz:
    """Run Lanczos from random starts side by side, each kept orthogonal to all of its past.

    Takes `steps` products with `starts` columns, and memory for `steps * starts` vectors.

    Args:
        multiply: the symmetric matrix.
        like: a vector `[P]` that says size, dtype and device.
        steps: of each run, 2 or more; at most P are made.
        starts: runs, 1 or more.
        stream: what starts are drawn from, on the CPU.

    Reference:
        Lanczos 1950; as a quadrature of the spectral density Golub and Welsch 1969, and for networks Ghorbani, Krishnan, Xiao.
        An investigation into neural net optimization via Hessian eigenvalue density. ICML 2019.

    Example:
        >>> matrix = torch.diag(torch.tensor([-1.0, 0.0, 2.0, 5.0]))
        >>> found = lanczos(lambda columns: matrix @ columns, matrix[0], 4, 1, torch.Generator().manual_seed(0))
        >>> round(found.low, 4), round(found.high, 4)
        (-1.0, 5.0)
    """
    if steps < 2 or starts < 1:
        raise ArgumentError("steps and starts", "at least 2 and at least 1", f"{steps} and {starts}")
    size = like.numel()
    steps = min(steps, size)
    now = torch.randn(size, starts, generator=stream, dtype=torch.float64).to(like)
    now = now / now.norm(dim=0)
    basis = like.new_zeros(steps, size, starts)
    diagonal, beside = np.zeros((steps, starts)), np.zeros((steps, starts))
    lengths = np.full(starts, steps)
    for step in range(steps):
        basis[step] = now
        ahead = multiply(now)
        diagonal[step] = (now * ahead).sum(0).double().cpu().numpy()
        for _ in range(2):  # once leaves what rounding lost in the subtraction
            ahead = ahead - torch.einsum("jps,js->ps", basis[: step + 1], torch.einsum("jps,ps->js", basis[: step + 1], ahead))
        length = ahead.norm(dim=0)
        beside[step] = length.double().cpu().numpy()
        scale = np.maximum(np.abs(diagonal[: step + 1]).max(0), beside[: step + 1].max(0))
        spent = (beside[step] <= 10 * torch.finfo(like.dtype).eps * scale) & (lengths == steps)
        lengths[spent] = step + 1
        if (lengths <= step + 1).all():
            break
        now = torch.where(length > 0, ahead / length, 0.0)
    return _ritz(size, diagonal, beside, lengths)


def _ritz(size: int, diagonal: Floats, beside: Floats, lengths: np.ndarray) -> Ritz:
    """Nodes, weights and residuals of the tridiagonal matrices."""
    from scipy.linalg import eigh_tridiagonal

    nodes, weights, ends = [], [], []
    for start, length in enumerate(lengths.tolist()):
        values, vectors = eigh_tridiagonal(diagonal[:length, start], beside[: length - 1, start])
        nodes.append(values)
        weights.append(np.square(vectors[0]))
        ends.append(beside[length - 1, start] * np.abs(vectors[-1, [0, -1]]))
    lowest = int(np.argmin([values[0] for values in nodes]))
    highest = int(np.argmax([values[-1] for values in nodes]))
    residuals = float(ends[lowest][0]), float(ends[highest][1])
    last = tuple(float(beside[length - 1, start]) for start, length in enumerate(lengths.tolist()))
    return Ritz(size, tuple(nodes), tuple(weights), residuals, tuple(lengths.tolist()), last)


def hutch_plus_plus(multiply: Multiply, like: Tensor, products: int, stream: torch.Generator) -> Trace:
    """Estimate the trace: exactly on a third of the products' range, by Hutchinson's probes on the rest.

    Args:
        multiply: the symmetric matrix.
        like: a vector `[P]` that says size, dtype and device.
        products: with a vector that may be made, 6 or more.
        stream: what probes are drawn from, on the CPU.

    Reference:
        Meyer, Musco, Musco, Woodruff. Hutch++: optimal stochastic trace estimation. SOSA 2021.

    Departures:
        The probes of the rest are kept apart, for a standard error: given the range they are independent.

    Example:
        >>> matrix = torch.diag(torch.tensor([3.0, 2.0, 1.0] + [0.0] * 97))
        >>> found = hutch_plus_plus(lambda columns: matrix @ columns, matrix[0], 30, torch.Generator().manual_seed(0))
        >>> round(found.value, 4)  # no more directions than a third of the products
        6.0
    """
    if products < 6:
        raise ArgumentError("products", "at least 6", products)
    size, third = like.numel(), products // 3
    drawn = torch.randint(0, 2, (size, products - third), generator=stream).to(like) * 2 - 1
    basis = torch.linalg.qr(multiply(drawn[:, :third])).Q
    known = float((basis * multiply(basis)).sum())
    rest = drawn[:, third:]
    rest = rest - basis @ (basis.T @ rest)
    samples = (rest * multiply(rest)).sum(0).double()
    return Trace(known + float(samples.mean()), float(samples.std() / math.sqrt(len(samples))), len(samples))


def dense(multiply: Multiply, like: Tensor) -> tuple[Ritz, Trace]:
    """All eigenvalues, from P products."""
    size = like.numel()
    matrix = multiply(torch.eye(size, dtype=like.dtype, device=like.device)).double().cpu().numpy()
    values = np.linalg.eigvalsh((matrix + matrix.T) / 2)
    found = Ritz(size, (values,), (np.full(size, 1 / size),), (0.0, 0.0), (size,), (0.0,), exact=True)
    return found, Trace(float(np.trace(matrix)), 0.0, 0)
