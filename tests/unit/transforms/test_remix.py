"""Remix and MAMix: golden shares, limits that are mixup bit for bit, and a loop over rows."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from steelyard.core.errors import ArgumentError, CombinationError
from steelyard.core.objective import Objective
from steelyard.core.oracle import Oracle
from steelyard.core.rows import Batch, Rows
from steelyard.core.seeds import generator
from steelyard.transforms import Mixup, Remix
from steelyard.transforms._mixing import draw_beta
from steelyard.transforms.remix import mamix_share, remix_share

COUNTS = [5000, 300, 50, 1, 0]


def oracle(seed: int = 0) -> Oracle:
    return Oracle(
        nn.Linear(4, 5), lambda m, b: Rows(m(b.inputs)[b.owner], b.target), Objective(), draws=generator(seed, "draws")
    )


def batch(rows: int = 9, seed: int = 0, **fields) -> Batch:
    stream = generator(seed, "batch")
    return Batch(
        torch.randn(rows, 4, generator=stream), torch.randint(5, (rows,), generator=stream), torch.arange(rows), **fields
    )


def same(one: Batch, other: Batch) -> bool:
    fields = ("inputs", "target", "index", "owner", "share")
    return all(torch.equal(getattr(one, field), getattr(other, field)) for field in fields)


@pytest.mark.parametrize(
    ("lam", "own", "other", "want"),
    [(0.3, 300, 10, 0.0), (0.3, 10, 300, 0.3), (0.7, 10, 300, 1.0), (0.7, 300, 10, 0.7), (0.3, 20, 10, 0.3)],
)
def test_golden_remix(lam, own, other, want):
    share = remix_share(*(torch.tensor(float(value)) for value in (lam, own, other)), ratio=3, threshold=0.5)
    assert share.item() == pytest.approx(want)


@pytest.mark.parametrize(
    ("lam", "own", "other", "want"), [(0.5, 100, 100, 0.5), (0.3, 5000, 50, 0.461), (0.3, 50, 5000, 0.803)]
)
def test_golden_mamix(lam, own, other, want):
    # The published lambda is the partner's share of the input.
    share = mamix_share(torch.tensor(1 - lam), torch.tensor(float(own)), torch.tensor(float(other)), power=-0.25)
    assert share.item() == pytest.approx(want, abs=5e-4)


@given(lam=st.floats(0, 1, width=32), own=st.integers(1, 5000), other=st.integers(1, 5000), power=st.floats(-2, 2, width=32))
def test_shares_of_both_sides_add_up(lam, own, other, power):
    lam, own, other = torch.tensor(lam), torch.tensor(float(own)), torch.tensor(float(other))
    for share, rest in (
        (mamix_share(lam, own, other, power=power), mamix_share(1 - lam, other, own, power=power)),
        (remix_share(lam, own, other, ratio=3, threshold=0.5), remix_share(1 - lam, other, own, ratio=3, threshold=0.5)),
    ):
        assert 0 <= share <= 1
        torch.testing.assert_close(share + rest, torch.ones(()), atol=1e-5, rtol=0)


@pytest.mark.parametrize("lam", [0.0, 1.0])
@pytest.mark.parametrize("counts", [(5000.0, 1.0), (1.0, 5000.0), (7.0, 7.0)])
def test_an_input_of_one_class_has_its_label_alone(lam, counts):
    share, own, other = torch.tensor(lam), *map(torch.tensor, counts)
    assert mamix_share(share, own, other, power=-0.25).item() == lam
    assert remix_share(share, own, other, ratio=3, threshold=0.5).item() == lam


def test_at_the_margin_both_halves_of_mamix_meet():
    own, other = torch.tensor(100.0), torch.tensor(100.0)
    values = [mamix_share(torch.tensor(0.5 + e), own, other, power=-0.25).item() for e in (-1e-6, 0, 1e-6)]
    assert values == pytest.approx([0.5] * 3, abs=1e-5)


@pytest.mark.parametrize(
    "limit",
    [
        Remix([7] * 5),
        Remix(COUNTS, ratio=float("inf")),
        Remix(COUNTS, threshold=0.0),
        Remix([1, 0, 0, 1, 1], threshold=1.0),
    ],
)
@pytest.mark.parametrize("seed", range(3))
def test_limits_are_mixup_bit_for_bit(limit, seed):
    assert same(limit(oracle(seed), batch(seed=seed)), Mixup()(oracle(seed), batch(seed=seed)))


@pytest.mark.parametrize(
    "limit", [Remix([7] * 5, rule="mamix", per_row=True), Remix(COUNTS, rule="mamix", power=0, per_row=True)]
)
def test_limits_of_mamix_are_mixup(limit):
    ours, theirs = limit(oracle(), batch()), Mixup(per_row=True)(oracle(), batch())
    torch.testing.assert_close(ours.share, theirs.share)
    assert torch.equal(ours.inputs, theirs.inputs)


@given(seed=st.integers(0, 99), per_row=st.booleans())
def test_equals_a_loop_over_rows(seed, per_row):
    source = batch(seed=seed)
    made = Remix(COUNTS, 0.8, per_row=per_row)(oracle(seed), source)
    stream = generator(seed, "draws")
    lam = draw_beta(0.8, 9 if per_row else 1, stream).tolist() * (1 if per_row else 9)
    partner = torch.randperm(9, generator=stream).tolist()
    counts = [5000, 300, 50, 1, 1]
    for i in range(9):
        a, b = counts[source.target[i]], counts[source.target[partner[i]]]
        want = 0.0 if a / b >= 3 and lam[i] < 0.5 else 1.0 if a / b <= 1 / 3 and 1 - lam[i] < 0.5 else lam[i]
        assert made.share[i].item() == pytest.approx(want, abs=1e-6)
        assert made.share[9 + i].item() == pytest.approx(1 - want, abs=1e-6)
        torch.testing.assert_close(made.inputs[i], lam[i] * source.inputs[i] + (1 - lam[i]) * source.inputs[partner[i]])


def test_ignored_rows_stay_ignored():
    made = Remix(COUNTS)(oracle(), batch(share=torch.tensor([0.0] + [1.0] * 8)))
    assert bool((made.share[made.index == 0] == 0).all())


def test_refusals():
    with pytest.raises(CombinationError, match="mixed before"):
        Remix(COUNTS)(oracle(), Mixup()(oracle(), batch()))
    with pytest.raises(CombinationError, match="'views'"):
        Remix(COUNTS)(oracle(), batch(extra={"views": torch.zeros(9)}))
    for wrong in ({"ratio": 1.0}, {"threshold": 1.5}, {"rule": "other"}, {"power": float("nan")}, {"alpha": -1.0}):
        with pytest.raises(ArgumentError, match=f"`{next(iter(wrong))}`"):
            Remix(COUNTS, **wrong)
