"""What meta-learned weightings are taught with is the gradient through the step by double backward, in float32 and float64."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from meta_cases import forward, pool_of, rows
from networks import Convolution
from torch import Tensor, nn
from torch.func import functional_call

from steelyard.core.objective import Objective
from steelyard.core.oracle import Oracle
from steelyard.core.pool import RowPool
from steelyard.core.rows import Batch, Evidence
from steelyard.weightings import ClassAwareMetaWeightNet, LossCurveNet, MetaClassWeights, MetaWeightNet
from steelyard.weightings._taught import Taught

FORMS: dict[str, Callable[[Tensor], Tensor]] = {
    "batch": lambda v: v / v.mean(),
    "none": lambda v: v,
    "detached": lambda v: v / v.mean().detach(),
}
CASES = [(which, form) for which in ("mw-net", "curvenet", "class weights") for form in FORMS] + [("cmw-net", "batch")]
SEEDS = (0, 1)


class Kept:
    """In the place of the optimiser of a weighting: keeps the gradient and moves nothing."""

    def __init__(self, own: list[nn.Parameter]) -> None:
        self.own = own
        self.gradients: list[Tensor] = []

    def step(self) -> None:
        self.gradients = [value.grad.clone() for value in self.own]


def made(which: str, pool: RowPool, form: str, stream: torch.Generator) -> Taught:
    if which == "mw-net":
        return MetaWeightNet(pool, hidden=7, normalise=form)
    if which == "cmw-net":
        return ClassAwareMetaWeightNet(pool, [60, 9, 2], hidden=7)
    if which == "curvenet":
        return LossCurveNet(pool, torch.randn(9, 5, generator=stream), 3, normalise=form)
    return MetaClassWeights(pool, 3, normalise=form)


def drawn(shape: tuple[int, ...], count: int, seed: int, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    inputs, target = rows(shape, count, seed)
    return inputs.to(dtype), target


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-5), (torch.float64, 1e-9)])
@pytest.mark.parametrize(("which", "form"), CASES)
@pytest.mark.parametrize("seed", SEEDS)
def test_it_is_the_double_backward_gradient(which: str, form: str, dtype: torch.dtype, tolerance: float, seed: int) -> None:
    torch.manual_seed(seed)
    shape, model, stream = (3, 8, 8), Convolution().to(dtype), torch.Generator().manual_seed(4 + seed)
    (inputs, target), meta = drawn(shape, 9, 1 + seed, dtype), drawn(shape, 6, 11 + seed, dtype)
    weighting = made(which, pool_of(*meta), form, stream).to(dtype)
    own, params = list(weighting.parameters()), dict(model.named_parameters())
    with torch.no_grad():
        for value in own:
            value += 0.3 * torch.randn(value.shape, generator=stream, dtype=dtype)

    def at(place: dict[str, Tensor], seen: Tensor) -> Tensor:
        buffers = {name: value.clone() for name, value in model.named_buffers()}
        return functional_call(model, place | buffers, (seen,))

    losses = F.cross_entropy(at(params, inputs), target, reduction="none")
    raw = weighting.raw(Evidence(target=target, losses=losses.detach(), index=torch.arange(9)))
    step = torch.autograd.grad((FORMS[form](raw) * losses).mean(), list(params.values()), create_graph=True)
    moved = {name: value - 0.3 * g for (name, value), g in zip(params.items(), step, strict=True)}
    expected = torch.autograd.grad(F.cross_entropy(at(moved, meta[0]), meta[1]), own, materialize_grads=True)

    weighting._teacher = Kept(own)
    oracle = Oracle(model, forward, Objective(weighting=weighting))
    oracle.optimizer = torch.optim.SGD(model.parameters(), lr=0.3)
    weighting.prepare(oracle, Batch(inputs, target, torch.arange(9)))
    oracle.close()
    found = torch.cat([value.flatten() for value in weighting._teacher.gradients])
    exact = torch.cat([value.flatten() for value in expected])
    assert exact.norm() > 0
    assert (found - exact).norm() <= tolerance * exact.norm()
