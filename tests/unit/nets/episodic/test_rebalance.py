"""Treatments of unequal support: known answers of losses and copies."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from steelyard.core.errors import ArgumentError, CombinationError
from steelyard.nets.episodic import Episode, ProtoNet, Rebalance
from steelyard.nets.episodic.episode import class_means
from steelyard.nets.episodic.rebalance import copies
from steelyard.nets.episodic.vary import varied

COUNTS = (1, 3, 5, 7, 9)
TARGET = torch.arange(5).repeat_interleave(torch.tensor(COUNTS))
LOGITS = torch.randn(25, 5, generator=torch.Generator().manual_seed(0))


def episode(target=TARGET, inputs=None, **changes) -> Episode:
    way = int(target.max()) + 1
    inputs = torch.randn(len(target), 6, generator=torch.Generator().manual_seed(1)) if inputs is None else inputs
    query = torch.randn(4, *inputs.shape[1:], generator=torch.Generator().manual_seed(2))
    return Episode(inputs, target, query, way, **changes)


def loss(kind: str, logits=LOGITS, target=TARGET, **settings) -> float:
    return float(Rebalance(kind, **settings).loss(logits, target, torch.bincount(target, minlength=5)))


def test_weighted_is_the_mean_over_classes_of_their_mean_loss():
    each = F.cross_entropy(LOGITS, TARGET, reduction="none")
    macro = torch.stack([each[label == TARGET].mean() for label in range(5)]).mean()
    assert loss("weighted") == pytest.approx(float(macro), abs=1e-6)
    assert loss("weighted") == pytest.approx(float(F.cross_entropy(LOGITS, TARGET, weight=1 / torch.tensor(COUNTS))), abs=1e-6)


def test_limits_of_focal_and_class_balanced_losses():
    plain = float(F.cross_entropy(LOGITS, TARGET))
    assert loss("none") == pytest.approx(plain, abs=1e-6)
    assert loss("focal", gamma=0.0) == pytest.approx(plain, abs=1e-6)
    assert loss("cb", beta=0.0) == pytest.approx(plain, abs=1e-6)
    assert loss("cb", beta=1 - 1e-9) == pytest.approx(loss("weighted"), abs=1e-5)


def test_weights_of_the_published_counts():
    weights = Rebalance("cb", beta=0.8).class_weights(torch.tensor(COUNTS))
    assert weights.tolist() == pytest.approx([1, 0.41, 0.30, 0.25, 0.23], abs=0.005)
    assert Rebalance("weighted").class_weights(torch.tensor(COUNTS)).tolist() == pytest.approx([1 / n for n in COUNTS])


def test_the_focal_loss_is_a_mean_so_that_a_larger_support_makes_no_larger_step():
    once, twice = loss("focal"), loss("focal", torch.cat([LOGITS, LOGITS]), torch.cat([TARGET, TARGET]))
    assert twice == pytest.approx(once, abs=1e-6)
    p = LOGITS.softmax(1).gather(1, TARGET.unsqueeze(1)).squeeze(1)
    assert once == pytest.approx(float(((1 - p) ** 2 * -p.log()).mean()), abs=1e-6)


@given(counts=st.lists(st.integers(1, 8), min_size=2, max_size=6), seed=st.integers(0, 99))
def test_copies_even_out_the_support_and_keep_the_originals(counts, seed):
    target = torch.arange(len(counts)).repeat_interleave(torch.tensor(counts))
    given_ = episode(target, seed=seed)
    found = Rebalance("ros").resampled(given_)
    assert found.counts.tolist() == [max(counts)] * len(counts)
    assert torch.equal(found.support[: len(target)], given_.support)
    for row, label in zip(found.support[len(target) :], found.target[len(target) :], strict=True):
        assert any(torch.equal(row, own) for own in given_.support[target == label])
    again = Rebalance("ros").resampled(given_)
    assert torch.equal(found.support, again.support)


def test_copies_are_no_operation_where_support_is_balanced():
    even = episode(torch.arange(5).repeat_interleave(4))
    pictures = episode(even.target, torch.rand(20, 1, 6, 6), black=torch.zeros(1))
    assert torch.equal(Rebalance("ros-plus").resampled(pictures).support, pictures.support)
    assert torch.equal(Rebalance("ros").resampled(even).support, even.support)
    plain, treated = (ProtoNet(nn.Identity(), Rebalance(kind))(even).logits for kind in ("none", "ros"))
    assert torch.equal(plain, treated)


def test_repeating_every_row_equally_often_leaves_prototypes_as_they_are():
    target = torch.tensor([0] * 3 + [1] * 9)
    given_ = episode(target)
    extra = copies(target, 2)
    assert extra.tolist() == [0, 1, 2, 0, 1, 2]
    support, labels = torch.cat([given_.support, given_.support[extra]]), torch.cat([target, target[extra]])
    more = Episode(support, labels, given_.query, 2)
    assert torch.allclose(class_means(more.support, more), class_means(given_.support, given_), atol=1e-6)


def test_drawn_copies_move_a_prototype_by_the_known_variance():
    rows, total = torch.randn(4, 8, generator=torch.Generator().manual_seed(3)), 9
    target = torch.tensor([0] * 4 + [1] * total + [2])
    inputs = torch.cat([rows, torch.zeros(total, 8), torch.ones(1, 8)])
    moved = []
    for seed in range(1500):
        found = Rebalance("ros").resampled(episode(target, inputs, seed=seed))
        means = class_means(found.support, found)
        moved.append((means[0] - rows.mean(0)).square().sum())
        assert torch.allclose(means[2], torch.ones(8), atol=1e-6)  # one row: exactly nothing
    expected = (total - 4) / total**2 * float((rows - rows.mean(0)).square().sum(1).mean())
    assert float(torch.stack(moved).mean()) == pytest.approx(expected, rel=0.06)


def test_only_the_copies_are_augmented():
    images = torch.rand(10, 1, 8, 8)
    target = torch.tensor([0] * 2 + [1] * 8)
    found = Rebalance("ros-plus").resampled(episode(target, images, black=torch.zeros(1)))
    assert torch.equal(found.support[:10], images)
    extra = found.support[10:]
    assert len(extra) == 6
    assert not any(torch.equal(row, own) for row in extra for own in images)
    with pytest.raises(CombinationError, match="augments images"):
        Rebalance("ros-plus").resampled(episode(target))


def test_brightness_is_measured_from_black_whatever_the_normalisation():
    images = torch.rand(5, 3, 8, 8)
    mean, std = torch.tensor([0.3, 0.5, 0.6]), torch.tensor([0.2, 0.3, 0.1])
    shape = (1, 3, 1, 1)
    raw = varied(images, torch.zeros(3), torch.Generator().manual_seed(0))
    normalised = varied((images - mean.view(shape)) / std.view(shape), -mean / std, torch.Generator().manual_seed(0))
    assert torch.allclose((raw - mean.view(shape)) / std.view(shape), normalised, atol=1e-4)
    assert varied(images[:0], torch.zeros(3), torch.Generator()).shape == (0, 3, 8, 8)


def test_inference_only_leaves_training_alone():
    learner = ProtoNet(nn.Identity(), Rebalance("ros", inference_only=True))
    plain = ProtoNet(nn.Identity())
    given_ = episode()
    assert torch.equal(learner.train()(given_).logits, plain(given_).logits)
    assert not torch.equal(learner.eval()(given_).logits, plain(given_).logits)


@pytest.mark.parametrize(
    ("settings", "said"), [({"kind": "rose"}, "ros-plus"), ({"gamma": -1.0}, "gamma"), ({"beta": 2.0}, r"\[0, 1\)")]
)
def test_values_are_checked(settings, said):
    with pytest.raises(ArgumentError, match=said):
        Rebalance(**settings)
