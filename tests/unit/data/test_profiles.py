import math
from fractions import Fraction

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from steelyard.core.errors import ArgumentError, DataError, UnknownName
from steelyard.data.profiles import KINDS, class_permutation, imbalance_profile, longest_tail

CIFAR10 = {
    10: (20431, [5000, 3871, 2997, 2320, 1796, 1391, 1077, 834, 645, 500]),
    100: (12406, [5000, 2997, 1796, 1077, 645, 387, 232, 139, 83, 50]),
    200: (11203, [5000, 2775, 1540, 854, 474, 263, 146, 81, 45, 25]),
    500: (10011, [5000, 2506, 1256, 629, 315, 158, 79, 39, 19, 10]),
}


@pytest.mark.parametrize("factor", CIFAR10)
def test_cifar10_lt_has_the_published_counts(factor):
    total, counts = CIFAR10[factor]
    profile = imbalance_profile(5000, 10, factor)
    assert profile.tolist() == counts
    assert profile.dtype == torch.int64
    assert int(profile.sum()) == total


@pytest.mark.parametrize(("factor", "total", "least"), [(10, 19573, 50), (100, 10847, 5), (200, 9502, 2), (500, 8155, 1)])
def test_cifar100_lt_has_the_published_totals(factor, total, least):
    profile = imbalance_profile(500, 100, factor)
    assert (int(profile.sum()), int(profile.min()), int(profile.max())) == (total, least, 500)


@given(st.integers(1, 3000), st.integers(1, 400), st.sampled_from(KINDS), st.integers(1, 12))
def test_last_class_is_the_exact_quotient_rounded_down(n_max, factor, kind, extra):
    profile = imbalance_profile(n_max, 1 + extra, factor, kind)
    assert int(profile[0]) == n_max
    assert int(profile[-1]) == max(n_max // factor, 1)


def test_whole_numbers_do_not_fall_to_the_one_below():
    assert 49 * (1 / 49) < 1  # the trap
    for factor in range(2, 400):
        for multiple in (1, 3, 10):
            assert int(imbalance_profile(multiple * factor, 2, factor)[-1]) == multiple
    # Powers in the middle are whole, too: 4096 * 4096^(-c/4) = 4096, 512, 64, 8, 1.
    assert imbalance_profile(4096, 5, 4096).tolist() == [4096, 512, 64, 8, 1]


@given(st.integers(2, 5000), st.integers(2, 60), st.integers(1, 300))
def test_linear_is_the_exact_line_rounded_down(n_max, classes, factor):
    exact = [n_max * (1 - Fraction(c, classes - 1) * (1 - Fraction(1, factor))) for c in range(classes)]
    assert imbalance_profile(n_max, classes, factor, "linear").tolist() == [max(math.floor(value), 1) for value in exact]


@given(st.integers(1, 10**6), st.integers(1, 300), st.floats(1, 1e6), st.sampled_from(KINDS))
def test_sizes_fall_from_n_max_and_stay_at_least_one(n_max, classes, factor, kind):
    profile = imbalance_profile(n_max, classes, factor, kind)
    assert profile.shape == (classes,)
    assert int(profile[0]) == n_max
    assert int(profile.min()) >= 1
    assert bool((profile.diff() <= 0).all())


def test_factor_one_is_balanced_and_one_class_keeps_all():
    for kind in KINDS:
        assert imbalance_profile(7, 4, 1, kind).tolist() == [7] * 4
        assert imbalance_profile(7, 1, 100, kind).tolist() == [7]


def test_step_splits_at_the_tail_share():
    assert imbalance_profile(100, 10, 10, "step").tolist() == [100] * 5 + [10] * 5
    assert imbalance_profile(100, 5, 10, "step").tolist() == [100] * 3 + [10] * 2
    assert imbalance_profile(100, 10, 10, "step", tail_share=0.7).tolist() == [100] * 3 + [10] * 7
    assert imbalance_profile(100, 10, 10, "step", tail_share=0.01).tolist() == [100] * 9 + [10]
    assert imbalance_profile(100, 10, 10, "step", tail_share=0.999).tolist() == [100] + [10] * 9


def test_pareto_is_hyperbolic_for_one_and_exponential_in_the_limit():
    x = torch.arange(10, dtype=torch.float64) / 9
    assert imbalance_profile(1000, 10, 100, "pareto", alpha=1).tolist() == (1000 / (1 + 99 * x)).floor().long().tolist()
    assert imbalance_profile(5000, 10, 100, "pareto", alpha=1e7).tolist() == imbalance_profile(5000, 10, 100).tolist()
    steep, flat = (imbalance_profile(5000, 10, 100, "pareto", alpha=alpha) for alpha in (1.0, 6.0))
    assert bool((steep <= flat).all())
    assert int(steep.sum()) < int(flat.sum())
    assert int(imbalance_profile(1280, 1000, 256, "pareto").sum()) == 116711
    assert imbalance_profile(100, 3, 10, "pareto", alpha=1e-3).tolist()[::2] == [100, 10]  # 10^1000 does not exist


@given(st.integers(1, 40), st.integers(0, 50), st.sampled_from(KINDS))
def test_order_says_which_classes_are_large(classes, seed, kind):
    order = class_permutation(classes, seed)
    assert sorted(order.tolist()) == list(range(classes))
    assert torch.equal(order, class_permutation(classes, seed))
    plain = imbalance_profile(1000, classes, 50, kind)
    placed = imbalance_profile(1000, classes, 50, kind, order=order)
    assert torch.equal(placed[order], plain)


def test_permutations_depend_on_the_seed():
    assert len({tuple(class_permutation(20, seed).tolist()) for seed in range(10)}) == 10


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ({"factor": -100}, "factor"),
        ({"factor": 0.5}, "factor"),
        ({"factor": math.inf}, "factor"),
        ({"factor": math.nan}, "factor"),
        ({"n_max": 0}, "n_max"),
        ({"n_max": 10.5}, "n_max"),
        ({"num_classes": 0}, "num_classes"),
        ({"tail_share": 0.0, "kind": "step"}, "tail_share"),
        ({"tail_share": 0.2}, "tail_share"),
        ({"alpha": 0.0, "kind": "pareto"}, "alpha"),
        ({"alpha": 2.0}, "alpha"),
        ({"order": [0, 0, 1]}, "order"),
        ({"order": [0, 1]}, "order"),
        ({"order": [0.0, 1.0, 2.0]}, "order"),
    ],
)
def test_bad_arguments_are_named_in_one_sentence(arguments, named):
    with pytest.raises(ArgumentError) as caught:
        imbalance_profile(**{"n_max": 100, "num_classes": 3, "factor": 10, **arguments})
    assert caught.value.argument == named
    assert "\n" not in str(caught.value)


def test_unknown_kinds_get_a_suggestion():
    with pytest.raises(UnknownName, match="did you mean 'step'"):
        imbalance_profile(100, 3, 10, "steps")


@given(st.lists(st.integers(1, 60), min_size=1, max_size=8), st.floats(1, 200), st.sampled_from(KINDS), st.booleans())
def test_longest_tail_fits_and_the_next_larger_does_not(sizes, factor, kind, by_size):
    available = torch.tensor(sizes)
    targets = torch.repeat_interleave(torch.arange(len(sizes)), available)
    counts = longest_tail(targets, factor, kind, order="size" if by_size else None)
    assert bool((counts <= available).all())
    order = torch.sort(available, descending=True, stable=True).indices if by_size else None
    n_max = int(counts.max())
    assert torch.equal(counts, imbalance_profile(n_max, len(sizes), factor, kind, order=order))
    assert bool((imbalance_profile(n_max + 1, len(sizes), factor, kind, order=order) > available).any())


def test_longest_tail_refuses_what_it_cannot_do():
    with pytest.raises(DataError, match="class 1 has no rows"):
        longest_tail([0, 2], 10)
    with pytest.raises(ArgumentError, match="order"):
        longest_tail([0, 1], 10, order="sizes")
    with pytest.raises(ArgumentError, match="factor"):
        longest_tail([0, 1], -3)
