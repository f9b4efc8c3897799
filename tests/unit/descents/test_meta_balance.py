"""MetaBalance: golden numbers, finite differences of F(theta) = L_out(theta - gamma grad L_in(theta)), limits, hygiene."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from steelyard.core.descent import plain
from steelyard.core.errors import ArgumentError, CombinationError
from steelyard.core.objective import Objective
from steelyard.core.oracle import Oracle
from steelyard.core.pool import RowPool
from steelyard.core.rows import Batch, Clock, Rows
from steelyard.core.seeds import generator
from steelyard.core.world import World, launch
from steelyard.data import ResidentSource
from steelyard.descents import MetaBalance
from steelyard.weightings import InverseFrequency


def network(width: int = 5) -> nn.Module:
    """Convolution, BatchNorm in training mode, a smooth activation and ReLU."""
    return nn.Sequential(
        nn.Conv2d(2, width, 3, stride=2, padding=1),
        nn.BatchNorm2d(width),
        nn.Tanh(),
        nn.Conv2d(width, 4, 2, groups=1, bias=False),
        nn.BatchNorm2d(4),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(16, 3),
    )


def forward(model: nn.Module, batch: Batch) -> Rows:
    return Rows(model(batch.inputs), batch.target, index=batch.index, share=batch.share)


def rows(count: int, seed: int, dtype: torch.dtype = torch.float64) -> tuple[Tensor, Tensor]:
    stream = generator(seed, "rows")
    return torch.randn(count, 2, 6, 6, generator=stream, dtype=torch.float64).to(dtype), torch.randint(
        3, (count,), generator=stream
    )


def setting(seed: int = 0, dtype: torch.dtype = torch.float64, **kinds) -> tuple[Oracle, Batch, RowPool]:
    torch.manual_seed(seed)
    oracle = Oracle(network().to(dtype), forward, Objective(**kinds))
    inputs, target = rows(7, seed, dtype)
    held = ResidentSource(*rows(24, seed + 1, dtype))
    return oracle, Batch(inputs, target, torch.arange(7)), RowPool(held, batch_size=6)


def gradient(oracle: Oracle) -> Tensor:
    return torch.cat([value.grad.flatten() for value in oracle.model.parameters()])


def value_of(oracle: Oracle, batch: Batch, inner: list[Batch], gamma: float, at: Tensor) -> Tensor:
    """F at a flat vector of parameters, step by step and with nothing shared."""
    names = oracle.params()
    parts = torch.split(at, [value.numel() for value in names.values()])
    point = {name: part.view_as(names[name]) for name, part in zip(names, parts, strict=True)}
    for each in inner:
        leaves = {name: value.detach().requires_grad_() for name, value in point.items()}
        found = torch.autograd.grad(oracle(each, at=leaves).loss, list(leaves.values()))
        point = {name: leaf.detach() - gamma * g for (name, leaf), g in zip(leaves.items(), found, strict=True)}
    with torch.no_grad():
        return oracle(batch, at=point).loss


class Quadratic(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.theta = nn.Parameter(torch.ones(2, dtype=torch.float64))


def test_golden_quadratic():
    def score(model: nn.Module, batch: Batch) -> Rows:
        return Rows((0.5 * model.theta**2 * torch.tensor([1.0, 4.0])).sum().reshape(1, 1), batch.target)

    batch = Batch(torch.zeros(1), torch.zeros(1, dtype=torch.int64), torch.zeros(1, dtype=torch.int64))
    for first_order, want in ((False, [0.81, 1.44]), (True, [0.9, 2.4])):
        model = Quadratic()
        MetaBalance(0.1, first_order=first_order)(Oracle(model, score, Objective(lambda z, y: z[:, 0])), batch)
        torch.testing.assert_close(model.theta.grad, torch.tensor(want, dtype=torch.float64))


@settings(max_examples=6)
@given(seed=st.integers(0, 99), steps=st.integers(1, 3), gamma=st.floats(0.01, 0.3), shared=st.booleans())
def test_second_order_is_the_derivative_of_the_value_after_the_steps(seed, steps, gamma, shared):
    oracle, batch, pool = setting(seed)
    oracle.clock = Clock(step=2)
    descent = MetaBalance(gamma, inner=None if shared else pool, inner_steps=steps)
    descent(oracle, batch)
    got = gradient(oracle)
    inner = [batch if shared else pool.batch(oracle, 2 * steps + k) for k in range(steps)]
    start = torch.cat([value.detach().flatten() for value in oracle.params().values()])
    for number in range(3):
        way = torch.randn(len(start), generator=generator(seed, "way", number), dtype=torch.float64)
        way /= way.norm()
        up, down = (value_of(oracle, batch, inner, gamma, start + sign * 1e-6 * way) for sign in (1, -1))
        torch.testing.assert_close((up - down) / 2e-6, (got * way).sum(), rtol=2e-4, atol=2e-7)


def test_float32_is_close_to_float64_and_bf16_to_both():
    found = {}
    for dtype, precision in ((torch.float64, "float32"), (torch.float32, "float32"), (torch.float32, "bfloat16")):
        oracle, batch, pool = setting(0, dtype)
        oracle = Oracle(oracle.model, forward, Objective(), precision)
        MetaBalance(0.1, inner=pool)(oracle, batch)
        found[dtype, precision] = gradient(oracle).double()
        assert all(value.dtype == dtype for value in oracle.params().values())
    exact = found.pop((torch.float64, "float32"))
    errors = [float((other - exact).norm() / exact.norm()) for other in found.values()]
    assert errors[0] < 1e-4
    assert errors[1] < 0.03


def test_first_order_is_the_gradient_at_the_other_point():
    oracle, batch, pool = setting()
    here = {name: value.detach().requires_grad_() for name, value in oracle.params().items()}
    inner = torch.autograd.grad(oracle(pool.batch(oracle, 0), at=here).loss, list(here.values()))
    there = {name: (v - 0.2 * g).detach().requires_grad_() for (name, v), g in zip(here.items(), inner, strict=True)}
    want = torch.autograd.grad(oracle(batch, at=there).loss, list(there.values()))
    MetaBalance(0.2, inner=pool, first_order=True)(oracle, batch)
    torch.testing.assert_close(gradient(oracle), torch.cat([g.flatten() for g in want]))


def test_without_a_hessian_both_orders_agree():
    def linear(logits: Tensor, target: Tensor) -> Tensor:
        return -logits.gather(1, target[:, None])[:, 0]

    found = []
    for first_order in (False, True):
        torch.manual_seed(0)
        model = nn.Linear(4, 3).double()
        data = torch.randn(8, 4, dtype=torch.float64), torch.arange(8) % 3
        MetaBalance(0.3, first_order=first_order)(Oracle(model, forward, Objective(linear)), Batch(*data, torch.arange(8)))
        found.append(model.weight.grad)
    assert torch.equal(*found)


def test_a_constant_inner_loss_leaves_the_outer_gradient():
    oracle, batch, pool = setting()
    oracle.objective.weighting = InverseFrequency([1, 1, 1])
    oracle.objective.weighting.class_weights.zero_()
    weighed = MetaBalance(0.3, inner=pool)
    weighed(oracle, batch)
    assert float(gradient(oracle).abs().max()) == 0


@pytest.mark.parametrize("descent", [MetaBalance(0.0), MetaBalance(0.0, first_order=True, inner_steps=3)])
def test_gamma_zero_is_plain_descent_bit_for_bit(descent):
    found = []
    for each in (descent, plain):
        oracle, batch, _ = setting(dtype=torch.float32)
        oracle.model.add_module("dropout", nn.Dropout(0.5))
        torch.manual_seed(7)
        loss = each(oracle, batch).loss
        found.append((loss.detach(), gradient(oracle), torch.rand(1), *oracle.model.buffers()))
    assert all(torch.equal(one, other) for one, other in zip(*found, strict=True))


@pytest.mark.parametrize("first_order", [False, True])
@pytest.mark.parametrize("fails", [False, True])
def test_parameters_come_back_bit_for_bit_and_batchnorm_counts_the_outer_batch_once(first_order, fails):
    oracle, batch, pool = setting(dtype=torch.float32)
    model = oracle.model
    before = {name: value.detach().clone() for name, value in model.named_parameters()}
    homes = [value.data_ptr() for value in model.parameters()]
    if fails:
        with pytest.raises(RuntimeError):
            MetaBalance(0.1, inner=pool, first_order=first_order)(oracle, batch.replace(inputs=torch.zeros(7, 5)))
    else:
        MetaBalance(0.1, inner=pool, first_order=first_order)(oracle, batch)
        assert int(model[1].num_batches_tracked) == 1
        with torch.no_grad():
            held = rows(24, 1, torch.float32)[0]
            ahead = model[0](batch.inputs).mean((0, 2, 3))
        # The statistics are those of the outer batch at theta', which is near theta, and not those of the inner rows.
        near, far = (model[1].running_mean - 0.1 * ahead).norm(), (model[1].running_mean - 0.1 * held.mean()).norm()
        assert near < far
    assert all(torch.equal(value, before[name]) for name, value in model.named_parameters())
    assert [value.data_ptr() for value in model.parameters()] == homes


def test_gradients_that_are_there_are_added_to():
    once, batch, pool = setting()
    MetaBalance(0.1, inner=pool)(once, batch)
    twice = setting()[0]
    for _ in range(2):
        MetaBalance(0.1, inner=pool)(twice, batch)
    # BatchNorm in training mode does not read its statistics, so the second gradient is the first one.
    torch.testing.assert_close(gradient(twice), 2 * gradient(once))


@pytest.mark.parametrize("first_order", [True, False])
def test_gradients_are_laid_out_as_their_parameters_for_fused_optimisers(first_order):
    oracle, batch, pool = setting(dtype=torch.float32)
    model = oracle.model
    model[0].to(memory_format=torch.channels_last)
    assert not model[0].weight.is_contiguous()
    MetaBalance(0.1, inner=pool, first_order=first_order)(oracle, batch)
    assert [value.grad.stride() for value in model.parameters()] == [value.stride() for value in model.parameters()]
    before, found = model[0].weight.detach().clone(), model[0].weight.grad.clone()
    torch.optim.SGD(model.parameters(), lr=0.5, fused=True).step()
    torch.testing.assert_close(model[0].weight.detach(), before - 0.5 * found)


def test_frozen_parameters_stay_out():
    oracle, batch, pool = setting()
    oracle.model[0].weight.requires_grad_(False)
    MetaBalance(0.1, inner=pool)(oracle, batch)
    assert oracle.model[0].weight.grad is None
    assert bool(oracle.model[0].bias.grad.isfinite().all())


def test_none_is_the_rate_of_the_optimiser_now():
    found = []
    for rate in (None, 0.25):
        oracle, batch, pool = setting()
        oracle.optimizer = torch.optim.SGD(oracle.model.parameters(), lr=1.0)
        torch.optim.lr_scheduler.StepLR(oracle.optimizer, 1)
        oracle.optimizer.param_groups[0]["lr"] = 0.25
        MetaBalance(rate, inner=pool)(oracle, batch)
        found.append(gradient(oracle))
    assert torch.equal(*found)


def test_inner_weights_count_or_not():
    found = {}
    for weigh in (True, False):
        for weighting in (None, InverseFrequency([90, 9, 1])):
            oracle, batch, pool = setting(weighting=weighting)
            MetaBalance(0.2, inner=pool, weigh_inner=weigh)(oracle, batch)
            found[weigh, weighting is None] = gradient(oracle)
    assert torch.equal(found[True, True], found[False, True])
    assert not torch.allclose(found[True, False], found[False, False])


class Once(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        return x * 2

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, grad):
        return grad * 2


class Stubborn(nn.Linear):
    def forward(self, x: Tensor) -> Tensor:
        return Once.apply(super().forward(x).tanh())


def test_an_operator_without_a_second_derivative_is_explained():
    oracle = Oracle(Stubborn(2, 2), forward, Objective())
    batch = Batch(torch.eye(2), torch.tensor([0, 1]), torch.arange(2))
    with pytest.raises(CombinationError, match="first_order"):
        MetaBalance(0.1)(oracle, batch)
    MetaBalance(0.1, first_order=True)(oracle, batch)


def test_attention_is_differentiated_twice():
    class Attending(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(4, 12)
            self.head = nn.Linear(4, 3)

        def forward(self, x: Tensor) -> Tensor:
            q, k, v = self.layer(x)[:, None].chunk(3, -1)
            return self.head(F.scaled_dot_product_attention(q, k, v)[:, 0].mean(1))

    oracle = Oracle(Attending(), forward, Objective())
    MetaBalance(0.1)(oracle, Batch(torch.randn(5, 6, 4), torch.arange(5) % 3, torch.arange(5)))
    assert bool(gradient(oracle).isfinite().all())


@pytest.mark.parametrize(
    ("kwargs", "named"),
    [({"inner_lr": -1.0}, "inner_lr"), ({"inner_lr": float("nan")}, "inner_lr"), ({"inner_steps": 0}, "inner_steps")],
)
def test_refuses_settings(kwargs, named):
    with pytest.raises(ArgumentError, match=f"`{named}`"):
        MetaBalance(**kwargs)


def test_refuses_to_guess_a_rate():
    oracle, batch, _ = setting()
    with pytest.raises(ArgumentError, match=r"oracle\.optimizer"):
        MetaBalance()(oracle, batch)


def per_process() -> tuple[Tensor, Tensor]:
    """Rank 0's averaged gradient, and what it should be: the mean of both processes' own."""
    world = World.current()
    oracle, batch, pool = setting()
    mine = Batch(batch.inputs[world.rank :: 2], batch.target[world.rank :: 2], torch.arange(7)[world.rank :: 2])
    evaluation = MetaBalance(0.1, inner=pool)(oracle, mine)
    own = gradient(oracle).clone() * evaluation.mass
    world.average_gradients(list(oracle.model.parameters()), evaluation.mass)
    return gradient(oracle), world.sum(own) / 7


def test_processes_take_an_inner_step_each_and_average_the_outer_gradients():
    averaged, want = launch(per_process, 2)
    torch.testing.assert_close(averaged, want)
