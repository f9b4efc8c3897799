"""The cosine classifier: cosines, their gradient, their edge cases, and LDAM on top of it by hand."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

import steelyard as sy
from steelyard.core.errors import ArgumentError
from steelyard.nets.cosine_head import FLOOR, NormedLinear


def head(d: int = 6, classes: int = 4, seed: int = 0) -> NormedLinear:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return NormedLinear(d, classes)


def features(n: int = 9, d: int = 6, seed: int = 1) -> torch.Tensor:
    return torch.randn(n, d, generator=torch.Generator().manual_seed(seed))


def test_weights_start_as_unit_vectors_in_all_directions():
    weight = head(64, 500).weight.detach()
    assert weight.norm(dim=1) == pytest.approx(torch.ones(500), abs=1e-5)
    assert weight.mean(0).abs().max() < 0.03
    # Uniform directions: each coordinate has variance 1/d.
    assert weight.var(0).mean().item() == pytest.approx(1 / 64, rel=0.02)


def test_logits_are_cosines():
    one, inputs = head(), features()
    expected = nn.functional.cosine_similarity(inputs[:, None], one.weight[None], dim=-1)
    assert torch.allclose(one(inputs), expected, atol=1e-6)


@given(scale=st.floats(0.01, 1e6), seed=st.integers(0, 100))
def test_lengths_do_not_matter(scale, seed):
    one, inputs = head(seed=seed), features(seed=seed)
    assert torch.allclose(one(inputs * scale), one(inputs), atol=2e-6)
    assert one(inputs).abs().max() <= 1 + 1e-6


def test_the_gradient_is_exact_and_across_the_feature():
    one = head().double()
    inputs = features().double().requires_grad_()
    assert torch.autograd.gradcheck(lambda x, w: torch.func.functional_call(one, {"weight": w}, x), (inputs, one.weight))
    (gradient,) = torch.autograd.grad(one(inputs)[:, 0].sum(), inputs)
    # Longer in the same direction is the same cosine.
    assert (gradient * inputs).sum(1).abs().max() < 1e-12


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_features_of_zeros_and_of_huge_values_are_finite(dtype):
    one = head()
    inputs = torch.stack([torch.zeros(6), torch.full((6,), 3e4), torch.full((6,), 1e-7)]).to(dtype).requires_grad_()
    logits = one(inputs)
    assert torch.isfinite(logits).all()
    assert (logits[0] == 0).all()
    logits.sum().backward()
    assert torch.isfinite(inputs.grad).all()
    assert torch.isfinite(one.weight.grad).all()
    # The floor of the norm bounds what a row of zeros sends back.
    assert inputs.grad[0].float().norm() <= 4 / FLOOR


def test_half_precision_features_give_float32_cosines():
    one, inputs = head(256, 10), features(32, 256)
    exact = one(inputs)
    assert one(inputs.bfloat16()).dtype == torch.float32
    assert torch.allclose(one(inputs.bfloat16()), one(inputs.bfloat16().float()), atol=1e-7)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        inside = one(inputs)
    assert inside.dtype == torch.float32
    assert torch.equal(inside, exact)


def test_bfloat16_weights_are_taken():
    one = head().bfloat16()
    assert torch.isfinite(one(features().bfloat16())).all()
    assert one(features().double()).dtype == torch.float64


def test_ldam_by_hand_on_the_cosine_head():
    torch.manual_seed(0)
    target = torch.tensor([0] * 60 + [1] * 12 + [2] * 4)
    inputs = torch.randn(76, 6) + 2.5 * torch.eye(3, 6)[target]
    body, one = nn.Sequential(nn.Linear(6, 16), nn.ReLU()), head(16, 3)
    loss = sy.losses.LDAM(torch.bincount(target), max_margin=0.5, scale=30)
    optimizer = torch.optim.SGD([*body.parameters(), *one.parameters()], lr=0.05, momentum=0.9)
    first = last = None
    for _ in range(80):
        optimizer.zero_grad()
        value = loss(one(body(inputs)), target)
        value.backward()
        optimizer.step()
        first, last = first if first is not None else value.item(), value.item()
    assert last < 0.2 * first
    with torch.no_grad():
        cosines = one(body(inputs))
        right = cosines.argmax(1) == target
        own = cosines.gather(1, target[:, None])[:, 0]
        others = cosines.scatter(1, target[:, None], -2.0).amax(1)
    assert all(right[target == c].float().mean() > 0.9 for c in range(3))
    # The margin asked of the rarest class is the largest.
    gap = [(own - others)[target == c].mean().item() for c in range(3)]
    assert gap[2] > 0.5


@pytest.mark.parametrize(("sizes", "named"), [((0, 3), "in_features"), ((4, 0), "out_features")])
def test_empty_sizes_are_refused(sizes, named):
    with pytest.raises(ArgumentError, match=f"`{named}`"):
        NormedLinear(*sizes)


def test_a_trained_head_survives_saving():
    one, other = head(), head(seed=5)
    other.load_state_dict(one.state_dict())
    assert list(one.state_dict()) == ["weight"]
    assert torch.equal(one(features()), other(features()))


def test_printing_names_the_sizes():
    assert repr(head()) == "NormedLinear(in_features=6, out_features=4)"


def test_a_row_of_zeros_has_finite_derivatives_of_second_order() -> None:
    """Behind a ReLU a row may be all zeros, and meta-learned steps differentiate twice."""
    head, features = NormedLinear(4, 3), torch.zeros(2, 4, requires_grad=True)
    (first,) = torch.autograd.grad(head(features).square().sum() + head(features).sum(), features, create_graph=True)
    (second,) = torch.autograd.grad(first.square().sum(), features)
    assert first.isfinite().all()
    assert second.isfinite().all()
