"""Make probabilities mean what they say: one temperature for all scores, and a bias a class where asked for."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from steelyard.core.errors import ArgumentError
from steelyard.core.loss import check_classes, upcast
from steelyard.decisions._arrays import (
    Floats,
    Ints,
    as_floats,
    as_number,
    as_scores,
    as_target,
    as_weight,
    finite_logs,
    like,
)

REACH = 1e3
"""The temperature lies within this factor of the spread of the scores: with scores that separate the classes, or that say
nothing, the best temperature is 0 or infinity."""
PULL = 1e-2
"""Strength that holds the biases near 0, in rows: a class without rows would be given a bias of minus infinity."""
STEPS = 100
"""Most Newton steps; about ten suffice."""
HALVINGS = 60
"""Most times that a step is halved."""
FLAT = 1e-30
LONGEST = 1e6
"""Least curvature, and longest step: where all probabilities are 0 or 1 there is next to no curvature."""
DONE = 1e-13
"""The search ends with a step that would gain less than this share of the value."""


class Temperature(nn.Module):
    """Divide scores by a temperature; with a bias, also add one a class.

    Formula:
        `z / T + b`. Without bias no decision changes, only how certain the probabilities are.

    Args:
        temperature: above 0; above 1 makes probabilities less certain.
        bias: `[C]`, finite; None for no bias.
        zero: the logarithm of the probability that a score of minus infinity (the logarithm of 0) stands for, below 0; None
            for 708 below the row's largest score, about the logarithm of the smallest number.

    Attributes:
        temperature: float64 scalar.
        bias: float64 `[C]`, or None.
        zero: float64 scalar, or None.

    Shape:
        scores `[N, C]` (logits or log-probabilities) to scores `[N, C]`, at least float32.

    Raises:
        ArgumentError: a temperature that is not above 0, a bias that is no finite vector, or a zero that is not below 0.

    Reference:
        Guo, Pleiss, Sun, Weinberger: On calibration of modern neural networks, ICML 2017. With bias: Alexandari, Kundaje,
        Shrikumar: Maximum likelihood with bias-corrected calibration is hard-to-beat at label shift adaptation, ICML 2020.

    Example:
        >>> Temperature(2.0)(torch.tensor([[2.0, 0.0]]))
        tensor([[1., 0.]])
    """

    temperature: Tensor
    bias: Tensor | None
    zero: Tensor | None

    def __init__(self, temperature: float = 1.0, bias: Any = None, zero: float | None = None) -> None:
        super().__init__()
        number = as_number(temperature, "temperature", "a finite number above 0", lambda value: 0 < value < math.inf)
        self.register_buffer("temperature", torch.tensor(number, dtype=torch.float64))
        values = None if bias is None else torch.from_numpy(as_floats(bias, "bias", "finite numbers of shape [C], or None"))
        if values is not None and (values.ndim != 1 or len(values) < 2 or not bool(values.isfinite().all())):
            raise ArgumentError("bias", "finite numbers of shape [C], or None", f"shape {list(values.shape)}: {bias!r:.60}")
        self.register_buffer("bias", values)
        if zero is not None:
            expected = "a finite number below 0, the logarithm of a probability, or None"
            zero = as_number(zero, "zero", expected, lambda value: -math.inf < value < 0)
        self.register_buffer("zero", None if zero is None else torch.tensor(zero, dtype=torch.float64))

    def forward(self, scores: Tensor) -> Tensor:
        """Calibrated scores `[N, C]`."""
        wide = upcast(scores)
        if self.bias is not None:
            check_classes(scores, len(self.bias))
        calibrated = _without_zeros(wide.double(), self.zero) / self.temperature
        if self.bias is not None:
            calibrated = calibrated + self.bias
        return calibrated.to(wide.dtype)

    def proba(self, scores: Any) -> Any:
        """Calibrated probabilities `[N, C]` of logits or log-probabilities: an array of an array, a tensor of a tensor."""
        values = torch.from_numpy(as_scores(scores, "scores")).to(self.temperature.device)
        with torch.no_grad():
            return like(torch.softmax(self(values), 1).cpu().numpy(), scores)

    @classmethod
    def fit(cls, logits: Any, target: Any, *, bias: bool = False, sample_weight: Any = None) -> Temperature:
        """Find the temperature, and the biases, with the lowest mean negative log-likelihood on given rows.

        The problem is convex in 1/T and b and is solved by Newton's method, to the precision of float64. On these rows the
        result is never worse than T = 1 without bias.

        Args:
            logits: scores `[N, C]` of rows that were not trained on: logits, or logarithms of probabilities.
            target: their classes `[N]`. Classes without rows are allowed; with a bias theirs becomes low, but stays finite.
            bias: fit a bias a class too. Costs `N * C**2` a step.
            sample_weight: `[N]`, 0 or more.

        Raises:
            ArgumentError: shapes that do not fit, NaN, or classes that are no column.

        Departures:
            The temperature is kept within a factor of 1000 of the spread of the scores (root mean square distance from the
            row's mean), or of 1, whichever allows more: where the scores separate the classes the best is 0. The biases are
            held near 0 with the strength of a hundredth of a row, for one of a class without rows would be minus infinity.
            Where a true class was given the probability 0, as forests do, likelihood would make all scores equal to forgive
            it: zeros then count as half of the smallest probability above 0 in these rows, if that is more likely.

        Example:
            >>> Temperature.fit([[2.0, 0.0]] * 4, [0, 0, 0, 1]).temperature.item()  # 2 / log 3
            1.820478453253...
        """
        scores = torch.from_numpy(as_scores(logits, "logits"))
        rows, classes = scores.shape
        truth, weight = as_target(target, rows, classes), as_weight(sample_weight, rows)
        zeros: list[float | None] = [None]
        if bool((scores[torch.arange(rows), torch.from_numpy(truth)] == -torch.inf)[torch.from_numpy(weight > 0)].any()):
            zeros.append(_half_of_smallest(scores))
        found = [_fitted(_without_zeros(scores, zero).numpy(), truth, weight, bias) for zero in zeros]
        best = min(range(len(found)), key=lambda i: found[i][0])
        _, temperature, biases = found[best]
        return cls(temperature, biases, zeros[best])

    def to_json(self) -> dict[str, Any]:
        """Plain values from which `from_json` makes the same again, exactly."""
        state: dict[str, Any] = {
            "temperature": float(self.temperature),
            "bias": None if self.bias is None else self.bias.tolist(),
        }
        return state if self.zero is None else state | {"zero": float(self.zero)}

    @classmethod
    def from_json(cls, state: dict[str, Any]) -> Temperature:
        """What `to_json` described."""
        return cls(state["temperature"], state["bias"], state.get("zero"))

    def extra_repr(self) -> str:
        """Shown by print(decision)."""
        parts: dict[str, Any] = {"bias": None if self.bias is None else self.bias.tolist()[:8]}
        parts["zero"] = None if self.zero is None else round(float(self.zero), 4)
        known = "".join(f", {name}={value}" for name, value in parts.items() if value is not None)
        return f"temperature={float(self.temperature):.6g}{known}"


def _without_zeros(scores: Tensor, zero: Tensor | float | None) -> Tensor:
    """Scores with minus infinity replaced by what stands for it, which is never above the row's smallest."""
    if zero is None:
        return finite_logs(scores)
    least = scores.where(scores > -torch.inf, torch.inf).amin(1, keepdim=True)
    return torch.where(scores == -torch.inf, torch.minimum(scores.logsumexp(1, keepdim=True) + zero, least), scores)


def _half_of_smallest(scores: Tensor) -> float:
    """Logarithm of half of the smallest probability above 0."""
    logs = torch.log_softmax(scores, 1)
    return float(logs[logs > -torch.inf].min()) - math.log(2)


def _fitted(values: Floats, truth: Ints, weight: Floats, bias: bool) -> tuple[float, float, Floats | None]:
    """The objective reached, the temperature and the biases."""
    classes = values.shape[1]
    centred = values - values.mean(1, keepdims=True)
    size = max(float(np.abs(centred).max()), 1e-300)  # whose square may be no number
    spread = size * math.sqrt(float(weight @ np.square(centred / size).mean(1)) / weight.sum())
    if spread == 0 and not bias:
        return math.log(classes), 1.0, None
    unit = spread or 1.0
    pull = PULL / weight.sum() if bias else None
    problem = _Problem(np.ascontiguousarray(centred.T) / unit, truth, weight / weight.sum(), pull)
    low, high = min(1 / REACH, unit), max(REACH, unit)
    starts = [np.array([slope] + [0.0] * (classes if bias else 0)) for slope in (unit, 1.0)]  # unit: T = 1
    found = _newton(problem, min(starts, key=lambda at: problem.expanded(at)[0]), low, high)
    return problem.expanded(found)[0], unit / float(found[0]), found[1:] if bias else None


@dataclass(frozen=True)
class _Problem:
    """Mean negative log-likelihood in (1/T, b) of centred scores, plus `pull / 2 * |b|^2`.

    Attributes:
        scores: `[C, N]`, columns of mean 0: sums over classes are then sums of whole rows, which is faster.
        target: `[N]`.
        weight: `[N]`, of sum 1.
        pull: strength that holds b near 0; None without b.
    """

    scores: Floats
    target: Ints
    weight: Floats
    pull: float | None

    def expanded(self, at: Floats) -> tuple[float, Floats, Floats]:
        """Objective, gradient `[P]` and Hessian `[P, P]`."""
        value, p = self._forward(at)
        mean = (p * self.scores).sum(0)
        away = self.scores - mean
        own = away[self.target, np.arange(len(mean))]
        slope = -float(self.weight @ own)
        p *= self.weight
        steep = p * away
        curvature = float((steep * away).sum())
        if self.pull is None:
            return value, np.array([slope]), np.array([[curvature]])
        share = np.bincount(self.target, weights=self.weight, minlength=len(p))
        expected = p.sum(1)
        gradient = np.concatenate([[slope], expected - share + self.pull * at[1:]])
        hessian = np.empty((len(at), len(at)))
        hessian[0, 0] = curvature
        hessian[0, 1:] = hessian[1:, 0] = steep.sum(1)
        hessian[1:, 1:] = np.diag(expected + self.pull) - p @ (p / np.where(self.weight > 0, self.weight, 1.0)).T
        return value, gradient, hessian

    def _forward(self, at: Floats) -> tuple[float, Floats]:
        """Objective and probabilities `[C, N]`."""
        z = self.scores * at[0]
        if self.pull is not None:
            z += at[1:, None]
        z -= z.max(0)
        own = z[self.target, np.arange(z.shape[1])]
        p = np.exp(z, out=z)
        total = p.sum(0)
        p /= total
        value = float(self.weight @ (np.log(total) - own))
        return value + (0.0 if self.pull is None else 0.5 * self.pull * float(at[1:] @ at[1:])), p


def _newton(problem: _Problem, start: Floats, low: float, high: float) -> Floats:
    """Newton's method with halved steps; the first entry stays between its ends. The value never rises, but for rounding."""
    at = start
    value, gradient, hessian = problem.expanded(at)
    for _ in range(STEPS):
        free = np.ones(len(at), dtype=bool)
        free[0] = not ((at[0] <= low and gradient[0] > 0) or (at[0] >= high and gradient[0] < 0))
        if not free.any():
            break
        step = _newton_step(gradient, hessian, free)
        if -float(gradient @ step) <= DONE * max(value, DONE):  # twice what is left to gain
            return _within(at + step, low, high)
        for _ in range(HALVINGS):
            tried = _within(at + step, low, high)
            found = problem.expanded(tried)
            if found[0] < value:
                break
            step /= 2
        else:
            break
        at, (value, gradient, hessian) = tried, found
    return at


def _within(at: Floats, low: float, high: float) -> Floats:
    return np.concatenate([at[:1].clip(low, high), at[1:]])


def _newton_step(gradient: Floats, hessian: Floats, free: np.ndarray[Any, np.dtype[np.bool_]]) -> Floats:
    """The step to the minimum of the quadratic model; a ridge and a limit keep it finite where the model is flat."""
    part = hessian[np.ix_(free, free)]
    ridge = 1e-14 * float(np.trace(part)) / len(part) + FLAT
    step = np.zeros_like(gradient)
    step[free] = -np.linalg.solve(part + ridge * np.eye(len(part)), gradient[free])
    longest: Floats = step * min(1.0, LONGEST / max(float(np.abs(step).max()), FLAT))
    return longest
