import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from steelyard.core.errors import ArgumentError, UnknownName
from steelyard.data.noise import KINDS, label_noise

COUNTS = torch.tensor([6000, 3000, 900, 100])
TARGETS = torch.repeat_interleave(torch.arange(4), COUNTS)


def custom() -> torch.Tensor:
    rows = torch.tensor([[0.0, 0.5, 0.5, 0.0], [1.0, 0.0, 0.0, 0.0], [0.25, 0.25, 0.25, 0.25], [0.0, 0.0, 0.0, 1.0]])
    return rows.double()


@pytest.mark.parametrize("kind", [*KINDS, custom()], ids=[*KINDS, "custom"])
@pytest.mark.parametrize("rate", [0.0, 0.05, 0.4, 1.0])
def test_labels_follow_the_returned_matrix(kind, rate):
    before = torch.get_rng_state()
    noisy, matrix = label_noise(TARGETS, rate, kind, seed=1)
    assert torch.equal(torch.get_rng_state(), before)
    assert (matrix.dtype, matrix.shape, noisy.dtype) == (torch.float64, (4, 4), torch.int64)
    assert torch.allclose(matrix.sum(1), torch.ones(4, dtype=torch.float64), atol=1e-15)
    seen = torch.zeros(4, 4, dtype=torch.float64).index_put_((TARGETS, noisy), torch.ones(()).double(), accumulate=True)
    expected = matrix * COUNTS[:, None]
    assert bool((seen[expected == 0] == 0).all())  # what cannot happen does not
    possible = expected > 0
    statistic = float((((seen - expected) ** 2)[possible] / expected[possible]).sum())
    freedom = int(possible.sum()) - 4
    assert statistic <= freedom + 5 * (2 * freedom) ** 0.5
    assert torch.equal(noisy, label_noise(TARGETS, rate, kind, seed=1)[0])


def test_seeds_differ():
    assert not torch.equal(label_noise(TARGETS, 0.3, seed=0)[0], label_noise(TARGETS, 0.3, seed=1)[0])


def test_matrices_are_the_documented_ones():
    _, symmetric = label_noise(TARGETS, 0.3)
    assert torch.allclose(symmetric, torch.full((4, 4), 0.1).double() + 0.6 * torch.eye(4).double())
    _, pairs = label_noise(TARGETS, 0.3, "asymmetric")
    assert torch.allclose(pairs, 0.7 * torch.eye(4).double() + 0.3 * torch.eye(4).double().roll(1, 1))
    _, chosen = label_noise(TARGETS, 0.3, "asymmetric", partners=[0, 3, 1, 1])
    assert torch.allclose(chosen, torch.tensor([[1, 0, 0, 0], [0, 0.7, 0, 0.3], [0, 0.3, 0.7, 0], [0, 0.3, 0, 0.7]]).double())
    _, imbalance = label_noise(TARGETS, 0.3, "imbalance")
    assert torch.allclose(imbalance, 0.7 * torch.eye(4).double() + 0.3 * (COUNTS / 10000).double())
    _, elsewhere = label_noise([0, 1], 0.5, "imbalance", class_counts=[30, 10, 60])
    assert torch.allclose(elsewhere[2], torch.tensor([0.15, 0.05, 0.8]).double())
    _, given_matrix = label_noise(TARGETS, 1.0, custom().numpy())
    assert torch.equal(given_matrix, custom())


@given(st.lists(st.integers(0, 5), min_size=1, max_size=60), st.integers(0, 20))
def test_rate_zero_changes_nothing_and_rate_one_changes_all_labels(labels, seed):
    noisy, matrix = label_noise(labels, 0.0, seed=seed, class_counts=[1] * 6)
    assert noisy.tolist() == labels
    assert torch.equal(matrix, torch.eye(6, dtype=torch.float64))
    noisy, _ = label_noise(labels, 1.0, seed=seed, class_counts=[1] * 6)
    assert all(new != old for new, old in zip(noisy.tolist(), labels, strict=True))


def test_the_callers_labels_are_not_changed():
    targets = TARGETS.clone()
    label_noise(targets, 1.0)
    assert torch.equal(targets, TARGETS)


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ({"rate": -0.1}, "rate"),
        ({"rate": 1.1}, "rate"),
        ({"rate": float("nan")}, "rate"),
        ({"targets": [0, 0]}, "targets"),
        ({"targets": [0.0, np.nan]}, "targets"),
        ({"class_counts": [5]}, "class_counts"),
        ({"kind": torch.eye(3)}, "kind"),
        ({"kind": torch.ones(2, 2)}, "kind"),
        ({"kind": torch.tensor([[2.0, -1.0], [0.0, 1.0]])}, "kind"),
        ({"kind": torch.full((2, 2), float("nan"))}, "kind"),
        ({"partners": [1, 0]}, "partners"),
        ({"kind": torch.eye(2), "partners": [1, 0]}, "partners"),
        ({"kind": "asymmetric", "partners": [1, 2]}, "partners"),
        ({"kind": "asymmetric", "partners": [1]}, "partners"),
    ],
)
def test_bad_arguments_are_named(arguments, named):
    with pytest.raises(ArgumentError) as caught:
        label_noise(**{"targets": [0, 1], "rate": 0.2, **arguments})
    assert caught.value.argument == named


def test_unknown_kinds_get_a_suggestion():
    with pytest.raises(UnknownName, match="symmetric"):
        label_noise([0, 1], 0.1, "symetric")
