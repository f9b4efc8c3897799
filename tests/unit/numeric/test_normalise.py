"""What mean 1 is over."""

import torch
from hypothesis import given
from hypothesis import strategies as st

from steelyard.numeric.normalise import over_batch, over_classes, over_rows

positive = st.lists(st.floats(1e-3, 1e3), min_size=1, max_size=12)


@given(positive)
def test_over_classes(weights):
    w = torch.tensor(weights, dtype=torch.float64)
    found = over_classes(w)
    torch.testing.assert_close(found.sum().item(), float(len(weights)))
    torch.testing.assert_close(found / found[0], w / w[0])


@given(positive, st.integers(0, 10**6))
def test_over_rows(weights, seed):
    w = torch.tensor(weights, dtype=torch.float64)
    counts = torch.randint(1, 1000, (len(weights),), generator=torch.Generator().manual_seed(seed))
    found = over_rows(w, counts)
    torch.testing.assert_close((counts * found).sum().item(), float(counts.sum()))
    torch.testing.assert_close(found / found[0], w / w[0])


@given(positive, st.integers(0, 10**6))
def test_over_batch(weights, seed):
    w = torch.tensor(weights, dtype=torch.float64)
    torch.testing.assert_close(over_batch(w).mean().item(), 1.0)
    share = 0.01 + torch.rand(len(weights), generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    torch.testing.assert_close(((share * over_batch(w, share)).sum() / share.sum()).item(), 1.0)


def test_a_batch_without_weight_stays_so():
    assert over_batch(torch.zeros(3)).tolist() == [0, 0, 0]
    assert over_batch(torch.ones(2), torch.zeros(2)).isfinite().all()
    assert over_batch(torch.zeros(0)).shape == (0,)
