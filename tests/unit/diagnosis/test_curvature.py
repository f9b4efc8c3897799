from __future__ import annotations

import json
import math
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from steelyard.core.errors import ArgumentError
from steelyard.diagnosis.curvature import ClassCurvature, Curvature, Effort, curvature
from steelyard.losses import CrossEntropy, LogitAdjusted
from steelyard.problems import load

COUNTS = [60, 25, 8, 3]


def drawn(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def tanh_net(seed: int = 0, hidden: int = 12) -> nn.Module:
    model = nn.Sequential(nn.Linear(5, hidden), nn.Tanh(), nn.Linear(hidden, 4)).double()
    with torch.no_grad():
        for value in model.parameters():
            value.copy_(torch.randn(value.shape, generator=drawn(seed), dtype=torch.float64) * 0.7)
    return model


def rows(seed: int = 1) -> tuple[Tensor, Tensor]:
    target = torch.repeat_interleave(torch.arange(4), torch.tensor(COUNTS))
    return torch.randn(len(target), 5, generator=drawn(seed), dtype=torch.float64) + target[:, None] * 0.3, target


def full_hessian(model: nn.Module, inputs: Tensor, target: Tensor, weight: Tensor | None = None) -> np.ndarray:
    names = [name for name, value in model.named_parameters() if value.requires_grad]
    shapes = [model.get_parameter(name).shape for name in names]

    def loss(flat: Tensor) -> Tensor:
        pieces = flat.split([shape.numel() for shape in shapes])
        params = {name: piece.reshape(shape) for name, piece, shape in zip(names, pieces, shapes, strict=True)}
        values = F.cross_entropy(torch.func.functional_call(model, params, (inputs,)), target, reduction="none")
        return (values if weight is None else values * weight[target]).mean()

    flat = torch.cat([model.get_parameter(name).detach().flatten() for name in names])
    found: np.ndarray = torch.func.hessian(loss)(flat).numpy()
    return found


LIGHT = Effort(steps=25, starts=1, probes=24)
FEW = Effort(steps=8, starts=1, probes=9)


@pytest.fixture(scope="module")
def by_class() -> Curvature:
    return curvature(tanh_net(), CrossEntropy(), rows(), effort=LIGHT)


def test_each_class_against_its_full_hessian(by_class: Curvature) -> None:
    model, (inputs, target) = tanh_net(), rows()
    assert by_class.parameters == 124 > LIGHT.products
    assert [part.name for part in by_class.parts] == ["0", "1", "2", "3"]
    for label, part in enumerate(by_class.parts):
        own = target == label
        truth = np.linalg.eigvalsh(full_hessian(model, inputs[own], target[own]))
        assert part.rows == part.available == COUNTS[label]
        assert part.lambda_max == pytest.approx(truth[-1], rel=1e-5)
        assert part.lambda_min == pytest.approx(truth[0], rel=1e-3)
        assert part.converged
        assert not part.ritz.exact
        # Estimates of these probes; how often intervals hold is tested where they are made.
        assert part.trace.value == pytest.approx(truth.sum(), abs=5 * part.trace.error)
        assert part.absolute_trace == pytest.approx(np.abs(truth).sum(), rel=0.6)
        for name, value in (("lambda_max", truth[-1]), ("lambda_min", truth[0])):
            low, high = part.intervals[name]
            assert low - 1e-8 <= value <= high + 1e-8
        loss = F.cross_entropy(model(inputs[own]), target[own])
        gradient = torch.cat([g.flatten() for g in torch.autograd.grad(loss, list(model.parameters()))])
        assert part.loss == pytest.approx(float(loss.detach()))
        assert part.gradient_norm == pytest.approx(float(gradient.norm()))


def test_all_rows_are_the_classes_weighed_by_their_rows() -> None:
    exact = Effort(steps=100, starts=1, probes=30, batch_size=40)  # more products than parameters
    model, data = tanh_net(), rows()
    classes = curvature(model, CrossEntropy(), data, effort=exact)
    everything = curvature(model, CrossEntropy(), data, by=None, effort=exact).parts[0]
    assert everything.ritz.exact
    assert classes.products == 124
    shares = np.array(COUNTS) / sum(COUNTS)
    assert everything.trace.value == pytest.approx(shares @ [part.trace.value for part in classes.parts])
    assert everything.lambda_max <= shares @ [part.lambda_max for part in classes.parts] + 1e-12
    assert everything.lambda_min >= shares @ [part.lambda_min for part in classes.parts] - 1e-12
    truth = np.linalg.eigvalsh(full_hessian(model, *data))
    assert [everything.lambda_min, everything.lambda_max] == pytest.approx([truth[0], truth[-1]], rel=1e-9)
    assert everything.intervals["lambda_max"] == (everything.lambda_max, everything.lambda_max)


def test_softmax_regression_at_zero() -> None:
    """H = (I - J / k) / k x E[x x^T], whatever the class."""
    k, scales = 10, torch.tensor([2.0, 1, 1, 1, 1], dtype=torch.float64)
    inputs = (torch.eye(5, dtype=torch.float64) * scales * math.sqrt(5)).repeat(k, 1)
    model = nn.Linear(5, k, bias=False).double()
    nn.init.zeros_(model.weight)
    found = curvature(
        model, CrossEntropy(), (inputs, torch.arange(k).repeat_interleave(5)), effort=Effort(steps=2, starts=1, probes=50)
    )
    for part in found.parts:
        assert (part.lambda_max, part.trace.value) == pytest.approx((0.4, 7.2))
        assert part.lambda_min == pytest.approx(0, abs=1e-12)


class Product(nn.Module):
    """Scores (a b x, 0)."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Parameter(torch.zeros(1)), nn.Parameter(torch.zeros(1))

    def forward(self, inputs: Tensor) -> Tensor:
        score = self.a * self.b * inputs[:, 0]
        return torch.stack([score, torch.zeros_like(score)], 1)


def test_a_saddle_of_each_class_is_none_of_all_rows() -> None:
    inputs, target = torch.ones(101, 1), torch.tensor([0] * 100 + [1])
    found = curvature(Product(), CrossEntropy(), (inputs, target))
    for part in found.parts:
        assert (part.lambda_min, part.lambda_max, part.trace.value) == pytest.approx((-0.5, 0.5, 0))
    both = curvature(Product(), CrossEntropy(), (inputs[99:], target[99:]), by=None).parts[0]
    assert (both.lambda_min, both.lambda_max) == pytest.approx((0, 0))
    uneven = curvature(Product(), CrossEntropy(), (inputs, target), by=None).parts[0]
    assert (uneven.lambda_min, uneven.lambda_max) == pytest.approx((-0.5 * 99 / 101, 0.5 * 99 / 101))


def test_groups_pool_their_rows_and_means_average_classes(by_class: Curvature) -> None:
    model, (inputs, target) = tanh_net(), rows()
    found = curvature(model, CrossEntropy(), (inputs, target), by="group", groups="index:1,2", effort=LIGHT)
    assert [(part.name, part.classes, part.rows) for part in found.parts] == [
        ("many", (0,), 60), ("medium", (1,), 25), ("few", (2, 3), 11),
    ]  # fmt: skip
    few = target >= 2
    assert found.part("few").lambda_max == pytest.approx(np.linalg.eigvalsh(full_hessian(model, inputs[few], target[few]))[-1])
    assert by_class.members["few"] == (3,)
    mean = replace(by_class, members={"few": (2, 3)}).mean("few")
    assert mean["classes"] == [2, 3]
    for name in ("lambda_max", "lambda_min"):
        assert mean[name] == pytest.approx(np.mean([getattr(part, name) for part in by_class.parts[2:]]))
        assert mean["intervals"][name][0] <= mean[name] <= mean["intervals"][name][1]
    assert mean["trace"] == pytest.approx(np.mean([part.trace.value for part in by_class.parts[2:]]))
    low, high = mean["intervals"]["trace"]
    assert high - low < max(np.diff(part.intervals["trace"])[0] for part in by_class.parts[2:])
    with pytest.raises(ArgumentError, match="by='class'"):
        found.mean("few")


def test_the_same_again_and_nothing_is_left_behind() -> None:
    model = nn.Sequential(nn.Linear(5, 12), nn.BatchNorm1d(12), nn.Dropout(0.5), nn.Tanh(), nn.Linear(12, 4)).double()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    state = torch.get_rng_state()
    first, second = (curvature(model, CrossEntropy(), rows(), effort=FEW, by=None).to_json() for _ in range(2))
    assert first == second
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert all(module.training for module in model.modules())
    assert all(value.grad is None for value in model.parameters())
    other = curvature(model, CrossEntropy(), rows(), effort=FEW, by=None, seed=1)
    assert other.to_json() != first


def test_batches_and_columns_change_nothing() -> None:
    one, two = (
        curvature(tanh_net(), CrossEntropy(), rows(), by=None, effort=Effort(**sizes, steps=8, starts=2, probes=9)).parts[0]
        for sizes in ({}, {"batch_size": 41, "columns": 1})
    )
    assert one.lambda_min == pytest.approx(two.lambda_min, rel=1e-9)
    assert one.trace.value == pytest.approx(two.trace.value, rel=1e-9)


def test_class_weights_are_not_undone() -> None:
    weight = torch.tensor([1.0, 2.0, 4.0, 10.0], dtype=torch.float64)
    model, data = tanh_net(), rows()
    found = curvature(
        model, lambda z, y: F.cross_entropy(z, y, reduction="none") * weight[y], data, effort=FEW, class_counts=COUNTS
    )
    plain = curvature(model, nn.CrossEntropyLoss(reduction="none"), data, effort=FEW)
    assert [one.lambda_max / two.lambda_max for one, two in zip(found.parts, plain.parts, strict=True)] == pytest.approx(
        [1, 2, 4, 10]
    )
    with pytest.raises(ArgumentError, match="reduction"):
        curvature(model, nn.CrossEntropyLoss(weight=weight), data)


class Loader:
    """Batches; noise makes them differ from pass to pass."""

    def __init__(self, noise: float = 0.0) -> None:
        self.noise, self.stream = noise, drawn(5)

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        inputs, target = rows()
        for some, classes in zip(inputs.split(10), target.split(10), strict=True):
            yield some + self.noise * torch.randn(some.shape, generator=self.stream, dtype=some.dtype), classes


def test_loaders_are_read_in_order_and_augmentation_is_refused() -> None:
    found = curvature(tanh_net(), CrossEntropy(), Loader(), by=None, effort=FEW)
    assert found.to_json() == curvature(tanh_net(), CrossEntropy(), rows(), by=None, effort=FEW).to_json()
    for wrong in (Loader(noise=0.1), iter(Loader())):
        with pytest.raises(ArgumentError, match="every time"):
            curvature(tanh_net(), CrossEntropy(), wrong, effort=LIGHT)


def test_dropout_that_is_always_on_is_refused() -> None:
    class Noisy(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.net = tanh_net()

        def forward(self, inputs: Tensor) -> Tensor:
            scores: Tensor = self.net(F.dropout(inputs, 0.5, training=True))
            return scores

    with pytest.raises(ArgumentError, match="dropout"):
        curvature(Noisy(), CrossEntropy(), rows(), effort=LIGHT)


def test_frozen_parameters_do_not_count() -> None:
    model, (inputs, target) = tanh_net(), rows()
    model[0].requires_grad_(False)
    part = curvature(model, CrossEntropy(), (inputs, target), by=None).parts[0]
    truth = np.linalg.eigvalsh(full_hessian(model, inputs, target))
    assert part.ritz.size == 52
    assert (part.lambda_max, part.trace.value) == pytest.approx((truth[-1], truth.sum()))
    with pytest.raises(ArgumentError, match="require gradients"):
        curvature(model.requires_grad_(False), CrossEntropy(), (inputs, target))


@pytest.mark.parametrize("settings", [{"model": "mlp", "model_settings": {"hidden": (8,), "dropout": 0.3}}, {"task": "tables"}])
def test_a_source_of_a_task(settings: dict[str, Any]) -> None:
    task = load("wine", factor=4, **settings)
    torch.manual_seed(0)
    model, source = task.model(), task.splits["train"]
    loss = LogitAdjusted(task.counts)
    found = curvature(model, loss, source, task=task, effort=Effort(rows=9, steps=10, starts=1, probes=12))
    assert [part.name for part in found.parts] == list(task.class_names)
    assert [part.rows for part in found.parts] == [min(9, n) for n in task.counts.tolist()]
    assert all(part.lambda_max > 0 for part in found.parts)


def test_a_class_without_rows_has_no_part() -> None:
    inputs, target = rows()
    found = curvature(
        tanh_net(), CrossEntropy(), (inputs[target != 1], target[target != 1]), effort=Effort(steps=5, starts=1, probes=9)
    )
    assert [part.name for part in found.parts] == ["0", "2", "3"]
    assert not found.converged
    assert not json.loads(found.to_json())["converged"]


def test_json_holds_what_was_found(by_class: Curvature) -> None:
    values = json.loads(by_class.to_json())
    assert values["parts"][2]["lambda_max"] == by_class.part("2").lambda_max
    assert values["means"]["few"]["trace"] == by_class.mean("few")["trace"]
    assert len(values["parts"][0]["spectrum"]["density"]) == 100
    grid, density = by_class.parts[0].density(300)
    assert np.trapezoid(density, grid) == pytest.approx(1, abs=1e-2)
    assert isinstance(by_class.parts[0], ClassCurvature)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"by": "row"}, "'class', 'group' or None"),
        ({"level": 1.0}, "level"),
        ({"class_counts": [3, 2]}, "class_counts"),
        ({"data": (torch.zeros(3, 5), 4)}, "inputs and classes"),
    ],
)
def test_arguments(wrong: dict[str, Any], message: str) -> None:
    given = {"data": rows(), **wrong}
    with pytest.raises(ArgumentError, match=message):
        curvature(tanh_net(), CrossEntropy(), given.pop("data"), **given)
    with pytest.raises(ArgumentError, match="probes"):
        Effort(probes=5)
