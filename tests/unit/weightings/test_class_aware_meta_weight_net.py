from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from meta_cases import forward, pool_of, rows
from torch import nn
from torch.func import functional_call

from steelyard.core.errors import ArgumentError
from steelyard.core.objective import Objective
from steelyard.core.oracle import Oracle
from steelyard.core.rows import Batch, Evidence
from steelyard.weightings.class_aware_meta_weight_net import ClassAwareMetaWeightNet, cluster


def test_groups_of_classes_keep_to_themselves() -> None:
    meta = pool_of(torch.zeros(4, 2), torch.tensor([0, 0, 1, 1]))
    net = ClassAwareMetaWeightNet(meta, [1000, 900, 100, 90, 10])
    losses = torch.tensor([0.5, 0.5, 0.5, 0.5, 0.5])
    evidence = Evidence(target=torch.arange(5), losses=losses)
    before = net.raw(evidence).detach()
    assert before[0] == before[1] and before[2] == before[3]
    with torch.no_grad():
        net.net.heads.bias[1] += 1
    after = net.raw(evidence).detach()
    assert torch.equal(before[[0, 1, 4]], after[[0, 1, 4]]) and (after[2:4] > before[2:4]).all()
    (gradient,) = torch.autograd.grad(net.raw(Evidence(target=torch.tensor([4]), losses=losses[:1])).sum(), net.net.heads.bias)
    assert gradient[:2].tolist() == [0.0, 0.0] and gradient[2] != 0
    loop = torch.stack([net.net(losses[i : i + 1])[0, net.group[i]] for i in range(5)]).detach()
    torch.testing.assert_close(net.raw(evidence).detach(), loop)
    lines = net.explain()["weight"]
    assert len(lines) == 3 and all(len(line) == 50 for line in lines.values())


def test_clusters_are_the_best_ones() -> None:
    sklearn = pytest.importorskip("sklearn.cluster")
    for seed in range(5):
        sizes = torch.rand(12, generator=torch.Generator().manual_seed(seed)).double()
        found = cluster(sizes, 3)
        means = torch.stack([sizes[found == g].mean() for g in range(3)])
        ours = float((sizes - means[found]).pow(2).sum())
        theirs = sklearn.KMeans(3, n_init=50, random_state=0).fit(sizes[:, None].numpy()).inertia_
        assert ours <= theirs + 1e-12
        assert (means.diff() < 0).all()
    assert cluster(torch.ones(5), 3).tolist() == [0] * 5
    with pytest.raises(ArgumentError, match="groups"):
        cluster(torch.ones(5), 0)


@pytest.mark.parametrize("normalise", ["batch", "none", "detached"])
def test_it_learns_in_all_forms_of_normalisation(normalise: str) -> None:
    """Against a step of the model that is made with its graph and differentiated through, in float64."""
    torch.manual_seed(0)
    (inputs, target), (judged, truth) = rows((5,), 9, 1), rows((5,), 6, 2)
    inputs, judged = inputs.double(), judged.double()
    model = nn.Sequential(nn.Linear(5, 7), nn.BatchNorm1d(7), nn.Tanh(), nn.Linear(7, 3)).double()
    net = ClassAwareMetaWeightNet(pool_of(judged, truth), [50, 10, 2], normalise=normalise).double()  # type: ignore[arg-type]
    own = list(net.parameters())
    with torch.no_grad():
        for value in own:
            value.add_(0.3 * torch.randn_like(value))
    params, buffers = dict(model.named_parameters()), {name: value.clone() for name, value in model.named_buffers()}
    losses = F.cross_entropy(functional_call(model, params | buffers, (inputs,)), target, reduction="none")
    raw = net.raw(Evidence(target=target, losses=losses.detach()))
    weights = raw if normalise == "none" else raw / (raw.mean() if normalise == "batch" else raw.mean().detach())
    found = torch.autograd.grad((weights * losses).mean(), list(params.values()), create_graph=True)
    there = {name: value - 0.2 * slope for (name, value), slope in zip(params.items(), found, strict=True)}
    wanted = torch.autograd.grad(F.cross_entropy(functional_call(model, there | buffers, (judged,)), truth), own)

    oracle = Oracle(model, forward, Objective(weighting=net))
    oracle.optimizer = torch.optim.SGD(model.parameters(), lr=0.2)
    given = []
    teacher = net.teacher()
    teacher.register_step_pre_hook(lambda *_: given.extend(value.grad.clone() for value in own))
    net.prepare(oracle, Batch(inputs, target, torch.arange(9)))
    for ours, theirs in zip(given, wanted, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-9, atol=1e-12)
