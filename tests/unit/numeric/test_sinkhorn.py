"""Entropic transport against POT, against its definition, and against autograd through the iterations."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from steelyard.numeric.sinkhorn import (
    cosine_cost,
    label_cost,
    nearest_masses,
    regularised_value,
    sinkhorn,
)

few = settings(max_examples=40)
fewer = settings(max_examples=8)  # autograd through hundreds of iterations is slow
EPS = st.sampled_from([0.05, 0.1, 0.5, 2.0])
LARGE_EPS = st.sampled_from([0.3, 0.5, 2.0])  # where hundreds of iterations are enough
EXACT = {"iterations": 3000, "tolerance": 1e-12}


def simplex(size: int, stream: torch.Generator) -> torch.Tensor:
    masses = torch.rand(size, dtype=torch.float64, generator=stream) + 0.05
    return masses / masses.sum()


def problem(points: int, rows: int, seed: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """A cost in [0, 2] and masses of both sides, float64."""
    stream = torch.Generator().manual_seed(seed)
    cost = 2 * torch.rand(points, rows, dtype=torch.float64, generator=stream)
    return cost, simplex(points, stream), simplex(rows, stream)


problems = st.builds(problem, st.integers(1, 8), st.integers(1, 12), st.integers(0, 2**31))


def value_by_definition(plan: torch.Tensor, cost: torch.Tensor, eps: float) -> torch.Tensor:
    return (plan * cost).sum() + eps * torch.where(plan > 0, plan * (plan.log() - 1), 0.0).sum()


def unrolled(cost: torch.Tensor, rows: torch.Tensor, columns: torch.Tensor, eps: float, iterations: int) -> torch.Tensor:
    """The plan as the iterations leave it, with the graph through all of them."""
    u, v = torch.zeros_like(rows), torch.zeros_like(columns)
    for _ in range(iterations):
        u = eps * (rows.log() - torch.logsumexp((-cost + u[:, None] + v) / eps, 1)) + u
        v = eps * (columns.log() - torch.logsumexp((-cost + u[:, None] + v) / eps, 0)) + v
    return ((-cost + u[:, None] + v) / eps).exp()


def centred(values: torch.Tensor) -> torch.Tensor:
    return values - values.mean()


@few
@given(problems, EPS)
def test_marginals_are_met_and_no_mass_is_negative(case, eps):
    cost, rows, columns = case
    plan = sinkhorn(cost, rows, columns, eps, iterations=2000, tolerance=1e-9).plan
    assert (plan >= 0).all()
    torch.testing.assert_close(plan.sum(1), rows, atol=1e-6, rtol=0)
    torch.testing.assert_close(plan.sum(0), columns, atol=1e-12, rtol=0)


@few
@given(problems, EPS)
def test_the_plan_is_that_of_pot(case, eps):
    ot = pytest.importorskip("ot", reason="POT is not installed: pip install pot")
    cost, rows, columns = case
    theirs = ot.sinkhorn(
        rows.numpy(), columns.numpy(), cost.numpy(), eps, method="sinkhorn_log", numItermax=5000, stopThr=1e-14
    )
    mine = sinkhorn(cost, rows, columns, eps, iterations=5000, tolerance=1e-13).plan
    torch.testing.assert_close(mine, torch.from_numpy(theirs), atol=1e-9, rtol=0)


@pytest.mark.parametrize("seed", range(4))
def test_a_small_eps_gives_the_exact_cost(seed):
    ot = pytest.importorskip("ot", reason="POT is not installed: pip install pot")
    cost, rows, columns = problem(6, 9, seed)
    exact = ot.emd2(rows.numpy(), columns.numpy(), cost.numpy())
    plan = sinkhorn(cost, rows, columns, 2e-3, iterations=20_000, tolerance=1e-7).plan
    assert float((plan * cost).sum()) == pytest.approx(exact, abs=5e-3)


@fewer
@given(problems, LARGE_EPS)
def test_the_value_and_its_gradients_need_no_graph_through_the_iterations(case, eps):
    cost, rows, columns = (values.requires_grad_() for values in case)
    value = regularised_value(cost, rows, columns, eps, iterations=200)
    value.backward()
    through = [values.detach().clone().requires_grad_() for values in case]
    slow = value_by_definition(unrolled(*through, eps, 200), through[0], eps)
    slow.backward()
    torch.testing.assert_close(value.detach(), slow.detach(), atol=1e-9, rtol=0)
    torch.testing.assert_close(cost.grad, through[0].grad, atol=1e-6, rtol=0)
    for mine, theirs in ((rows, through[1]), (columns, through[2])):  # masses of one sum: up to a constant
        torch.testing.assert_close(centred(mine.grad), centred(theirs.grad), atol=1e-6, rtol=0)


@fewer
@given(problems, LARGE_EPS)
def test_the_gradient_through_a_softmax_is_that_of_the_unrolled_loop(case, eps):
    cost, rows, columns = case
    logits = [columns.log().clone().requires_grad_() for _ in range(2)]
    regularised_value(cost, rows, logits[0].softmax(0), eps, iterations=200).backward()
    value_by_definition(unrolled(cost, rows, logits[1].softmax(0), eps, 200), cost, eps).backward()
    torch.testing.assert_close(logits[0].grad, logits[1].grad, atol=1e-7, rtol=0)


@few
@given(problems, EPS, st.integers(0, 2**31))
def test_a_constant_for_each_row_of_the_cost_changes_no_gradient(case, eps, seed):
    cost, rows, columns = case
    shifts = torch.randn(len(rows), 1, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    first, second = (sinkhorn(c, rows, columns, eps, iterations=300).column_potential for c in (cost, cost + shifts))
    torch.testing.assert_close(centred(first), centred(second), atol=1e-8, rtol=0)


@few
@given(problems, EPS)
def test_with_a_constant_cost_the_plan_is_the_product_of_the_masses(case, eps):
    cost, rows, columns = case
    flat = torch.full_like(cost, 0.7)
    torch.testing.assert_close(sinkhorn(flat, rows, columns, eps).plan, rows[:, None] * columns, atol=1e-12, rtol=0)
    uniform = torch.full_like(columns, 1 / len(columns)).log().requires_grad_()
    regularised_value(flat, rows, uniform.softmax(0), eps).backward()
    assert float(uniform.grad.abs().max()) < 1e-12


@few
@given(problems, EPS)
def test_the_closed_form_is_where_the_gradient_vanishes(case, eps):
    cost, rows, _ = case
    best = nearest_masses(cost, rows, eps)
    assert float(best.sum()) == pytest.approx(1)
    logits = best.log().requires_grad_()
    regularised_value(cost, rows, logits.softmax(0), eps, **EXACT).backward()
    assert float(logits.grad.abs().max()) < 1e-9


@pytest.mark.parametrize("eps", [0.3, 1.0])
def test_the_closed_form_is_found_by_lbfgs(eps):
    cost, rows, _ = problem(5, 12, 3)
    logits = torch.zeros(12, dtype=torch.float64, requires_grad=True)
    search = torch.optim.LBFGS(
        [logits], max_iter=300, tolerance_grad=1e-10, tolerance_change=1e-14, line_search_fn="strong_wolfe"
    )

    def evaluate() -> torch.Tensor:
        search.zero_grad()
        value = value_by_definition(unrolled(cost, rows, logits.softmax(0), eps, 60), cost, eps)
        value.backward()
        return value

    search.step(evaluate)
    torch.testing.assert_close(logits.detach().softmax(0), nearest_masses(cost, rows, eps), atol=2e-5, rtol=0)


@few
@given(problems, LARGE_EPS)
def test_with_a_reference_the_closed_form_is_where_its_gradient_vanishes(case, eps):
    cost, rows, reference = case
    best = nearest_masses(cost, rows, eps, reference.log())
    logits = best.log().requires_grad_()
    columns = logits.softmax(0)
    (regularised_value(cost, rows, columns, eps, **EXACT) - eps * (columns * reference.log()).sum()).backward()
    assert float(logits.grad.abs().max()) < 1e-9


@few
@given(problems)
def test_a_large_eps_gives_the_reference_and_a_small_one_the_nearest_columns(case):
    cost, rows, reference = case
    torch.testing.assert_close(nearest_masses(cost, rows, 1e9, reference.log()), reference, atol=1e-7, rtol=0)
    nearest = torch.zeros_like(reference).index_add_(0, cost.argmin(1), rows)
    torch.testing.assert_close(nearest_masses(cost, rows, 1e-7, reference.log()), nearest, atol=1e-6, rtol=0)


def test_label_costs_give_inverse_frequency_and_the_known_masses():
    """50, 20 and 5 rows: spec'd values of the minimiser."""
    target, classes = torch.repeat_interleave(torch.arange(3), torch.tensor([50, 20, 5])), torch.arange(3)
    cost, third = label_cost(classes, target).double(), torch.full((3,), 1 / 3, dtype=torch.float64)
    small = nearest_masses(cost, third, 0.01)
    torch.testing.assert_close(
        small[[0, 50, 70]], torch.tensor([1 / 150, 1 / 60, 1 / 15], dtype=torch.float64), atol=1e-6, rtol=0
    )
    mass = torch.zeros(3, dtype=torch.float64).index_add_(0, target, nearest_masses(cost, third, 1.0))
    torch.testing.assert_close(mass, torch.tensor([0.633, 0.287, 0.080], dtype=torch.float64), atol=5e-4, rtol=0)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("eps", [1e-3, 1e-2, 0.1, 1.0, 10.0])
def test_no_eps_overflows(eps, dtype):
    cost, rows, columns = (values.to(dtype) for values in problem(8, 32, 0))
    found = sinkhorn(cost, rows, columns, eps, iterations=3000)
    assert torch.isfinite(found.row_potential).all()
    assert torch.isfinite(found.column_potential).all()
    torch.testing.assert_close(found.plan.sum(0), columns, atol=1e-6, rtol=0)
    torch.testing.assert_close(found.plan.sum(1), rows, atol=1e-3, rtol=0)  # far from converged at 1e-3
    masses = nearest_masses(cost, rows, eps)
    assert torch.isfinite(masses).all()
    assert float(masses.sum()) == pytest.approx(1, abs=1e-5)
    if eps == 1e-3:  # what the log domain is for
        assert float((-cost / eps).exp().sum(0).min()) == 0


def test_float32_is_as_good_as_float64_at_the_usual_eps():
    single, double = (
        sinkhorn(*(v.to(t) for v in problem(10, 128, 1)), 0.1, iterations=60) for t in (torch.float32, torch.float64)
    )
    torch.testing.assert_close(single.plan.double(), double.plan, atol=1e-7, rtol=0)
    torch.testing.assert_close(centred(single.column_potential).double(), centred(double.column_potential), atol=1e-5, rtol=0)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_raised_to_float32(dtype):
    cost, rows, columns = problem(4, 6, 0)
    assert sinkhorn(cost.to(dtype), rows, columns, 0.1).plan.dtype == torch.float32
    assert nearest_masses(cost.to(dtype), rows, 0.1).dtype == torch.float32
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert cosine_cost(torch.randn(4, 3, dtype=dtype), torch.randn(6, 3, dtype=dtype)).dtype == torch.float32


def test_points_without_mass_are_left_out():
    cost, rows, columns = problem(4, 6, 5)
    rows[1], columns[2] = 0, 0
    rows, columns = rows / rows.sum(), columns / columns.sum()
    found = sinkhorn(cost, rows, columns, 0.1, iterations=500)
    keep_rows, keep_columns = torch.tensor([0, 2, 3]), torch.tensor([0, 1, 3, 4, 5])
    without = sinkhorn(cost[keep_rows][:, keep_columns], rows[keep_rows], columns[keep_columns], 0.1, iterations=500)
    assert not torch.isnan(found.log_plan).any()
    assert float(found.plan[1].sum()) == float(found.plan[:, 2].sum()) == 0
    torch.testing.assert_close(found.plan[keep_rows][:, keep_columns], without.plan, atol=1e-9, rtol=0)
    value = regularised_value(cost, rows, columns, 0.1, iterations=500)
    torch.testing.assert_close(value, value_by_definition(without.plan, cost[keep_rows][:, keep_columns], 0.1))


def test_the_tolerance_stops_early_and_not_too_early():
    cost, rows, columns = problem(10, 64, 2)
    loose = sinkhorn(cost, rows, columns, 0.1, iterations=5000, tolerance=1e-3)
    assert 0 < float((loose.plan.sum(1) - rows).abs().sum()) < 1e-3
    assert float((sinkhorn(cost, rows, columns, 0.1, iterations=5000).plan.sum(1) - rows).abs().sum()) < 1e-12


def test_costs_by_hand():
    receivers, senders = torch.tensor([[3.0, 0.0], [0.0, 0.0]]), torch.tensor([[1.0, 1.0], [-2.0, 0.0]])
    expected = torch.tensor([[1 - 0.5**0.5, 2.0], [1.0, 1.0]])
    torch.testing.assert_close(cosine_cost(receivers, senders), expected)
    by_label = label_cost(torch.tensor([0, 2]), torch.tensor([2, 2, 1]), 0.2)
    torch.testing.assert_close(by_label, torch.tensor([[0.2, 0.2, 0.2], [0.0, 0.0, 0.2]]))
