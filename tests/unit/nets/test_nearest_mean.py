"""Deciding for the nearest mean."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from steelyard.core.errors import ArgumentError
from steelyard.nets import NearestMean, find_head, with_head


def nearest(features, means, distance):
    if distance == "l2":
        return torch.cdist(features, means).argmin(1)
    return torch.nn.functional.cosine_similarity(features[:, None], means[None], dim=2).argmax(1)


@pytest.mark.parametrize("distance", ["cosine", "l2"])
@given(classes=st.integers(1, 6), width=st.integers(2, 9), seed=st.integers(0, 99))
def test_it_decides_for_the_nearest(distance, classes, width, seed):
    stream = torch.Generator().manual_seed(seed)
    means = torch.randn(classes, width, generator=stream, dtype=torch.float64)
    features = torch.randn(20, width, generator=stream, dtype=torch.float64)
    head = NearestMean(means, [3] * classes, distance=distance, variance=0.3)
    assert torch.equal(head(features).argmax(1), nearest(features, means, distance))


@pytest.mark.parametrize("distance", ["cosine", "l2"])
def test_probabilities_are_the_posteriors_of_gaussians(distance):
    means, features, variance = torch.randn(3, 5).double(), torch.randn(4, 5).double(), 0.7
    if distance == "cosine":
        means, features = means / means.norm(dim=1, keepdim=True), features / features.norm(dim=1, keepdim=True)
    density = torch.stack(
        [torch.distributions.MultivariateNormal(mean, variance * torch.eye(5).double()).log_prob(features) for mean in means],
        dim=1,
    )
    head = NearestMean(means, [5, 1, 1], distance=distance, variance=variance)
    torch.testing.assert_close(head(features).softmax(1), density.softmax(1))


def test_the_length_of_a_mean_does_not_matter_to_cosines():
    means, features = torch.randn(3, 4), torch.randn(6, 4)
    one, other = (NearestMean(m, [1, 1, 1]) for m in (means, means * torch.tensor([[0.1], [1.0], [30.0]])))
    torch.testing.assert_close(one(features), other(features))


def test_a_class_without_rows_is_never_decided_for_and_its_score_is_finite():
    means = torch.randn(4, 5)
    means[2] = 0
    scores = NearestMean(means, [9, 3, 0, 1], distance="l2")(torch.randn(50, 5) * 0.01)
    assert torch.isfinite(scores).all()
    assert not (scores.argmax(1) == 2).any()


@pytest.mark.parametrize("distance", ["cosine", "l2"])
def test_zero_features_and_half_precision_do_no_harm(distance):
    head = NearestMean(torch.randn(3, 4), [1, 1, 1], distance=distance)
    scores = head(torch.zeros(2, 4, dtype=torch.bfloat16))
    assert scores.dtype == torch.float32
    assert torch.isfinite(scores).all()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert head(torch.randn(2, 4)).dtype == torch.float32


def test_it_takes_the_place_of_a_classifier_and_its_state_goes_round():
    model = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.ReLU(), torch.nn.Linear(4, 2))
    head = NearestMean(torch.randn(2, 4), [1, 1], variance=2.0)
    with_head(model, head)
    assert find_head(model) == ("2", head)
    other = NearestMean(torch.randn(2, 4), [0, 1])
    other.load_state_dict(head.state_dict())
    features = torch.randn(3, 4)
    assert torch.equal(head(features), other(features))


@pytest.mark.parametrize(
    ("means", "counts", "settings"),
    [
        (torch.zeros(3), [1, 1, 1], {}),
        (torch.zeros(2, 4), [1, 1, 1], {}),
        (torch.zeros(3, 4), [1, 1, 1], {"distance": "l1"}),
        (torch.zeros(3, 4), [1, 1, 1], {"variance": 0.0}),
        (torch.zeros(3, 4), [1, 1, 1], {"variance": float("inf")}),
    ],
)
def test_what_cannot_be_is_refused(means, counts, settings):
    with pytest.raises(ArgumentError):
        NearestMean(means, counts, **settings)
