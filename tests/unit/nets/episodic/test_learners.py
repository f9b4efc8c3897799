"""What holds for all learners, and known answers of those that decide by distance or attention."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from steelyard.core.errors import ArgumentError, CombinationError, DataError
from steelyard.nets import Conv4
from steelyard.nets.episodic import BTAML, DKT, MAML, Episode, FewShotLearner, ProtoMAML, Rebalance
from steelyard.nets.episodic.episode import ranks
from steelyard.nets.episodic.finetune import Baseline
from steelyard.nets.episodic.matching import MatchingNet
from steelyard.nets.episodic.nearest import NearestNeighbours, SimpleShot
from steelyard.nets.episodic.prototypes import CosinePrototypes, ProtoNet
from steelyard.nets.episodic.relation import RelationNet

D, WAY = 6, 3
Make = Callable[[Rebalance], FewShotLearner]
MAKERS: dict[str, Make] = {
    "protonet": lambda r: ProtoNet(nn.Identity(), r),
    "cosine": lambda r: CosinePrototypes(nn.Identity(), r),
    "simpleshot": lambda r: SimpleShot(nn.Identity(), nn.Linear(D, 4), r, size=D),
    "knn": lambda r: NearestNeighbours(nn.Identity(), nn.Linear(D, 4), r),
    "3-nn": lambda r: NearestNeighbours(nn.Identity(), nn.Linear(D, 4), r, k=3),
    "matching": lambda r: MatchingNet(nn.Identity(), r, size=D, contexts=False),
    "matching with contexts": lambda r: MatchingNet(nn.Identity(), r, size=D),
    "dkt": lambda r: DKT(nn.Identity(), r),
    "baseline": lambda r: Baseline(nn.Identity(), nn.Linear(D, 4), r, steps=(20, 0.1)),
    "baseline++": lambda r: Baseline(nn.Identity(), nn.Linear(D, 4), r, steps=(20, 0.1), cosine=True),
    "maml": lambda r: MAML(nn.Identity(), r, size=D, way=WAY),
    "proto-maml": lambda r: ProtoMAML(nn.Identity(), r, size=D, way=WAY, steps=(3, 0.05)),
    "btaml": lambda r: BTAML(nn.Identity(), r, size=D, way=WAY, draws=2),
}
EQUIVARIANT = ("protonet", "cosine", "simpleshot", "knn", "3-nn", "matching", "dkt", "proto-maml")
"""Those whose answer to labels with other numbers is the same answer with other numbers."""
every_learner = pytest.mark.parametrize("name", MAKERS)


def episode(seed: int = 0, counts: tuple[int, ...] = (1, 2, 4), spread: float = 0.5) -> Episode:
    drawn = torch.Generator().manual_seed(seed)
    centres = torch.randn(WAY, D, generator=drawn)
    target = torch.arange(WAY).repeat_interleave(torch.tensor(counts))
    asked = torch.arange(WAY).repeat_interleave(4)
    support, query = (centres[own] + spread * torch.randn(len(own), D, generator=drawn) for own in (target, asked))
    return Episode(support, target, query, WAY, seed=seed, answers=asked)


@every_learner
def test_scores_are_finite_repeatable_and_learn_by_every_treatment_allowed(name):
    before = torch.get_rng_state()
    kinds = MAKERS[name](Rebalance()).allowed
    torch.set_rng_state(before)
    for kind in kinds:
        if kind == "ros-plus":
            continue
        torch.manual_seed(0)
        learner, given = MAKERS[name](Rebalance(kind)).eval(), episode()
        state = torch.get_rng_state()
        with torch.no_grad():
            first, second = learner(given), learner(given)
        assert torch.equal(torch.get_rng_state(), state)
        assert first.logits.shape == (len(given.query), WAY)
        assert torch.isfinite(first.logits).all()
        assert torch.equal(first.logits, second.logits)
        assert not first.logits.requires_grad
        assert len(first.features) == len(given.query)


@every_learner
def test_an_easy_episode_is_solved(name):
    torch.manual_seed(0)
    learner = MAKERS[name](Rebalance()).eval()
    given = episode(counts=(3, 3, 5), spread=0.01)
    given = dataclasses.replace(given, support=3 * given.support, query=3 * given.query)
    if name in ("matching with contexts", "btaml"):  # which have to be trained for it
        return
    assert (learner(given).logits.argmax(1) == given.answers).double().mean() > 0.9


@pytest.mark.parametrize("name", EQUIVARIANT)
def test_a_permutation_of_labels_permutes_the_answer(name):
    torch.manual_seed(0)
    learner, given = MAKERS[name](Rebalance()).eval(), episode(3)
    order = torch.tensor([2, 0, 1])  # label l becomes order[l]
    other = dataclasses.replace(given, target=order[given.target])
    assert torch.allclose(learner(other).logits[:, order], learner(given).logits, atol=1e-4)


@every_learner
def test_balanced_support_makes_every_treatment_the_plain_learner(name):
    even, found = episode(5, (3, 3, 3)), []
    for kind in MAKERS[name](Rebalance()).allowed:
        if kind not in ("ros-plus", "focal"):
            torch.manual_seed(1)
            found.append(MAKERS[name](Rebalance(kind)).eval()(even).logits.detach())
    assert all(torch.allclose(logits, found[0], atol=1e-5) for logits in found)


def test_a_label_without_support_is_refused():
    with pytest.raises(DataError, match="needs a support example, and label 1 has none"):
        Episode(torch.zeros(2, 3), torch.tensor([0, 2]), torch.zeros(1, 3), way=3)
    with pytest.raises(DataError, match="there is a label 3"):
        Episode(torch.zeros(4, 3), torch.arange(4), torch.zeros(1, 3), way=3)
    with pytest.raises(ArgumentError, match=r"`target` should be a label for each support row \[4\]"):
        Episode(torch.zeros(4, 3), torch.arange(3), torch.zeros(1, 3), way=3)


@pytest.mark.parametrize("name", ["dkt", "knn", "simpleshot"])
def test_a_treatment_that_would_do_nothing_is_refused(name):
    with pytest.raises(CombinationError, match="rebalance=weighted would change nothing"):
        MAKERS[name](Rebalance("weighted"))


def test_several_episodes_give_logits_with_the_most_frequent_class_first():
    learner, given = MAKERS["protonet"](Rebalance()), episode()
    assert ranks(given).tolist() == [2, 1, 0]
    found = learner((given, episode(1, (2, 2, 2))))
    assert torch.equal(found[: len(given.query)], learner(given).logits[:, [2, 1, 0]])
    assert torch.equal(found[len(given.query) :], learner(episode(1, (2, 2, 2))).logits)


def test_learners_of_episodes_refuse_single_images_and_others_classify_them():
    with pytest.raises(CombinationError, match="learns from episodes"):
        MAKERS["protonet"](Rebalance())(torch.zeros(2, D))
    assert MAKERS["knn"](Rebalance())(torch.zeros(2, D)).shape == (2, 4)


def test_simpleshot_centres_and_normalises():
    learner, given = MAKERS["simpleshot"](Rebalance()).eval(), episode()
    assert isinstance(learner, SimpleShot)
    mean = torch.arange(D).float()
    learner.set_mean(mean)
    support, query = (F.normalize(part - mean, dim=1) for part in (given.support, given.query))
    centroids = torch.stack([support[given.target == label].mean(0) for label in range(WAY)])
    assert torch.allclose(learner(given).logits, -torch.cdist(query, centroids).square(), atol=1e-5)


def test_simpleshot_follows_the_mean_of_its_features_in_training():
    learner = MAKERS["simpleshot"](Rebalance())
    assert isinstance(learner, SimpleShot)
    for _ in range(500):
        learner(torch.full((4, D), 2.0))
    assert torch.allclose(learner.mean, torch.full((D,), 2.0), atol=1e-3)
    learner.eval()(torch.zeros(4, D))
    assert torch.allclose(learner.mean, torch.full((D,), 2.0), atol=1e-3)


def test_nearest_neighbours_vote_and_the_nearest_decides_among_equals():
    target = torch.tensor([0, 1, 1, 2, 2, 2])
    support = torch.tensor([0.0, 1.0, 1.1, 5.0, 5.1, 5.2]).unsqueeze(1)
    given = Episode(support, target, torch.tensor([[0.4], [0.9]]), 3)
    learners = {k: NearestNeighbours(nn.Identity(), nn.Linear(1, 2), k=k) for k in (1, 2, 3, 99)}
    decided = {k: learner(given).logits.argmax(1).tolist() for k, learner in learners.items()}
    assert decided == {1: [0, 1], 2: [0, 1], 3: [1, 1], 99: [2, 2]}
    with pytest.raises(ArgumentError, match="k"):
        NearestNeighbours(nn.Identity(), nn.Linear(1, 2), k=0)


def test_attention_over_equal_keys_is_the_share_of_the_support():
    counts = torch.tensor([1, 3, 5, 7, 9])
    target = torch.arange(5).repeat_interleave(counts)
    given = Episode(torch.ones(25, 4), target, torch.ones(2, 4), 5)
    found = MatchingNet(nn.Identity(), size=4, contexts=False)(given).logits.exp()
    assert torch.allclose(found, (counts / 25).expand(2, 5), atol=1e-5)


def test_contexts_read_the_support_in_an_order_that_does_not_tell_labels():
    torch.manual_seed(0)
    learner = MAKERS["matching with contexts"](Rebalance()).eval()
    given = episode(4)
    other = learner(dataclasses.replace(given, seed=99)).logits
    assert not torch.allclose(other, learner(given).logits)  # another order, another reading
    learner.double()
    for parameter in learner.parameters():
        nn.init.zeros_(parameter)  # LSTMs that say nothing leave the features as they are
    plain = MatchingNet(nn.Identity(), size=D, contexts=False).double()
    doubled = dataclasses.replace(given, support=given.support.double(), query=given.query.double())
    assert torch.allclose(learner(doubled).logits, plain(doubled).logits, atol=1e-8)
    with pytest.raises(ArgumentError, match="sharpness"):
        MatchingNet(nn.Identity(), size=D, sharpness=0.0)


@pytest.mark.parametrize("side", [28, 21, 8, 3])
def test_relation_network_scores_pairs_of_maps(side):
    learner = RelationNet(Conv4(1, width=4), shape=(1, side, side)).eval()
    target = torch.tensor([0, 0, 1])
    given = Episode(torch.rand(3, 1, side, side), target, torch.rand(5, 1, side, side), 2)
    found = learner(given)
    assert found.logits.shape == (5, 2)
    twice = Episode(given.support[[0, 1, 2, 2]], torch.tensor([0, 0, 1, 1]), given.query, 2)
    assert torch.allclose(learner(twice).logits, found.logits, atol=1e-5)  # maps are averaged: the same image twice is once
    with pytest.raises(CombinationError, match="compares feature maps"):
        RelationNet(nn.Identity(), shape=(1, side, side))


def test_baseline_fits_what_torch_fits_and_weights_do_not_cancel():
    given = episode(2)
    learner = MAKERS["baseline"](Rebalance())
    assert isinstance(learner, Baseline)
    weight, bias = learner.fitted(given.support, given)
    start, _ = Baseline(nn.Identity(), nn.Linear(D, 4), steps=(0, 0.1)).fitted(given.support, given)
    head = nn.Linear(D, WAY)
    with torch.no_grad():
        head.weight.copy_(start)
        head.bias.zero_()
    optimizer = torch.optim.SGD(head.parameters(), lr=0.1, momentum=0.9, weight_decay=1e-3)
    for _ in range(20):
        optimizer.zero_grad()
        F.cross_entropy(head(given.support), given.target).backward()
        optimizer.step()
    assert torch.allclose(weight, head.weight, atol=1e-5)
    assert torch.allclose(bias, head.bias, atol=1e-5)
    weighted = MAKERS["baseline"](Rebalance("weighted"))
    assert isinstance(weighted, Baseline)
    assert not torch.allclose(weighted.fitted(given.support, given)[0], weight, atol=1e-3)
    for steps, said in (((-1, 0.1), "finetune_steps"), ((1, 0.0), "finetune_lr")):
        with pytest.raises(ArgumentError, match=said):
            Baseline(nn.Identity(), nn.Linear(D, 4), steps=steps)
