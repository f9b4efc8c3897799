"""Dropout drawn 16 bits a number: shares, independence, and the same numbers from the same seed."""

from __future__ import annotations

import pytest
import torch
from dropped import parts_of

from steelyard.core.stacked_dropout import TOGETHER, Drops, drawn, factor, kept, level, new_seeds, part_of


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_shares_kept_are_right_and_unbiased(share: float) -> None:
    found = kept(torch.Size([100, 1001]), share)
    values = found.unique()
    assert values.tolist() == pytest.approx([0.0, 1 / (1 - share)], rel=1e-4)
    error = (share * (1 - share) / found.numel()) ** 0.5
    assert float((found == 0).double().mean()) == pytest.approx(share, abs=5 * error)
    neighbours = ((found[:, 1:] == 0) & (found[:, :-1] == 0)).double().mean()
    assert float(neighbours) == pytest.approx(share**2, abs=8 * error)


@pytest.mark.parametrize("share", [0.0, 1e-9])
def test_nothing_is_drawn_where_nothing_is_dropped(share: float) -> None:
    assert torch.equal(kept(torch.Size([3, 5]), share), torch.ones(3, 5)) and factor(share) == 1
    assert len(drawn(0, [torch.Size([3, 5])], [share])[0]) == 0


def test_numbers_follow_from_the_seed_and_seeds_from_the_global_generator() -> None:
    shapes = [torch.Size([7, 3]), torch.Size([5]), torch.Size([4, 4])]
    first, second, other = (drawn(seed, shapes, [0.5, 0.0, 0.1]) for seed in (1, 1, 2))
    assert [value.shape for value in first] == [shapes[0], torch.Size([0]), shapes[2]]
    assert all(torch.equal(one, two) for one, two in zip(first, second, strict=True))
    assert not torch.equal(first[0], other[0])
    torch.manual_seed(3)
    seeds = new_seeds(4)
    torch.manual_seed(3)
    assert new_seeds(4) == seeds and len(set(seeds)) == 4


def test_all_of_the_range_is_drawn_evenly() -> None:
    (numbers,) = drawn(0, [torch.Size([1 << 20])], [0.5])
    counts = torch.bincount((numbers.int() + (1 << 15)) >> 8, minlength=256).double()
    assert float(((counts - 4096).square() / 4096).sum()) == pytest.approx(255, abs=5 * (2 * 255) ** 0.5)
    assert float((numbers <= level(0.25)).double().mean()) == pytest.approx(0.25, abs=0.003)


def test_members_of_a_group_drop_their_shares_and_not_the_same_units() -> None:
    rows, shares = 2000, [0.3, 0.6]
    drops = Drops.draw(shares, [50, 40], rows, 6)
    assert len(drops.seeds) == 2
    drawn_for = [parts_of(drops, member) for member in range(6)]
    assert [len(drops.drawn(*of)) for of in [(0, 6), (0, 4), (3, 5), (4, 6), (2, 3)]] == [2, 1, 2, 1, 1]
    for group, member in zip(drops.drawn(3, 6), (3, 5), strict=True):
        own = [part_of(layer, member, TOGETHER, rows, width) for layer, width in zip(group, drops.widths, strict=True)]
        assert all(torch.equal(one, other) for one, other in zip(own, drawn_for[member], strict=True))
    for at, share in enumerate(shares):
        dropped = [own[at] <= level(share) for own in drawn_for]
        assert dropped[0].shape == (rows, (50, 40)[at])
        error = (share * (1 - share) / dropped[0].numel()) ** 0.5
        for one, own in enumerate(dropped):
            assert float(own.double().mean()) == pytest.approx(share, abs=5 * error)
            for other in dropped[:one]:
                assert float((own & other).double().mean()) == pytest.approx(share**2, abs=8 * error)
                # What they have in common stands in other units: counts of a unit tell nothing of each other.
                counts = torch.stack([own.sum(0), other.sum(0)]).double()
                assert abs(float(torch.corrcoef(counts)[0, 1])) < 0.8
