"""Curvature of the loss of each class in a trained model: extreme eigenvalues, trace and spectrum of its Hessian."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from torch import nn

from steelyard.core.counts import CountsLike
from steelyard.core.errors import ArgumentError
from steelyard.core.loss import Loss
from steelyard.core.objective import RowLoss
from steelyard.core.seeds import generator
from steelyard.core.task import Task
from steelyard.diagnosis.curvature_data import Data, Part, choose
from steelyard.diagnosis.hessian import Hessian, still
from steelyard.diagnosis.spectrum import Ritz, Trace, dense, hutch_plus_plus, lanczos
from steelyard.metrics.arrays import Floats

POINTS = 100
"""Of each density in `to_dict`."""


@dataclass(frozen=True)
class ClassCurvature:
    """The Hessian of the mean loss of some rows, by all trainable parameters.

    Args:
        name: of the class or group; "all" for all rows.
        classes: whose rows they are.
        available: rows that there are.
        rows: of them that were taken.
        loss: their mean loss.
        gradient_norm: of it. One class alone is no stationary point, so a negative eigenvalue does not say that training sits
            on a saddle.
        ritz: what was found of the spectrum.
        trace: the trace and its standard error.
        level: of the intervals.
        converged: are the residuals of both eigenvalues below the tolerance?
    """

    name: str
    classes: tuple[int, ...]
    available: int
    rows: int
    loss: float
    gradient_norm: float
    ritz: Ritz
    trace: Trace
    level: float
    converged: bool

    @property
    def lambda_max(self) -> float:
        """Largest eigenvalue found; the largest there is is no smaller."""
        return self.ritz.high

    @property
    def lambda_min(self) -> float:
        """Smallest eigenvalue found; the smallest there is is no larger."""
        return self.ritz.low

    @property
    def intervals(self) -> dict[str, tuple[float, float]]:
        """Of what was estimated with probes, for these rows; both eigenvalues' hold together."""
        reach = self.ritz.reach(self.level)
        return {
            "lambda_max": (self.lambda_max, self.lambda_max + reach),
            "lambda_min": (self.lambda_min - reach, self.lambda_min),
            "trace": self.trace.interval(self.level),
        }

    @property
    def absolute_trace(self) -> float:
        """Sum of |eigenvalues|: how much curvature there is where signs cancel in the trace. By quadrature, no interval."""
        return self.ritz.size * self.ritz.mean(np.abs)

    def density(self, points: int = 200, width: float = 0.01) -> tuple[Floats, Floats]:
        """Spectral density on a grid; arguments as in `Ritz.density`."""
        return self.ritz.density(points, width)

    def to_dict(self) -> dict[str, Any]:
        """Plain values; None stands for infinity and NaN."""
        grid, density = self.density(POINTS)
        values: dict[str, Any] = _plain({
            "name": self.name,
            "classes": list(self.classes),
            "available": self.available,
            "rows": self.rows,
            "loss": self.loss,
            "gradient_norm": self.gradient_norm,
            "lambda_max": self.lambda_max,
            "lambda_min": self.lambda_min,
            "trace": self.trace.value,
            "trace_error": self.trace.error,
            "absolute_trace": self.absolute_trace,
            "intervals": self.intervals,
            "residuals": list(self.ritz.residuals),
            "steps": list(self.ritz.steps),
            "converged": self.converged,
            "exact": self.ritz.exact,
            "spectrum": {"value": grid.tolist(), "density": density.tolist()},
        })  # fmt: skip
        return values


@dataclass(frozen=True)
class Curvature:
    """What `curvature` found.

    Args:
        by: "class", "group" or None.
        parts: one for each class or group that has rows.
        parameters: trainable numbers P.
        parameter_norm: their length. Eigenvalues times its square do not change where a layer's scale moves into the next.
        groups: rule of the groups.
        members: classes of "many", "medium" and "few".
        level: of the intervals.
        products: of the Hessian and a vector, for each part.
    """

    by: str | None
    parts: tuple[ClassCurvature, ...]
    parameters: int
    parameter_norm: float
    groups: str
    members: dict[str, tuple[int, ...]]
    level: float
    products: int

    @property
    def converged(self) -> bool:
        """Have the eigenvalues of every part converged?"""
        return all(part.converged for part in self.parts)

    def part(self, name: str) -> ClassCurvature:
        """The part of this name."""
        for one in self.parts:
            if one.name == name:
                return one
        raise ArgumentError("name", f"one of {', '.join(one.name for one in self.parts)}", repr(name))

    def mean(self, group: str) -> dict[str, Any]:
        """Mean of the numbers of a group's classes, as in the tables of the RDR paper; needs `by="class"`.

        It is not the curvature of the group's rows together, which `by="group"` gives.

        Args:
            group: "many", "medium" or "few".

        Returns:
            "lambda_max", "lambda_min", "trace", "intervals" of these means, and the "classes" that had rows; NaN without any.
        """
        if self.by != "class" or group not in self.members:
            raise ArgumentError("group", f"one of {', '.join(self.members)}, of a result with by='class'", repr(group))
        parts = [part for part in self.parts if part.classes[0] in self.members[group]]
        number = len(parts)
        if number == 0:
            empty = dict.fromkeys(("lambda_max", "lambda_min", "trace"), math.nan)
            return {**empty, "intervals": dict.fromkeys(empty, (math.nan, math.nan)), "classes": []}
        high, low, trace = (sum(values) / number for values in zip(*(_numbers(part) for part in parts), strict=True))
        # All classes' bounds have to hold at once for their mean to hold.
        reach = sum(part.ritz.reach(1 - (1 - self.level) / number) for part in parts) / number
        error = math.sqrt(sum(part.trace.error**2 for part in parts)) / number
        pooled = Trace(trace, error, min(part.trace.samples for part in parts if part.trace.samples or not error))
        return {
            "lambda_max": high,
            "lambda_min": low,
            "trace": trace,
            "intervals": {
                "lambda_max": (high, high + reach),
                "lambda_min": (low - reach, low),
                "trace": pooled.interval(self.level),
            },
            "classes": [part.classes[0] for part in parts],
        }

    def to_dict(self) -> dict[str, Any]:
        """Plain values; None stands for infinity and NaN."""
        means = {name: self.mean(name) for name in self.members} if self.by == "class" else {}
        return {
            "by": self.by,
            "parameters": self.parameters,
            "parameter_norm": self.parameter_norm,
            "groups": self.groups,
            "members": {name: list(classes) for name, classes in self.members.items()},
            "level": self.level,
            "products": self.products,
            "converged": self.converged,
            "means": _plain(means),
            "parts": [part.to_dict() for part in self.parts],
        }

    def to_json(self, indent: int | None = 2) -> str:
        """`to_dict` as JSON.

        Args:
            indent: spaces a level; None for one line.
        """
        return json.dumps(self.to_dict(), indent=indent, allow_nan=False)


@dataclass(frozen=True)
class Effort:
    """How hard `curvature` tries.

    Args:
        rows: at most so many of each part, drawn once; 1 or more.
        steps: Lanczos steps of each start, 2 or more. The bounds on the eigenvalues shrink with their square.
        starts: random starts, 1 or more.
        probes: products for the trace, 6 or more.
        columns: products made at once, 1 or more: more are faster and take more memory.
        batch_size: rows that pass through the model at once, 1 or more.
        tolerance: residual of an eigenvalue that has converged, as a share of the largest |eigenvalue|.
    """

    rows: int = 512
    steps: int = 60
    starts: int = 2
    probes: int = 60
    columns: int = 8
    batch_size: int = 256
    tolerance: float = 0.01

    def __post_init__(self) -> None:
        least = {"rows": 1, "steps": 2, "starts": 1, "probes": 6, "columns": 1, "batch_size": 1}
        for name, bound in least.items():
            if getattr(self, name) < bound:
                raise ArgumentError(name, f"at least {bound}", getattr(self, name))
        if not self.tolerance > 0:
            raise ArgumentError("tolerance", "above 0", self.tolerance)

    @property
    def products(self) -> int:
        """Products of the Hessian and a vector, for each part."""
        return self.steps * self.starts + self.probes


def curvature(
    model: nn.Module,
    loss: Loss | RowLoss,
    data: Data,
    *,
    by: str | None = "class",
    task: Task | None = None,
    class_counts: CountsLike | None = None,
    groups: str = "auto",
    effort: Effort | None = None,
    level: float = 0.95,
    seed: int = 0,
) -> Curvature:
    """Largest and smallest eigenvalue, trace and spectrum of the Hessian of each class' mean loss, in evaluation mode.

    Rows are chosen once and pass in a fixed order; model, `.grad` and global generators are left as they are. Models to be
    compared meet the same rows and, where they are of one size, the same probes. Compare at one scale of the loss only.

    Args:
        model: trained; its parameters that require gradients count.
        loss: per row: a loss of steelyard, or any function of `(logits, target)` that returns `[N]`. Weight decay is not in it.
        data: inputs and classes `[N]`; a source of `task`; or batches of inputs and classes that come the same every time.
        by: a Hessian for each "class", each "group" (of all its rows together), or one of all rows (None).
        task: reads the source and scores its rows; without it `model(inputs)` are the logits.
        class_counts: training rows of each class `[C]`, for the groups; counted in the data if None.
        groups: as for `steelyard.core.counts.group_classes`.
        effort: how many rows and products. With no more parameters than products all eigenvalues are computed instead.
        level: of the intervals, in (0, 1). They are about the probes: other rows would give other numbers, and a class of five
            rows very different ones.
        seed: of rows and probes.

    Returns:
        Curvature, with `to_json`.

    Raises:
        ArgumentError: arguments that do not fit, a loss that is not per row (a mean would undo the weights of a single class),
            or data or a model that are not the same twice (augmentation, dropout).
        SteelyardError: curvlinops is not installed.

    Reference:
        Per class: Rangwani, Aithal, Mishra, Babu. Escaping saddle points for effective generalization on class-imbalanced data.
        NeurIPS 2022. As means over few-shot classes: the RDR paper, NeurIPS 2024.

    Departures:
        The released code of Rangwani et al. leaves training augmentation on, so that each product sees other data; that alone
        makes negative eigenvalues. Here a fixed set of rows has one Hessian.

    Example:
        >>> import torch
        >>> model, inputs, target = nn.Linear(4, 2, bias=False), torch.eye(4), torch.tensor([0, 0, 1, 1])
        >>> nn.init.zeros_(model.weight).shape
        torch.Size([2, 4])
        >>> from steelyard.losses import CrossEntropy
        >>> found = curvature(model, CrossEntropy(), (inputs, target))
        >>> round(found.part("0").lambda_max, 6), round(found.part("0").trace.value, 6)
        (0.25, 0.5)
    """
    if not 0 < level < 1:
        raise ArgumentError("level", "between 0 and 1", level)
    effort = Effort() if effort is None else effort
    parameters = [value for value in model.parameters() if value.requires_grad]
    if not parameters:
        raise ArgumentError("model", "one with parameters that require gradients", type(model).__name__)
    options = {"task": task, "by": by, "class_counts": class_counts, "groups": groups}
    where = parameters[0].device
    chosen = choose(data, **options, rows=effort.rows, seed=seed)  # type: ignore[arg-type]
    with still(model):
        parts = []
        for part in chosen.parts:
            batches = chosen.batches(part, effort.batch_size, where)
            parts.append(_measure(part, Hessian(model, loss, task, batches, effort.columns), effort, (level, seed)))
    norm = math.sqrt(sum(float(value.detach().double().square().sum()) for value in parameters))
    size = sum(value.numel() for value in parameters)
    products = min(effort.products, size)
    return Curvature(by, tuple(parts), size, norm, chosen.rule, chosen.members, level, products)


def _measure(part: Part, hessian: Hessian, effort: Effort, settings: tuple[float, int]) -> ClassCurvature:
    """What there is to know about one Hessian; settings are the level and the seed."""
    level, seed = settings
    hessian.check_repeats(seed)
    loss, gradient = hessian.gradient()
    like = hessian.like
    if like.numel() <= effort.products:
        ritz, trace = dense(hessian, like)
    else:
        ritz = lanczos(hessian, like, effort.steps, effort.starts, generator(seed, "curvature", "lanczos"))
        trace = hutch_plus_plus(hessian, like, effort.probes, generator(seed, "curvature", "trace"))
    norm, converged = float(gradient.double().norm()), ritz.converged(effort.tolerance)
    return ClassCurvature(part.name, part.classes, part.available, len(part.rows), loss, norm, ritz, trace, level, converged)


def _numbers(part: ClassCurvature) -> tuple[float, float, float]:
    return part.lambda_max, part.lambda_min, part.trace.value


def _plain(value: Any) -> Any:
    """Values as JSON knows them."""
    if isinstance(value, dict):
        return {name: _plain(one) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
