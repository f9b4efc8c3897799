"""Additive angular margin."""

import math

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st

from steelyard.core.errors import ArgumentError
from steelyard.losses import LDAM, ArcFace


def cosines(seed, rows=5, classes=4):
    stream = torch.Generator().manual_seed(seed)
    return (2 * torch.rand(rows, classes, generator=stream, dtype=torch.float64) - 1).requires_grad_(), torch.randint(
        classes, (rows,), generator=stream
    )


@given(st.floats(0, math.pi / 2), st.floats(0.5, 64), st.integers(0, 99))
def test_it_is_the_formula(margin, scale, seed):
    z, y = cosines(seed)
    moved = z.detach().clone()
    for i, own in enumerate(y.tolist()):
        angle = math.acos(float(z[i, own].detach()))
        beyond = angle + margin > math.pi
        moved[i, own] = float(z[i, own].detach()) - margin * math.sin(margin) if beyond else math.cos(angle + margin)
    wanted = F.cross_entropy(scale * moved, y, reduction="none")
    torch.testing.assert_close(ArcFace(margin, scale, reduction="none")(z, y), wanted, rtol=1e-6, atol=1e-6)


def test_without_margin_it_is_a_scaled_softmax():
    z, y = cosines(0)
    torch.testing.assert_close(ArcFace(0.0, 10.0)(z, y), F.cross_entropy(10 * z, y))


def test_a_larger_cosine_of_the_true_class_is_always_better():
    own = torch.linspace(-1, 1, 401, dtype=torch.float64)
    values = ArcFace(0.5, 30.0, reduction="none")(
        torch.stack([own, torch.zeros_like(own)], 1), torch.zeros(401, dtype=torch.long)
    )
    assert bool((values.diff() <= 1e-9).all())


def test_its_gradient_is_right_and_finite_at_the_ends():
    z, y = cosines(3)
    assert torch.autograd.gradcheck(lambda z: ArcFace(0.4, 8.0, reduction="none")(z, y), z)
    ends = torch.tensor([[1.0, -1.0], [-1.0, 1.0], [1.0000001, -1.0000001]], requires_grad=True)
    ArcFace()(ends, torch.tensor([0, 0, 1])).backward()
    assert bool(ends.grad.isfinite().all())


def test_margins_by_size_are_those_of_ldam():
    found = ArcFace(0.5, class_counts=[16, 1])
    assert torch.equal(found.margins, LDAM([16, 1], max_margin=0.5).margins)
    z, y = torch.zeros(2, 2), torch.tensor([0, 1])
    values = found.rows(z, y)
    assert values[1] > values[0] > ArcFace(0.0).rows(z, y)[0]


@pytest.mark.parametrize(
    ("settings", "argument"), [({"margin": 2.0}, "margin"), ({"scale": 0.0}, "scale"), ({"class_counts": [0]}, "class_counts")]
)
def test_settings_out_of_range_are_named(settings, argument):
    with pytest.raises(ArgumentError, match=f"`{argument}`"):
        ArcFace(**settings)
