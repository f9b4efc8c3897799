"""Methods on pictures to verify."""

import builtins

import pytest
import torch
import torch.nn.functional as F
from identities import task

from steelyard.core.errors import ArgumentError, CombinationError, SteelyardError
from steelyard.core.fit import fit
from steelyard.core.regime import Regime
from steelyard.core.task import TaskView
from steelyard.methods.verification._embedding import LOSSES, EmbeddingLoss, by_anchor, pair_loss
from steelyard.methods.verification._groups import groups_of
from steelyard.problems import load
from steelyard.settings import known_names, resolve_method

pytest.importorskip("pytorch_metric_learning")
CPU = torch.device("cpu")
QUICK = Regime(epochs=2, batch_size=16, optimizer="adamw", lr=0.01)
OTHERS = (
    "ce", "la", "inverse-frequency", "balanced-sampling", "ldam", "mixup", "metabalance", "l2rw", "mw-net", "sam", "imb-sam",
    "rdr", "metric-learning+inverse-frequency", "metric-learning(loss=supcon)+balanced-sampling", "arcface(by_size=true)",
    "arcface+drw", "group-sampling+ldam",
)  # fmt: skip


@pytest.mark.parametrize("method", [*known_names("method", "verification"), *OTHERS])
def test_methods_train_an_embedding(method):
    made = task(factor=2.0)
    fitted = fit(made, resolve_method(method), QUICK, device="cpu")
    found = made.further_metrics(fitted.model, "test", CPU)
    assert 0.4 < found["verification_accuracy"] <= 1
    assert all(line["train_loss"] == line["train_loss"] for line in fitted.history)


def test_metabalance_takes_its_gradient_elsewhere():
    """The faces of its paper: the outer batches balanced, the inner ones as they are."""
    made = task(factor=4.0)
    weights = [
        fit(made, resolve_method(method), QUICK, device="cpu").model.state_dict()
        for method in ("metabalance", "balanced-sampling", "ce")
    ]
    first = next(iter(weights[0]))
    assert not torch.equal(weights[0][first], weights[1][first]) and not torch.equal(weights[0][first], weights[2][first])


@pytest.mark.parametrize("name", LOSSES)
def test_losses_of_pairs_are_means_over_anchors_and_learn(name):
    stream = torch.Generator().manual_seed(0)
    features = torch.randn(10, 4, generator=stream, requires_grad=True)
    target = torch.tensor([0, 0, 1, 1, 2, 2, 0, 1, 2, 3])
    loss = EmbeddingLoss(name, softmax=0.0)
    values = loss.rows(torch.zeros(10, 4), target, features=features)
    assert values.shape == (10,) and bool(values.isfinite().all())
    parts = pair_loss(name)(features, target)
    for i in range(10):
        wanted = 0.0
        for part in parts.values():
            anchors = part["indices"] if torch.is_tensor(part["indices"]) else part["indices"][0]
            own = part["losses"].reshape(-1)[anchors == i]
            wanted += float(own.detach().mean()) if len(own) else 0.0
        assert float(values[i].detach()) == pytest.approx(wanted, abs=1e-5)
    values.sum().backward()
    assert bool(features.grad.isfinite().all()) and bool(features.grad.any())


def test_without_pairs_it_is_cross_entropy_alone():
    logits, target = torch.randn(3, 3), torch.tensor([0, 1, 2])
    for name in LOSSES:
        values = EmbeddingLoss(name, softmax=2.0).rows(logits, target, features=torch.randn(3, 2))
        assert bool(values.isfinite().all())
    plain = 2 * F.cross_entropy(logits, target, reduction="none")
    torch.testing.assert_close(EmbeddingLoss("ntxent", softmax=2.0).rows(logits, target, features=torch.randn(3, 2)), plain)
    empty = {"losses": 0, "indices": None, "reduction_type": "already_reduced"}
    assert by_anchor(empty, 3, logits).tolist() == [0, 0, 0]


def test_wrong_settings_are_named():
    with pytest.raises(ArgumentError, match="`loss`"):
        EmbeddingLoss("quadruplet")
    with pytest.raises(ArgumentError, match="`weight`"):
        EmbeddingLoss("triplet", weight=-1.0)
    with pytest.raises(ArgumentError, match="`weight`"):
        EmbeddingLoss("triplet", weight=0.0, softmax=0.0)
    with pytest.raises(CombinationError, match="no features"):
        EmbeddingLoss("triplet").rows(torch.zeros(2, 2), torch.tensor([0, 1]))


def test_a_missing_library_is_one_sentence(monkeypatch):
    real = builtins.__import__

    def refuse(name, *arguments, **more):
        if name.startswith("pytorch_metric_learning"):
            raise ImportError(name)
        return real(name, *arguments, **more)

    import importlib

    monkeypatch.setattr(importlib, "import_module", lambda name: refuse(name))
    with pytest.raises(SteelyardError, match=r"install 'steelyard\[metric\]'"):
        pair_loss("triplet")


def test_groups_count_alike():
    made = task("pairs=50, group_factor=4")
    stage = next(resolve_method("group-weights")(TaskView(made)))
    groups, weights = made.context["groups"], stage.objective.weighting.class_weights
    mass = torch.zeros(2).index_add(0, groups, weights * made.counts)
    assert mass[0] == pytest.approx(float(mass[1]), rel=1e-5)
    sampler = next(resolve_method("group-sampling")(TaskView(made))).sampler
    drawn = torch.cat(list(sampler(made.splits["train"].target, seed=0, rank=0, world_size=1).batches(400)))
    share = groups[made.splits["train"].target[drawn]].double().mean()
    assert share == pytest.approx(0.5, abs=0.15)


def test_methods_for_other_data_are_refused():
    with pytest.raises(CombinationError, match="has none: give groups="):
        groups_of(TaskView(task(grouped=False)), "group-weights")
    for method in known_names("method", "verification"):
        with pytest.raises(CombinationError, match="works on verification"):
            fit(load("blobs"), resolve_method(method), QUICK, device="cpu")
