"""TAM, against a loop over its definition and its identities."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from small_graph import arrays

from steelyard.core.errors import ArgumentError
from steelyard.transforms.graphs.topology_margins import TopologyMargins, topology_margins


def divergence(p: list[float], q: list[float]) -> float:
    middle = [(a + b) / 2 for a, b in zip(p, q, strict=True)]
    return sum((a * math.log(a / m) + b * math.log(b / m)) / 2 for a, b, m in zip(p, q, middle, strict=True))


def by_loops(logits, edges, y, labelled, counts, alpha, beta, phi):  # type: ignore[no-untyped-def]
    classes, total = logits.shape[1], sum(counts)
    ratio = [0.4 * n / total + 0.6 for n in counts]
    seen = {}
    for v in labelled:
        group = [v, *edges[0][edges[1] == v].tolist()]
        parts = []
        for u in group:
            if u in labelled:
                parts.append([float(y[u] == c) for c in range(classes)])
            else:
                scores = [float(logits[u, c]) * phi * (ratio[c] + 1 - max(ratio)) for c in range(classes)]
                whole = sum(math.exp(s) for s in scores)
                parts.append([math.exp(s) / whole for s in scores])
        seen[v] = [sum(column) / len(group) for column in zip(*parts, strict=True)]
    mean = []
    for c in range(classes):
        own = [seen[v] for v in labelled if y[v] == c]
        mean.append([max(sum(column) / len(own), 1e-6) for column in zip(*own, strict=True)])
    out = []
    for v in labelled:
        d, own = [max(value, 1e-6) for value in seen[v]], int(y[v])
        line = []
        for j in range(classes):
            if j == own:
                line.append(0.0)
                continue
            acm = min(1.0, d[own] / mean[own][own] * mean[own][j] / d[j])
            between = max(divergence(mean[own], mean[j]), 1e-6)
            adm = (divergence(d, mean[own]) ** 2 + between**2 - divergence(d, mean[j]) ** 2) / (2 * between**2)
            line.append(alpha * math.log(acm) - beta * adm)
        out.append(line)
    return torch.tensor(out)


@given(st.integers(0, 15))
def test_margins_are_those_of_the_definition(seed: int) -> None:
    found = arrays(seed=seed, sizes=(12, 8, 5))
    edges = torch.cat([found["edge_index"], found["edge_index"].flip(0)], 1)
    logits = torch.randn(25, 3, generator=torch.Generator().manual_seed(seed))
    mask = torch.zeros(25, dtype=torch.bool)
    for label in range(3):
        mask[(found["y"] == label).nonzero().flatten()[:4]] = True
    counts = [4, 4, 4] if seed % 2 else [9, 4, 2]
    got = topology_margins(logits, edges, found["y"], mask, class_counts=torch.tensor(counts), alpha=1.5, beta=0.5, phi=1.2)
    labelled = mask.nonzero().flatten().tolist()
    assert torch.allclose(got, by_loops(logits, edges, found["y"], labelled, counts, 1.5, 0.5, 1.2), atol=2e-3)


def test_the_usual_neighbourhood_and_no_strength_leave_scores_alone() -> None:
    found = arrays(sizes=(12, 8, 5))
    mask, counts = torch.ones(25, dtype=torch.bool), torch.tensor([12, 8, 5])
    none = torch.empty(2, 0, dtype=torch.int64)  # without neighbours every node is the mean of its class
    got = topology_margins(torch.randn(25, 3), none, found["y"], mask, class_counts=counts)
    assert float(got.abs().max()) < 1e-4
    off = topology_margins(torch.randn(25, 3), found["edge_index"], found["y"], mask, class_counts=counts, alpha=0, beta=0)
    assert float(off.abs().max()) == 0


def test_a_class_without_labelled_node_has_no_margin() -> None:
    found = arrays(sizes=(12, 8, 5))
    mask = found["y"] < 2
    got = topology_margins(torch.randn(25, 3), found["edge_index"], found["y"], mask, class_counts=torch.tensor([12, 8, 0]))
    assert torch.isfinite(got).all() and float(got[:, 2].abs().max()) == 0


def test_counts_and_classes_have_to_fit_the_logits() -> None:
    found = arrays()
    nodes = len(found["y"])
    mask, classes = torch.ones(nodes, dtype=torch.bool), int(found["y"].max()) + 1
    for name, scores, counts in (("class_counts", classes, classes - 1), ("y", classes - 1, classes - 1)):
        logits, sizes = torch.zeros(nodes, scores), torch.ones(counts)
        with pytest.raises(ArgumentError, match=f"`{name}`"):
            topology_margins(logits, found["edge_index"], found["y"], mask, class_counts=sizes)


@pytest.mark.parametrize("name", ["alpha", "beta", "phi", "warmup"])
def test_settings_out_of_range_are_named(name: str) -> None:
    found = arrays()
    with pytest.raises(ArgumentError, match=f"`{name}`"):
        TopologyMargins(found["x"], found["edge_index"], torch.ones(3), **{name: -1})  # type: ignore[arg-type]
