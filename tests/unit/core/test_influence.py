from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from networks import Adapted, Attention, Convolution, Graph, Recurrent, encoder
from torch import Tensor, nn
from torch.func import functional_call

from steelyard.core.errors import ArgumentError
from steelyard.core.head import find_head
from steelyard.core.influence import influence
from steelyard.losses import LogitAdjusted
from steelyard.nets import ResNet32

CE = nn.CrossEntropyLoss(reduction="none")
Case = tuple[Callable[[], nn.Module], tuple[int, ...]]


def mlp() -> nn.Module:
    return nn.Sequential(nn.Linear(5, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(0.3), nn.Linear(8, 3))


CASES: dict[str, Case] = {
    "mlp": (mlp, (5,)),
    "convolution": (Convolution, (3, 8, 8)),
    "resnet32": (lambda: ResNet32(3), (3, 32, 32)),
    "attention": (Attention, (3, 8, 8)),
    "encoder": (encoder, (4, 8)),
    "graph": (lambda: Graph(12), (5,)),
    "adapter": (Adapted, (5,)),
    "recurrent": (Recurrent, (4, 5)),
}


def drawn(shape: tuple[int, ...], rows: int, seed: int, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    stream = torch.Generator().manual_seed(seed)
    return torch.randn(rows, *shape, generator=stream, dtype=dtype), torch.randint(0, 3, (rows,), generator=stream)


def by_double_backward(
    model: nn.Module, batch: tuple[Tensor, Tensor], meta: tuple[Tensor, Tensor], weights: Tensor, lr: float, only: str = ""
) -> Tensor:
    """The textbook: make the step with a graph, differentiate the meta loss through it."""
    weights = weights.clone().requires_grad_()
    params = {name: value for name, value in model.named_parameters() if value.requires_grad and name.startswith(only)}
    buffers = {name: value.clone() for name, value in model.named_buffers()}
    state = torch.get_rng_state()
    with torch.nn.attention.sdpa_kernel(torch.nn.attention.SDPBackend.MATH):
        losses = CE(functional_call(model, params | buffers, (batch[0],)), batch[1])
        found = torch.autograd.grad((weights * losses).sum(), list(params.values()), create_graph=True)
        moved = {name: value - lr * g for (name, value), g in zip(params.items(), found, strict=True)}
        meta_loss = CE(functional_call(model, moved | buffers, (meta[0],)), meta[1]).mean()
    torch.set_rng_state(state)
    return torch.autograd.grad(meta_loss, weights)[0]


def distance(one: Tensor, other: Tensor) -> float:
    return float((one - other).norm() / other.norm().clamp_min(1e-300))


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-5), (torch.float64, 1e-9)])
@pytest.mark.parametrize(
    ("name", "training"), [*((name, True) for name in CASES), ("mlp", False), ("attention", False), ("encoder", False)]
)
def test_it_is_the_double_backward_gradient(name: str, dtype: torch.dtype, tolerance: float, training: bool) -> None:
    build, shape = CASES[name]
    torch.manual_seed(3)
    model = build().to(dtype).train(training)
    batch, meta = drawn(shape, 12, 1, dtype), drawn(shape, 7 if name != "graph" else 12, 2, dtype)
    for weights in (torch.rand(12, dtype=dtype) / 6, torch.zeros(12, dtype=dtype)):
        expected = by_double_backward(model, batch, meta, weights, 0.3)
        for estimator in ("auto", "reverse", "unrolled"):
            found = influence(model, CE, batch, meta, weights=weights, lr=0.3, estimator=estimator)
            assert distance(found, expected) < tolerance, estimator


@pytest.mark.parametrize("name", ["mlp", "convolution", "resnet32"])
def test_the_head_alone(name: str) -> None:
    build, shape = CASES[name]
    torch.manual_seed(3)
    model = build().double()
    for module in model.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
    head = find_head(model)
    assert head is not None
    batch, meta, weights = drawn(shape, 12, 1, torch.float64), drawn(shape, 7, 2, torch.float64), torch.rand(12).double()
    expected = by_double_backward(model, batch, meta, weights, 0.3, only=head[0])
    assert distance(influence(model, CE, batch, meta, weights=weights, lr=0.3, scope="head"), expected) < 1e-9


def test_a_linear_head_has_a_closed_form() -> None:
    """`<g_i, g_j> = (1 + h_i . h_j) (p_i - e_i) . (p_j - e_j)` for a softmax layer with a bias."""
    torch.manual_seed(0)
    model = nn.Linear(4, 3).double()
    (x, y), (xm, ym) = drawn((4,), 9, 1, torch.float64), drawn((4,), 5, 2, torch.float64)

    def away(inputs: Tensor, target: Tensor) -> Tensor:
        return model(inputs).softmax(1) - nn.functional.one_hot(target, 3)

    kernel = (1 + x @ xm.T) * (away(x, y) @ away(xm, ym).T)
    found = influence(model, CE, (x, y), (xm, ym), weights=torch.zeros(9), lr=0.7)
    torch.testing.assert_close(found, -0.7 * kernel.mean(1).detach())


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**31), st.integers(1, 9), st.integers(1, 6), st.floats(0.0, 2.0))
def test_finite_differences_of_the_weights(seed: int, rows: int, meta_rows: int, lr: float) -> None:
    torch.manual_seed(seed)
    model = nn.Sequential(nn.Linear(4, 6), nn.Tanh(), nn.Linear(6, 3)).double()
    batch, meta = drawn((4,), rows, seed, torch.float64), drawn((4,), meta_rows, seed + 1, torch.float64)
    weights = torch.rand(rows).double()
    params = dict(model.named_parameters())

    def after(weights: Tensor) -> float:
        gradients = torch.autograd.grad((weights * CE(model(batch[0]), batch[1])).sum(), list(params.values()))
        moved = {name: value - lr * g for (name, value), g in zip(params.items(), gradients, strict=True)}
        return CE(functional_call(model, moved, (meta[0],)), meta[1]).mean().item()

    found = influence(model, CE, batch, meta, weights=weights, lr=lr)
    for row in range(rows):
        step = torch.zeros(rows).double()
        step[row] = 1e-5
        slope = (after(weights + step) - after(weights - step)) / 2e-5
        assert abs(slope - float(found[row])) < 1e-7 + 1e-6 * abs(slope)


def test_central_differences_along_the_direction_come_close() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(5, 8), nn.Tanh(), nn.Linear(8, 3)).double()
    batch, meta, weights = drawn((5,), 12, 1, torch.float64), drawn((5,), 7, 2, torch.float64), torch.ones(12) / 12
    exact = influence(model, CE, batch, meta, weights=weights, lr=0.3)
    assert distance(influence(model, CE, batch, meta, weights=weights, lr=0.3, estimator="difference"), exact) < 1e-6


def test_both_sides_of_a_central_difference_drop_the_same_units() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(5, 8), nn.Tanh(), nn.Dropout(0.5), nn.Linear(8, 3)).double()
    batch, meta, weights = drawn((5,), 12, 1, torch.float64), drawn((5,), 7, 2, torch.float64), torch.ones(12) / 12
    exact = influence(model, CE, batch, meta, weights=weights, lr=0.3)
    assert distance(influence(model, CE, batch, meta, weights=weights, lr=0.3, estimator="difference"), exact) < 1e-6


def test_nothing_is_touched() -> None:
    torch.manual_seed(0)
    model = mlp()
    CE(model(drawn((5,), 12, 1, torch.float32)[0]), torch.zeros(12, dtype=torch.int64)).sum().backward()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    gradients = [parameter.grad.clone() for parameter in model.parameters()]
    random = torch.get_rng_state()
    for scope in ("all", "head"):
        for estimator in ("auto", "reverse", "difference", "unrolled"):
            batch, meta = drawn((5,), 12, 1, torch.float32), drawn((5,), 7, 2, torch.float32)
            influence(model, CE, batch, meta, weights=torch.ones(12) / 12, lr=0.3, scope=scope, estimator=estimator)
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
    assert all(torch.equal(g, parameter.grad) for g, parameter in zip(gradients, model.parameters(), strict=True))
    assert torch.equal(random, torch.get_rng_state())
    assert model.training


def test_our_losses_and_no_grad_do_as_well() -> None:
    torch.manual_seed(0)
    model = nn.Linear(5, 3)
    batch, meta, weights = drawn((5,), 12, 1, torch.float32), drawn((5,), 7, 2, torch.float32), torch.ones(12) / 12
    loss = LogitAdjusted(torch.tensor([50, 10, 2]))
    found = influence(model, loss, batch, meta, weights=weights, lr=0.3)
    torch.testing.assert_close(influence(model, loss.rows, batch, meta, weights=weights, lr=0.3), found)
    with torch.no_grad():
        torch.testing.assert_close(influence(model, loss, batch, meta, weights=weights, lr=0.3), found)


def test_a_learning_rate_of_zero_influences_nothing() -> None:
    batch, meta = drawn((5,), 12, 1, torch.float32), drawn((5,), 7, 2, torch.float32)
    assert influence(nn.Linear(5, 3), CE, batch, meta, weights=torch.ones(12), lr=0.0).abs().max() == 0


def test_what_has_no_forward_rule_says_so_when_it_is_asked_for() -> None:
    batch, meta = drawn((4, 5), 6, 1, torch.float32), drawn((4, 5), 6, 2, torch.float32)
    with pytest.raises(NotImplementedError):
        influence(Recurrent(), CE, batch, meta, weights=torch.ones(6), lr=0.1, estimator="forward")


def test_bad_arguments_are_one_sentence() -> None:
    model, batch, meta = nn.Linear(5, 3), drawn((5,), 6, 1, torch.float32), drawn((5,), 6, 2, torch.float32)
    with pytest.raises(ArgumentError, match=r"weights.*\[6\]"):
        influence(model, CE, batch, meta, weights=torch.ones(5), lr=0.1)
    with pytest.raises(ArgumentError, match=r"weights.*found a list"):
        influence(model, CE, batch, meta, weights=[1.0] * 6, lr=0.1)
    for lr in (-0.1, float("nan"), float("inf")):
        with pytest.raises(ArgumentError, match="`lr`"):
            influence(model, CE, batch, meta, weights=torch.ones(6), lr=lr)
    with pytest.raises(ArgumentError, match="scope"):
        influence(model, CE, batch, meta, weights=torch.ones(6), lr=0.1, scope="body")
    with pytest.raises(ArgumentError, match="estimator"):
        influence(model, CE, batch, meta, weights=torch.ones(6), lr=0.1, estimator="magic")
    with pytest.raises(ArgumentError, match="per row"):
        influence(model, nn.CrossEntropyLoss(), batch, meta, weights=torch.ones(6), lr=0.1)
    with pytest.raises(ArgumentError, match="linear layer"):
        conv = nn.Sequential(nn.Conv2d(3, 3, 8), nn.Flatten())
        influence(conv, CE, drawn((3, 8, 8), 6, 1, torch.float32), meta, weights=torch.ones(6), lr=0.1, scope="head")
    with pytest.raises(ArgumentError, match="requires_grad"):
        influence(nn.Linear(5, 3).requires_grad_(False), CE, batch, meta, weights=torch.ones(6), lr=0.1)
