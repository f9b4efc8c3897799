"""Derivatives of every loss: right to second order, in every way that torch has of taking them, on both paths."""

import pytest
import torch
from loss_cases import MAKERS, logits_and_target
from torch import Tensor, nn

from steelyard.core.loss import Loss
from steelyard.numeric import nll

COUNTS = [500, 60, 1, 7]
CLASSES = len(COUNTS)
ROWS = 5

# torch compiles its own forward-mode rules with what it has itself deprecated.
pytestmark = pytest.mark.filterwarnings("ignore:.*torch.jit.script.*:DeprecationWarning")

every_loss = pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS)


@pytest.fixture(params=["plain", "fused"], autouse=True)
def path(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setattr(nll, "FUSE_FROM", 0 if request.param == "fused" else 1 << 60)
    return request.param


def problem(make, seed: int = 0) -> tuple[Loss, Tensor, Tensor]:
    logits, target = logits_and_target(ROWS, CLASSES, seed)
    return make(COUNTS), logits / 4, target  # in the range of cosines, so that LDAM's scale does not swamp the differences


@every_loss
def test_gradients_agree_with_finite_differences(make):
    loss, logits, target = problem(make)
    logits.requires_grad_()
    assert torch.autograd.gradcheck(lambda z: loss.rows(z, target), logits)
    assert torch.autograd.gradgradcheck(lambda z: loss.rows(z, target), logits)


@every_loss
def test_forward_mode_agrees_with_finite_differences(make):
    loss, logits, target = problem(make)
    assert torch.autograd.gradcheck(
        lambda z: loss.rows(z, target), logits.requires_grad_(), check_forward_ad=True, check_backward_ad=False
    )


def by_autograd(loss: Loss, logits: Tensor, target: Tensor) -> Tensor:
    leaf = logits.clone().requires_grad_()
    loss(leaf, target).backward()
    assert leaf.grad is not None
    return leaf.grad


@every_loss
def test_functional_gradient_is_that_of_backward(make):
    loss, logits, target = problem(make)
    torch.testing.assert_close(torch.func.grad(lambda z: loss(z, target))(logits), by_autograd(loss, logits, target))


@every_loss
def test_functional_call_is_a_call(make):
    loss, logits, target = problem(make)
    assert torch.equal(torch.func.functional_call(loss, dict(loss.named_buffers()), (logits, target)), loss(logits, target))


@every_loss
def test_jvp_is_the_gradient_along_a_direction(make):
    loss, logits, target = problem(make)
    along = torch.randn_like(logits)
    value, tangent = torch.func.jvp(lambda z: loss(z, target), (logits,), (along,))
    torch.testing.assert_close(value, loss(logits, target))
    torch.testing.assert_close(tangent, (by_autograd(loss, logits, target) * along).sum())


@every_loss
def test_a_map_over_rows_is_a_batch(make):
    loss, logits, target = problem(make)
    counts = torch.bincount(target, minlength=CLASSES)

    def one(z: Tensor, y: Tensor) -> Tensor:
        return loss.rows(z[None], y[None], batch_counts=counts)[0]

    torch.testing.assert_close(torch.func.vmap(one)(logits, target), loss.rows(logits, target))
    own = torch.func.vmap(torch.func.grad(one))(logits, target)
    torch.testing.assert_close(own, ROWS * by_autograd(loss, logits, target))


@every_loss
def test_a_map_over_batches_is_a_loop(make):
    loss, logits, target = problem(make)
    several = torch.stack([logits, 2 * logits, -logits])
    expected = torch.stack([loss.rows(z, target) for z in several])
    torch.testing.assert_close(torch.func.vmap(lambda z: loss.rows(z, target))(several), expected)


@every_loss
def test_hessians_agree(make):
    loss, logits, target = problem(make)
    expected = torch.autograd.functional.hessian(lambda z: loss(z, target), logits)
    torch.testing.assert_close(torch.func.hessian(lambda z: loss(z, target))(logits), expected)
    backwards = torch.func.jacrev(torch.func.jacrev(lambda z: loss(z, target)))(logits)
    torch.testing.assert_close(backwards, expected)


@every_loss
def test_an_inner_step_can_be_differentiated_through(make):
    """Meta-learning's pattern: the loss after a gradient step, differentiated by the weights of the rows in that step."""
    loss, inputs, target = problem(make)
    layer = nn.Linear(CLASSES, CLASSES).double()
    weights = torch.full((ROWS,), 1 / ROWS, dtype=torch.float64, requires_grad=True)

    def after(weights: Tensor) -> Tensor:
        inner = (weights * loss.rows(layer(inputs), target)).sum()
        step = torch.autograd.grad(inner, list(layer.parameters()), create_graph=True)
        moved = {name: p - 0.1 * g for (name, p), g in zip(layer.named_parameters(), step, strict=True)}
        return loss(torch.func.functional_call(layer, moved, (inputs,)), target)

    assert torch.autograd.gradcheck(after, weights)


@every_loss
def test_no_gradient_is_asked_for_none_is_made(make):
    loss, logits, target = problem(make)
    assert not loss(logits, target).requires_grad
    with torch.no_grad():
        assert torch.equal(loss(logits.clone().requires_grad_(), target), loss(logits, target))
    with torch.inference_mode():
        torch.testing.assert_close(loss(logits, target), make(COUNTS)(logits.clone(), target))


@every_loss
def test_second_derivatives_are_finite_at_the_extremes(make):
    size = 1e4
    logits = size * torch.tensor([[1.0, -1, -1, -1], [-1, 1, -1, -1], [0, 0, 0, 0], [1, 1, -1, -1], [1, 1, 1, 1]])
    target = torch.tensor([0, 0, 1, 2, 3])
    logits.requires_grad_()
    (gradient,) = torch.autograd.grad(make(COUNTS)(logits, target), logits, create_graph=True)
    (second,) = torch.autograd.grad((gradient * torch.randn(5, 4)).sum(), logits)
    assert bool(torch.isfinite(second).all())
