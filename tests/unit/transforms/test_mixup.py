"""Mixup: against a loop over rows, the distribution of lambda, compositions and refusals."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from steelyard.core.errors import ArgumentError, CombinationError
from steelyard.core.objective import Objective
from steelyard.core.oracle import Oracle
from steelyard.core.rows import Batch, Rows
from steelyard.core.seeds import generator
from steelyard.transforms.mixup import Mixup, draw_beta


def oracle(seed: int = 0) -> Oracle:
    def forward(model: nn.Module, batch: Batch) -> Rows:
        logits = model(batch.inputs)
        return Rows(logits if batch.owner is None else logits[batch.owner], batch.target, share=batch.share)

    return Oracle(nn.Linear(4, 3), forward, Objective(), draws=generator(seed, "draws"))


def batch(rows: int = 7, **fields) -> Batch:
    stream = generator(0, "batch")
    inputs = torch.randn(rows, 4, generator=stream)
    return Batch(inputs, torch.randint(3, (rows,), generator=stream), torch.arange(100, 100 + rows), **fields)


def by_hand(source: Batch, alpha: float, per_row: bool, seed: int) -> tuple[Tensor, list[tuple[int, int, int, float]]]:
    """Inputs, and the rows (owner, target, index, share) as a loop makes them."""
    stream = generator(seed, "draws")
    size = len(source.inputs)
    lam = draw_beta(alpha, size if per_row else 1, stream).tolist() * (1 if per_row else size)
    partner = torch.randperm(size, generator=stream).tolist()
    inputs = torch.stack([lam[i] * source.inputs[i] + (1 - lam[i]) * source.inputs[partner[i]] for i in range(size)])
    rows = len(source.target)
    owner = list(range(rows)) if source.owner is None else source.owner.tolist()
    share = [1.0] * rows if source.share is None else source.share.tolist()
    made = []
    for i in range(size):
        for r in range(rows):
            target, index = source.target[r].item(), source.index[r].item()
            if owner[r] == i:
                made.append((i, target, index, share[r] * lam[i]))
            if owner[r] == partner[i]:
                made.append((i, target, index, share[r] * (1 - lam[i])))
    return inputs, made


def listed(mixed: Batch) -> list[tuple[int, int, int, float]]:
    return list(zip(*(field.tolist() for field in (mixed.owner, mixed.target, mixed.index, mixed.share)), strict=True))


def same_rows(got, want) -> bool:
    assert len(got) == len(want)
    return all(a[:3] == b[:3] and a[3] == pytest.approx(b[3], abs=1e-6) for a, b in zip(sorted(got), sorted(want), strict=True))


@given(rows=st.integers(1, 9), alpha=st.floats(0.05, 5), per_row=st.booleans(), seed=st.integers(0, 99))
def test_equals_a_loop_over_rows(rows, alpha, per_row, seed):
    source = batch(rows)
    mixed = Mixup(alpha, per_row=per_row)(oracle(seed), source)
    inputs, made = by_hand(source, alpha, per_row, seed)
    torch.testing.assert_close(mixed.inputs, inputs, rtol=1e-5, atol=1e-6)
    assert same_rows(listed(mixed), made)


def test_rows_are_the_batch_and_then_its_partners():
    source = batch()
    mixed = Mixup()(oracle(), source)
    everyone = torch.arange(7)
    assert torch.equal(mixed.owner, torch.cat([everyone, everyone]))
    assert torch.equal(mixed.target[:7], source.target)
    assert torch.equal(mixed.index[:7], source.index)
    partner = mixed.index[7:] - 100
    assert torch.equal(mixed.target[7:], source.target[partner])
    torch.testing.assert_close(mixed.share[:7] + mixed.share[7:], torch.ones(7))
    lam = mixed.share[0]
    assert torch.equal(mixed.share[:7], lam.expand(7))
    torch.testing.assert_close(mixed.inputs, lam * source.inputs + (1 - lam) * source.inputs[partner])


@pytest.mark.parametrize("second_per_row", [False, True])
@given(seed=st.integers(0, 99))
def test_mixing_twice_multiplies_shares(second_per_row, seed):
    source = batch(6)
    once = Mixup(0.8, per_row=True)(oracle(5), source)
    twice = Mixup(0.7, per_row=second_per_row)(oracle(seed), once)
    inputs, made = by_hand(once, 0.7, second_per_row, seed)
    torch.testing.assert_close(twice.inputs, inputs, rtol=1e-5, atol=1e-6)
    assert same_rows(listed(twice), made)
    per_input = torch.zeros(6).index_add_(0, twice.owner, twice.share)
    torch.testing.assert_close(per_input, torch.ones(6))


def test_ignored_rows_stay_ignored():
    share = torch.tensor([1.0, 0.0, 1.0, 0.5])
    source = batch(4, share=share)
    mixed = Mixup(per_row=True)(oracle(), source)
    assert same_rows(listed(mixed), by_hand(source, 1.0, True, 0)[1])
    assert bool((mixed.share[mixed.index == 101] == 0).all())


def test_loss_is_that_of_soft_labels():
    asked, source = oracle(), batch(16)
    mixed = Mixup(per_row=True)(asked, source)
    soft = torch.zeros(16, 3)
    soft.index_put_((mixed.owner, mixed.target), mixed.share, accumulate=True)
    want = nn.functional.cross_entropy(asked.model(mixed.inputs), soft)
    torch.testing.assert_close(asked(mixed).loss, want)


@pytest.mark.parametrize("alpha", [0.01, 0.2, 1.0, 3.0, 200.0])
def test_lambda_follows_the_beta_distribution(alpha):
    from scipy import stats

    drawn = draw_beta(alpha, 20_000, generator(0)).double()
    assert bool(((drawn >= 0) & (drawn <= 1)).all())
    # float32 cannot tell values within 1e-7 of 1 from 1, where small alpha puts much of its mass: compare the lower half.
    folded = torch.minimum(drawn, 1 - drawn).clamp_min(1e-6).numpy()
    exact = stats.beta(alpha, alpha)
    for quantile in (0.02, 0.1, 0.25, 0.4, 0.49):
        share = (folded <= quantile).mean()
        want = 2 * exact.cdf(quantile)
        assert abs(share - want) < 4.5 * (want * (1 - want) / 20_000) ** 0.5 + 1e-4
    assert abs((drawn < 0.5).double().mean().item() - 0.5) < 0.02


def test_a_lambda_per_batch_or_per_row():
    assert len(torch.unique(Mixup()(oracle(), batch(50)).share)) <= 2
    assert len(torch.unique(Mixup(per_row=True)(oracle(), batch(50)).share[:50])) == 50


def test_alpha_zero_is_the_identity_and_draws_nothing():
    asked, source = oracle(), batch()
    state = asked.generator.get_state()
    assert Mixup(0)(asked, source) is source
    assert torch.equal(state, asked.generator.get_state())


def test_mappings_blend_numbers_and_exchange_categories():
    rows = 4000
    own = torch.arange(rows)
    inputs = {"numeric": own.float()[:, None], "categorical": own[:, None].repeat(1, 3), "deeper": {"flag": own % 2 == 0}}
    source = Batch(inputs, own % 3, own)
    mixed = Mixup()(oracle(3), source)
    lam, partner = mixed.share[0].item(), mixed.index[rows:]
    torch.testing.assert_close(mixed.inputs["numeric"], (lam * own + (1 - lam) * partner).float()[:, None])
    codes = mixed.inputs["categorical"]
    assert codes.dtype == torch.int64
    mine, theirs = codes == own[:, None], codes == partner[:, None]
    assert bool((mine | theirs).all())
    moved = own != partner
    assert abs(mine[moved].float().mean().item() - lam) < 0.03
    assert len(torch.unique(mine[moved], dim=0)) > 2, "cells of a row are exchanged one by one"
    assert mixed.inputs["deeper"]["flag"].dtype == torch.bool
    assert torch.equal(source.inputs["numeric"], own.float()[:, None])


@pytest.mark.parametrize("dtype", [torch.float64, torch.float16, torch.bfloat16])
def test_inputs_keep_their_dtype(dtype):
    source = batch().replace(inputs=torch.randn(7, 3, 8, 8, generator=generator(0)).to(dtype))
    mixed = Mixup()(oracle(), source)
    assert mixed.inputs.dtype == dtype
    assert mixed.inputs.shape == (7, 3, 8, 8)
    assert mixed.share.dtype == torch.float32


@pytest.mark.parametrize("alpha", [-1.0, float("nan"), float("inf")])
def test_refuses_alpha(alpha):
    with pytest.raises(ArgumentError, match="`alpha`"):
        Mixup(alpha)


@pytest.mark.parametrize(
    ("inputs", "found"),
    [
        (torch.zeros(7, 3, 2, 2, dtype=torch.uint8), "uint8"),
        ({"a": torch.zeros(7), "b": torch.zeros(6)}, "lengths 6, 7"),
        (torch.zeros(()), "without dimensions"),
        ([1, 2, 3], "list"),
        ({}, "mapping"),
    ],
)
def test_refuses_inputs(inputs, found):
    with pytest.raises(ArgumentError, match=f"`inputs`.*{found}"):
        Mixup()(oracle(), batch().replace(inputs=inputs))


def test_refuses_extra():
    with pytest.raises(CombinationError, match="'views'"):
        Mixup()(oracle(), batch(extra={"views": torch.zeros(7)}))
