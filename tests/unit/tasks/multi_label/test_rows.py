"""A row a label: its softmax cross-entropy is the binary cross-entropy of the label."""

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from steelyard.core.loss import CrossEntropy
from steelyard.core.objective import Objective
from steelyard.core.rows import Clock
from steelyard.tasks.multi_label.rows import Pairs, label_rows, log_odds


@given(st.integers(1, 6), st.integers(1, 7), st.floats(0.1, 300.0), st.integers(0, 1000))
def test_cross_entropy_of_a_row_is_binary_cross_entropy_of_its_label(examples, labels, size, seed):
    stream = torch.Generator().manual_seed(seed)
    scores = (size * torch.randn(examples, 2 * labels, generator=stream, dtype=torch.float64)).requires_grad_()
    truth = torch.randint(0, 2, (examples, labels), generator=stream).double()
    rows = label_rows(scores, truth)
    values = CrossEntropy().rows(rows.logits, rows.target).view(examples, labels)
    oracle = F.binary_cross_entropy_with_logits(log_odds(scores), truth, reduction="none")
    torch.testing.assert_close(values, oracle, rtol=1e-12, atol=1e-9)
    found, wanted = (torch.autograd.grad(loss.sum(), scores, retain_graph=True)[0] for loss in (values, oracle))
    torch.testing.assert_close(found, wanted, rtol=1e-12, atol=1e-9)
    assert bool((torch.softmax(rows.logits, 1).sum(1) - 1).abs().max() < 1e-12)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_rows_are_in_float32_and_finite_at_any_score(dtype):
    scores = torch.tensor([[1e4, -1e4, 0.0, 0.0], [-1e4, 1e4, 1e4, 1e4]], dtype=dtype).requires_grad_()
    rows = label_rows(scores, torch.tensor([[1.0, 0.0], [1.0, torch.nan]]))
    assert rows.logits.dtype == torch.float32
    values = CrossEntropy().rows(rows.logits, rows.target)
    assert values[:2].tolist() == pytest.approx([-2 * float(scores.detach()[0, 1]), 0.6931], rel=1e-3)
    values.sum().backward()
    assert bool(scores.grad.isfinite().all())


def test_a_label_that_is_not_known_counts_for_nothing():
    scores = torch.randn(3, 4, requires_grad=True)
    truth = torch.tensor([[1.0, torch.nan], [torch.nan, 0.0], [1.0, 1.0]])
    evaluation = Objective()(label_rows(scores, truth), Clock())
    known = ~truth.isnan()
    torch.testing.assert_close(evaluation.loss, F.binary_cross_entropy_with_logits(log_odds(scores)[known], truth[known]))
    evaluation.loss.backward()
    assert not scores.grad[0, 2:].any() and not scores.grad[1, :2].any()


def test_mixed_labels_are_two_rows_with_shares():
    scores, truth = torch.randn(5, 6), torch.rand(5, 3)
    rows = label_rows(scores, truth, features=torch.randn(5, 2), mixed=True)
    assert rows.logits.shape == (30, 6) and rows.features.shape == (30, 2)
    evaluation = Objective()(rows, Clock())
    torch.testing.assert_close(evaluation.loss, F.binary_cross_entropy_with_logits(log_odds(scores), truth))


def test_shares_of_examples_reach_their_labels():
    rows = label_rows(torch.randn(2, 4), torch.tensor([[1.0, 0.0], [0.0, torch.nan]]), share=torch.tensor([0.25, 1.0]))
    assert rows.share.tolist() == [0.25, 0.25, 1.0, 0.0]


def test_a_score_a_label_becomes_a_pair_and_pairs_stay():
    network = nn.Linear(4, 3)
    inputs = torch.randn(7, 4)
    torch.testing.assert_close(log_odds(Pairs(network, 3)(inputs)), network(inputs))
    both = nn.Linear(4, 6)
    assert torch.equal(Pairs(both, 3)(inputs), both(inputs))
