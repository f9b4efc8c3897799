"""NT-Xent and VICReg against loops over single numbers, and what they promise."""

import math

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from steelyard.numeric.contrastive import directions, nt_xent, vicreg


def views(rows: int, width: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> tuple[Tensor, Tensor]:
    stream = torch.Generator().manual_seed(seed)
    first = torch.randn(rows, width, generator=stream, dtype=torch.float64)
    second = first + torch.randn(rows, width, generator=stream, dtype=torch.float64)
    return first.to(dtype), second.to(dtype)


def cosine(a: list[float], b: list[float]) -> float:
    dot = sum(x * y for x, y in zip(a, b, strict=True))
    return dot / math.sqrt(sum(x * x for x in a)) / math.sqrt(sum(y * y for y in b))


def nt_xent_by_hand(first: Tensor, second: Tensor, temperature: float) -> list[float]:
    """As the paper's algorithm 1 writes it: for every view, its twin against all others."""
    rows = len(first)
    embeddings = first.tolist() + second.tolist()
    losses = []
    for u in range(2 * rows):
        scores = {v: math.exp(cosine(embeddings[u], embeddings[v]) / temperature) for v in range(2 * rows) if v != u}
        losses.append(-math.log(scores[(u + rows) % (2 * rows)] / sum(scores.values())))
    return [(losses[i] + losses[i + rows]) / 2 for i in range(rows)]


@settings(max_examples=40)
@given(rows=st.integers(1, 7), width=st.integers(1, 6), temperature=st.floats(0.05, 3), seed=st.integers(0, 999))
def test_nt_xent_is_the_sum_over_all_other_views(rows, width, temperature, seed):
    first, second = views(rows, width, seed)
    wanted = torch.tensor(nt_xent_by_hand(first, second, temperature), dtype=torch.float64)
    torch.testing.assert_close(nt_xent(first, second, temperature), wanted, rtol=1e-9, atol=1e-9)


def vicreg_by_hand(first: Tensor, second: Tensor, inv: float, var: float, cov: float) -> float:
    rows, width = first.shape
    total = (
        inv * sum((a - b) ** 2 for a, b in zip(first.flatten().tolist(), second.flatten().tolist(), strict=True)) / rows / width
    )
    for view in (first.tolist(), second.tolist()):
        mean = [sum(z[j] for z in view) / rows for j in range(width)]

        def covariance(j: int, k: int, view=view, mean=mean) -> float:
            return sum((z[j] - mean[j]) * (z[k] - mean[k]) for z in view) / (rows - 1)

        spread = [max(0.0, 1 - math.sqrt(covariance(j, j) + 1e-4)) for j in range(width)]
        total += var * sum(spread) / width / 2
        total += cov * sum(covariance(j, k) ** 2 for j in range(width) for k in range(width) if j != k) / width
    return total


@settings(max_examples=40)
@given(rows=st.integers(2, 7), width=st.integers(1, 6), weights=st.tuples(*[st.floats(0, 30)] * 3), seed=st.integers(0, 999))
def test_vicreg_is_its_three_sums(rows, width, weights, seed):
    first, second = views(rows, width, seed)
    first, second = first / 2, second / 3
    values = vicreg(first, second, *weights)
    assert values.shape == (rows,)
    assert values.mean().item() == pytest.approx(vicreg_by_hand(first, second, *weights), rel=1e-9, abs=1e-9)


TERMS = {"nt-xent": nt_xent, "vicreg": vicreg, "nt-xent T=0.1": lambda a, b: nt_xent(a, b, 0.1)}
every_term = pytest.mark.parametrize("term", TERMS.values(), ids=TERMS)


@every_term
def test_order_of_rows_and_of_views_does_not_matter(term):
    first, second = views(9, 4)
    order = torch.randperm(9)
    torch.testing.assert_close(term(first[order], second[order]), term(first, second)[order])
    torch.testing.assert_close(term(second, first), term(first, second))


@every_term
def test_gradients_are_those_of_finite_differences(term):
    first, second = views(4, 3)
    assert torch.autograd.gradcheck(term, (first.requires_grad_(), second.requires_grad_()))


@every_term
def test_single_precision_gives_the_values_of_double(term):
    first, second = views(32, 16)
    values = term(first.float(), second.float())
    assert values.dtype == torch.float32
    torch.testing.assert_close(values.double(), term(first, second), rtol=1e-4, atol=1e-5)


@every_term
@pytest.mark.parametrize("case", ["zeros", "one zero row", "one pair", "equal", "huge", "tiny", "no rows"])
def test_degenerate_embeddings_have_finite_values_and_gradients(term, case):
    first, second = views(1 if case == "one pair" else 5, 3, dtype=torch.float32)
    if case == "zeros":
        first, second = torch.zeros(5, 3), torch.zeros(5, 3)
    if case == "one zero row":
        first[0], second[3] = 0.0, 0.0
    if case == "equal":
        first = second = torch.ones(5, 3)
    if case == "huge":
        first, second = first * 1e4, second * 1e4
    if case == "tiny":
        first, second = first * 1e-7, second * 1e-7
    if case == "no rows":
        first, second = first[:0], second[:0]
    first, second = first.clone().requires_grad_(), second.clone().requires_grad_()
    values = term(first, second)
    assert values.shape == first.shape[:1]
    assert bool(torch.isfinite(values).all())
    values.sum().backward()
    assert all(bool(torch.isfinite(view.grad).all()) for view in (first, second))
    if case != "huge":
        assert all(view.grad.abs().amax() < 1e7 for view in (first, second) if len(view))


def test_pairs_that_point_apart_are_pulled_together():
    """A clamp of cosines at zero would leave them without a gradient."""
    first = torch.tensor([[1.0, 0.1, 0.0], [0.0, 0.0, 1.0]], requires_grad=True)
    second = torch.tensor([[-1.0, 0.2, 0.0], [0.0, 0.0, 1.0]])
    before = F.cosine_similarity(first[:1], second[:1]).item()
    assert before < -0.9
    nt_xent(first, second)[0].backward()
    assert first.grad[0].norm() > 0.05
    after = F.cosine_similarity((first - 0.1 * first.grad)[:1], second[:1]).item()
    assert after > before


def test_one_pair_has_no_wrong_answer():
    first, second = views(1, 3)
    assert nt_xent(first, second).item() == 0


def test_nt_xent_looks_at_directions_alone():
    first, second = views(6, 4)
    scale = torch.rand(6, 1).double() + 0.5
    torch.testing.assert_close(nt_xent(first * scale, 7 * second), nt_xent(first, second))
    torch.testing.assert_close(directions(first).norm(dim=1), torch.ones(6).double())


def test_wide_and_tall_embeddings_have_the_same_covariances():
    """The product of rows and that of columns hold the same sum of squares."""
    first, second = views(5, 5)
    padded = torch.cat([first, torch.zeros(5, 3).double()], 1), torch.cat([second, torch.zeros(5, 3).double()], 1)
    narrow, wide = vicreg(first, second, 0, 0, 1.0), vicreg(*padded, 0, 0, 1.0)
    torch.testing.assert_close(narrow * 5, wide * 8)
