from __future__ import annotations

import pytest
import torch
from meta_cases import pool_of

from steelyard.core.errors import ArgumentError
from steelyard.core.rows import Evidence
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
