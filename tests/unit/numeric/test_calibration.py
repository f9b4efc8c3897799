"""Calibrated features: limits, hull, equivariance, moments, and what K-means must not see."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics.cluster import contingency_matrix
from torch import Tensor

from steelyard.core.seeds import generator
from steelyard.numeric.calibration import (
    calibrate,
    class_table,
    cluster_centres,
    debiased_centres,
    displaced,
    entropy,
    group_means,
    own_shares,
    purity,
    strength_by_ratio,
)

seeds = st.integers(0, 10_000)


def drawn(seed: int, rows: int = 60, width: int = 3, classes: int = 4, clusters: int = 6) -> tuple[Tensor, Tensor, Tensor]:
    """Features, classes and clusters at random; every class and every cluster has rows."""
    draws = generator(seed, "calibration")
    features = torch.randn(rows, width, generator=draws, dtype=torch.float64)
    target = torch.cat([torch.arange(classes), torch.randint(classes, (rows - classes,), generator=draws)])
    assigned = torch.cat([torch.arange(clusters), torch.randint(clusters, (rows - clusters,), generator=draws)])
    return features, target, assigned


def blobs(seed: int) -> Tensor:
    """Five groups of rows that any clustering finds."""
    draws = generator(seed, "blobs")
    places = 20 * torch.tensor([[0, 0], [1, 0], [0, 1], [1, 1], [3, 2]], dtype=torch.float64)
    return torch.cat([place + torch.randn(8 + 3 * i, 2, generator=draws) for i, place in enumerate(places)]).double()


@given(seeds)
def test_centres_of_classes_are_in_the_hull_of_the_clusters(seed: int) -> None:
    features, target, assigned = drawn(seed)
    centres = group_means(features, assigned, 6)
    towards, shares = debiased_centres(centres, assigned, target, 4)
    assert bool((shares >= 0).all())
    assert torch.allclose(shares.sum(1), torch.ones(4).double())
    assert torch.allclose(towards, shares @ centres)
    slow = torch.stack([torch.stack([centres[assigned[i]] for i in range(60) if target[i] == c]).mean(0) for c in range(4)])
    assert torch.allclose(towards, slow)


@given(seeds)
def test_names_of_clusters_do_not_matter(seed: int) -> None:
    features, target, assigned = drawn(seed)
    order = torch.randperm(6, generator=generator(seed, "names"))
    centres = group_means(features, assigned, 6)
    renamed = torch.empty_like(centres)
    renamed[order] = centres
    one, other = debiased_centres(centres, assigned, target, 4)[0], debiased_centres(renamed, order[assigned], target, 4)[0]
    assert torch.allclose(one, other)
    assert purity(assigned, target) == purity(order[assigned], target)


@given(seeds)
def test_names_of_classes_do_not_matter(seed: int) -> None:
    features, target, assigned = drawn(seed)
    order = torch.randperm(4, generator=generator(seed, "names"))
    centres = group_means(features, assigned, 6)
    one, other = (debiased_centres(centres, assigned, t, 4)[0] for t in (target, order[target]))
    assert torch.equal(one, other[order])
    counts = torch.bincount(target)
    alpha, beta = strength_by_ratio(counts, 1.5), strength_by_ratio(torch.bincount(order[target]), 1.5)
    assert torch.equal(calibrate(features, target, one, alpha), calibrate(features, order[target], other, beta))


@given(seeds)
def test_moving_and_turning_the_features_moves_and_turns_what_comes_of_them(seed: int) -> None:
    features = blobs(seed)
    target = torch.randint(3, (len(features),), generator=generator(seed, "classes"))
    turn = torch.linalg.qr(torch.randn(2, 2, generator=generator(seed, "turn"), dtype=torch.float64))[0]
    shift = torch.tensor([5.0, -7.0], dtype=torch.float64)
    alpha = torch.tensor([0.0, 0.3, 1.0])
    results = []
    for values in (features, features @ turn + shift):
        centres, assigned = cluster_centres(values, 5, scale=False, seed=seed)
        results.append(calibrate(values, target, debiased_centres(centres, assigned, target, 3)[0], alpha))
    assert torch.allclose(results[0] @ turn + shift, results[1], atol=1e-9)


def test_one_cluster_is_the_mean_of_all_rows() -> None:
    features, target, _ = drawn(0)
    centres, assigned = cluster_centres(features, 1)
    towards = debiased_centres(centres, assigned, target, 4)[0]
    assert torch.allclose(towards, features.mean(0).expand(4, -1))


def test_a_cluster_a_row_is_pure_shrinkage() -> None:
    features, target, _ = drawn(1)
    centres, assigned = cluster_centres(features, 1000)
    assert len(centres) == len(features)
    towards = debiased_centres(centres, assigned, target, 4)[0]
    assert torch.allclose(towards, group_means(features, target, 4))
    assert purity(assigned, target) == 1.0


def test_weights_by_cluster_size_would_give_the_mean_of_all_rows() -> None:
    """Why shares are counted within a class: a class that lies like all rows has no centre of its own."""
    features, _, assigned = drawn(2)
    everybody = torch.zeros(len(features), dtype=torch.int64)
    towards = debiased_centres(group_means(features, assigned, 6), assigned, everybody, 1)[0]
    assert torch.allclose(towards[0], features.mean(0))


def test_a_class_without_rows_is_in_the_middle() -> None:
    features, target, assigned = drawn(3)
    towards = debiased_centres(group_means(features, assigned, 6), assigned, target, 5)[0]
    assert torch.allclose(towards[4], features.mean(0))


@given(seeds, st.floats(0, 1))
def test_mean_and_covariance_move_as_they_should(seed: int, alpha: float) -> None:
    features, target, assigned = drawn(seed)
    towards = debiased_centres(group_means(features, assigned, 6), assigned, target, 4)[0]
    moved = calibrate(features, target, towards, torch.full((4,), alpha))
    for label in range(4):
        before, after = features[target == label], moved[target == label]
        # float32 strengths: alpha is rounded once, in the tensor
        exact = float(torch.tensor(alpha))
        assert torch.allclose(after.mean(0), before.mean(0) + exact * (towards[label] - before.mean(0)), atol=1e-9)
        if len(before) > 1:
            assert torch.allclose(after.T.cov(), (1 - exact) ** 2 * before.T.cov(), atol=1e-9)


def test_strength_zero_keeps_every_bit_and_one_leaves_a_point() -> None:
    features, target, assigned = drawn(4)
    narrow = features.float()
    towards = debiased_centres(group_means(features, assigned, 6), assigned, target, 4)[0]
    moved = calibrate(narrow, target, towards, torch.tensor([0.0, 0.0, 0.0, 1.0]))
    assert moved.dtype == torch.float32
    assert torch.equal(moved[target < 3], narrow[target < 3])
    assert torch.equal(moved[target == 3], towards[3].float().expand(int((target == 3).sum()), -1))


def test_strength_grows_with_the_ratio_and_spares_classes_up_to_the_knee() -> None:
    counts = torch.tensor([1000, 100, 99, 50, 1, 0])
    alpha = strength_by_ratio(counts)
    assert alpha[:2].tolist() == [0.0, 0.0]
    assert torch.allclose(alpha[2:], torch.tensor([0.01, 0.5, 0.99, 0.99], dtype=torch.float64))
    assert strength_by_ratio(torch.tensor([10, 10, 1])).tolist() == [0.0, 0.0, 0.0]


def test_scaling_finds_clusters_that_one_long_dimension_hides() -> None:
    draws = generator(0, "scales")
    side = torch.randint(2, (80,), generator=draws)
    features = torch.stack([1000 * torch.rand(80, generator=draws), side + 0.01 * torch.rand(80, generator=draws)], 1)
    scaled, plain = (cluster_centres(features, 2, scale=scale)[1] for scale in (True, False))
    assert purity(scaled, side) == 1.0
    assert purity(plain, side) < 0.8
    centres = cluster_centres(features, 2)[0]
    assert torch.allclose(centres, group_means(features.double(), scaled, 2))


def test_small_clusters_are_dissolved_into_the_nearest_large_one() -> None:
    features = torch.tensor([[0.0], [0.1], [0.2], [5.0], [10.0], [10.1], [10.2]])
    three, two = (cluster_centres(features, 3, smallest=smallest, scale=False)[1] for smallest in (1, 2))
    assert len(three.unique()) == 3
    assert len(two.unique()) == 2
    assert two[3] == two[0]  # 4.9 away from one centre, 5.1 from the other
    assert len(cluster_centres(features, 3, smallest=50)[0]) == 3


def test_equal_rows_are_one_cluster_and_nothing_is_warned_of() -> None:
    features = torch.tensor([[1.0, 2.0]]).repeat(9, 1)
    centres, assigned = cluster_centres(features, 4)
    assert centres.tolist() == [[1.0, 2.0]]
    assert assigned.tolist() == [0] * 9


def test_clustering_is_reproducible_and_its_seed_matters_to_nothing_but_the_search() -> None:
    features = blobs(0)
    one, other, third = (cluster_centres(features, 5, seed=seed)[1] for seed in (0, 0, 7))
    assert torch.equal(one, other)
    assert purity(one, third) == 1.0


@given(seeds)
def test_random_directions_go_as_far(seed: int) -> None:
    features, target, assigned = drawn(seed)
    towards = debiased_centres(group_means(features, assigned, 6), assigned, target, 4)[0]
    moved = calibrate(features, target, towards, torch.tensor([0.0, 0.5, 0.5, 1.0]))
    other = displaced(features, moved, generator(seed, "directions"))
    assert torch.equal(other[target == 0], features[target == 0])
    assert torch.allclose((other - features).norm(dim=1), (moved - features).norm(dim=1))


@given(seeds)
def test_purity_against_the_contingency_table(seed: int) -> None:
    _, target, assigned = drawn(seed)
    table = contingency_matrix(target.numpy(), assigned.numpy())
    assert purity(assigned, target) == pytest.approx(table.max(0).sum() / len(target))
    assert class_table(assigned, target, 4).tolist() == table.T.tolist()
    assert class_table(assigned, target, 5)[:, 4].tolist() == [0] * 6
    shares = debiased_centres(torch.zeros(6, 1), assigned, target, 4)[1]
    slow = [sum(table[c, k] ** 2 / table[:, k].sum() for k in range(6)) / table[c].sum() for c in range(4)]
    assert own_shares(assigned, target, shares).tolist() == pytest.approx(slow)


def test_entropy_of_the_extremes() -> None:
    shares = torch.tensor([[1.0, 0, 0, 0], [0.25, 0.25, 0.25, 0.25]])
    assert entropy(shares).tolist() == pytest.approx([0.0, math.log(4)])
    missing = own_shares(torch.tensor([0, 1]), torch.tensor([0, 0]), torch.full((2, 2), 0.5))
    assert missing[0] == 1
    assert torch.isnan(missing[1])
