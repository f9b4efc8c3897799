"""Density ratios: known answers, invariances, and the three ways to solve for them."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import steelyard.numeric.density_ratio as routine
from steelyard.numeric.density_ratio import density_ratio

seeds = st.integers(0, 2**31 - 1)


def case(seed, sizes=(1, 3, 5), depth=8, dtype=torch.float64):
    """ReLU features of classes of these sizes, shuffled, and a prototype a class."""
    stream = torch.Generator().manual_seed(seed)
    target = torch.repeat_interleave(torch.arange(len(sizes)) * 7, torch.tensor(sizes))
    target = target[torch.randperm(len(target), generator=stream)]
    features = torch.randn(len(target), depth, generator=stream, dtype=dtype).relu() + 0.01
    prototypes = torch.rand(7 * len(sizes), depth, generator=stream, dtype=dtype)
    return features, prototypes[target], target


def by_solver(monkeypatch, ways):
    """The same ratios by one masked system and class by class."""
    found = []
    for most in (10**6, 0):
        monkeypatch.setattr(routine, "MASKED_ROWS_CPU", most)
        found.append(ways())
    return found


@given(seeds)
def test_a_class_with_one_row(seed):
    """r = <phi, F> / |phi|^2."""
    features, prototypes, target = case(seed, sizes=(1, 1, 1))
    expected = (features * prototypes).sum(1) / features.square().sum(1)
    torch.testing.assert_close(density_ratio(features, prototypes, target, ridge=0.0), expected)
    torch.testing.assert_close(density_ratio(features, prototypes, target, ridge=0.1), expected / 1.1)


@given(seeds)
def test_a_prototype_equal_to_the_batch_mean_makes_every_ratio_one(seed):
    features, _, target = case(seed)
    means = torch.stack([features[target == label].mean(0) for label in target])
    torch.testing.assert_close(density_ratio(features, means, target, ridge=0.0), torch.ones(9, dtype=torch.float64))


@given(seeds)
def test_the_weighted_mean_is_the_projection_of_the_prototype(seed):
    """And the prototype itself, where that lies in the span of the class's features."""
    features, prototypes, target = case(seed)
    ratio = density_ratio(features, prototypes, target, ridge=0.0)
    for label in target.unique():
        mine = target == label
        rows, aim = features[mine], prototypes[mine][0]
        reached = (ratio[mine, None] * rows).mean(0)
        torch.testing.assert_close(reached, torch.linalg.pinv(rows) @ rows @ aim)
        inside = (rows * torch.rand(len(rows), 1, dtype=torch.float64)).sum(0)
        again = density_ratio(rows, inside.expand(len(rows), -1), torch.zeros(len(rows), dtype=torch.int64), ridge=0.0)
        torch.testing.assert_close((again[:, None] * rows).mean(0), inside)


@given(seeds, st.sampled_from([0.0, 1e-9, 1e-3, 0.1, 10.0]), st.floats(1e-3, 1e3))
def test_scale_rotation_and_order_do_not_matter(seed, ridge, scale):
    features, prototypes, target = case(seed)
    turn = torch.linalg.qr(torch.randn(8, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(seed)))[0]
    order = torch.randperm(9, generator=torch.Generator().manual_seed(seed))
    ratio = density_ratio(features, prototypes, target, ridge=ridge)
    moved = density_ratio((scale * features @ turn)[order], (scale * prototypes @ turn)[order], target[order], ridge=ridge)
    torch.testing.assert_close(moved, ratio[order], rtol=1e-5, atol=1e-6)


@given(seeds, st.sampled_from([0.0, 0.1]))
def test_classes_do_not_touch_each_other(seed, ridge):
    features, prototypes, target = case(seed)
    ratio = density_ratio(features, prototypes, target, ridge=ridge)
    for label in target.unique():
        mine = target == label
        alone = density_ratio(features[mine], prototypes[mine], target[mine], ridge=ridge)
        torch.testing.assert_close(alone, ratio[mine])


@pytest.mark.parametrize("sizes", [(1, 2, 3, 4, 5, 8, 9), (30, 1, 1, 17), (40,)])
@pytest.mark.parametrize("ridge", [1e-4, 0.1, 3.0])
@pytest.mark.parametrize("shares", [False, True])
def test_one_masked_system_and_class_by_class_agree(sizes, ridge, shares, monkeypatch):
    features, prototypes, target = case(1, sizes)
    share = torch.linspace(0.1, 2, len(target), dtype=torch.float64) if shares else None
    masked, blocks = by_solver(monkeypatch, lambda: density_ratio(features, prototypes, target, ridge=ridge, share=share))
    torch.testing.assert_close(masked, blocks, rtol=1e-6, atol=1e-8)


def test_a_tiny_ridge_meets_the_exact_solution_and_the_masked_one():
    features, prototypes, target = case(2)
    exact, singular, masked = (density_ratio(features, prototypes, target, ridge=ridge) for ridge in (0.0, 9.9e-9, 1.01e-8))
    torch.testing.assert_close(singular, exact, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(masked, singular, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("rows", [64, 80, 200])
@pytest.mark.parametrize("spread", [1.0, 1e-3, 0.0])
def test_more_rows_than_features_give_ratios_about_one(rows, spread):
    """Where a plain inverse gives ratios of hundreds; also where all features of a class are nearly the same."""
    stream = torch.Generator().manual_seed(3)
    population = 1 + spread * torch.randn(2000, 64, generator=stream)
    features = population.relu()[:rows]
    prototypes = population.relu().mean(0).expand(rows, -1)
    target = torch.zeros(rows, dtype=torch.int64)
    ratio = density_ratio(features, prototypes, target, ridge=0.1)
    assert abs(ratio.mean() - 1) < 0.02
    exact = density_ratio(features, prototypes, target, ridge=0.0)
    assert exact.isfinite().all()
    assert ratio.isfinite().all()


@given(seeds)
def test_a_large_ridge_shrinks_towards_the_prototype_s_direction(seed):
    features, prototypes, target = case(seed)
    ratio = density_ratio(features, prototypes, target, ridge=1e9)
    assert float(ratio.abs().max()) < 1e-6
    likeness = (features * prototypes).sum(1)
    for label in target.unique():
        mine = target == label
        torch.testing.assert_close(ratio[mine] / ratio[mine].mean(), likeness[mine] / likeness[mine].mean())


@pytest.mark.parametrize("ridge", [0.0, 1e-9, 0.1])
def test_a_share_of_two_is_two_rows(ridge, monkeypatch):
    features, prototypes, target = case(4)
    twice = torch.repeat_interleave(torch.arange(9), torch.tensor([1, 2, 1, 1, 3, 1, 1, 1, 2]))
    share = torch.bincount(twice).double()

    def ratios():
        return (
            density_ratio(features, prototypes, target, ridge=ridge, share=share)[twice],
            density_ratio(features[twice], prototypes[twice], target[twice], ridge=ridge),
        )

    for shared, repeated in by_solver(monkeypatch, ratios):
        torch.testing.assert_close(shared, repeated, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("ridge", [0.0, 0.1])
def test_a_row_without_a_share_changes_nothing(ridge):
    features, prototypes, target = case(5)
    share = torch.ones(9)
    share[target == 0] = 0
    share[(target == 14).nonzero()[0]] = 0
    kept = share > 0
    ratio = density_ratio(features, prototypes, target, ridge=ridge, share=share)
    torch.testing.assert_close(ratio[kept], density_ratio(features[kept], prototypes[kept], target[kept], ridge=ridge))
    assert (ratio[~kept] == 1).all()


@pytest.mark.parametrize("ridge", [0.0, 0.1])
def test_features_that_say_nothing_give_one(ridge, monkeypatch):
    zeros, target = torch.zeros(5, 4), torch.tensor([0, 0, 0, 1, 2])
    for ratio in by_solver(monkeypatch, lambda: density_ratio(zeros, torch.ones(5, 4), target, ridge=ridge)):
        assert ratio.tolist() == [1, 1, 1, 1, 1]


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32, torch.float64])
@pytest.mark.parametrize("scale", [1e-12, 1.0, 1e12])
def test_under_autocast_and_in_any_type_it_is_solved_in_float64(dtype, scale):
    features, prototypes, target = case(6, dtype=dtype)
    features, prototypes = features * scale, prototypes * scale
    with torch.autocast("cpu", dtype=torch.bfloat16):
        ratio = density_ratio(features, prototypes, target, ridge=0.1)
    assert ratio.dtype == dtype
    torch.testing.assert_close(
        ratio, density_ratio(features.double(), prototypes.double(), target, ridge=0.1).to(dtype), rtol=1e-6, atol=1e-6
    )
