"""Recall by neighbourhood against a slow count, node by node."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from small_graph import graph, task

from steelyard.tasks.graphs.figures import NAMES, alike_shares, neighbourhood_figure


def slow_share(edge_index: torch.Tensor, y: torch.Tensor, node: int) -> float:
    near = [int(a) for a, b in edge_index.T if int(b) == node and y[a] >= 0]
    return sum(int(y[a] == y[node]) for a in near) / len(near) if near else math.nan


def test_shares_of_like_neighbours_node_by_node() -> None:
    whole = graph()
    y = whole.y.clone()
    y[::7] = -1
    found = alike_shares(whole.edge_index, y).tolist()
    known = [node for node in range(whole.nodes) if y[node] >= 0]
    slow = [slow_share(whole.edge_index, y, node) for node in known]
    assert [found[node] for node in known] == pytest.approx(slow, nan_ok=True)


def test_recall_is_the_mean_over_the_classes_of_a_bin() -> None:
    share = torch.tensor([0.1, 0.1, 0.1, 0.2, 1.0, 1.0, 0.8, math.nan], dtype=torch.float64)
    target = np.array([0, 0, 1, 1, 2, 2, 2, 0])
    decided = np.array([0, 1, 1, 0, 2, 0, 2, 0])
    made = neighbourhood_figure(share, np.eye(3)[decided], target, torch.tensor([10, 5, 2]))
    every, rare = (panel["series"][0]["values"] for panel in made["panels"])
    assert every == [pytest.approx((1 / 2 + 1) / 2), 0, None, None, pytest.approx(2 / 3), 1]
    assert rare == [None, None, None, None, pytest.approx(2 / 3), None]  # class 2 alone
    sizes = [3, 1, 0, 0, 3, 1]
    assert made["categories"] == [f"{name} ({size})" for name, size in zip(NAMES, sizes, strict=True)]
    assert made["by_method"]
    joined = neighbourhood_figure(share[:7], np.eye(3)[decided[:7]], target[:7], torch.tensor([10, 5, 2]))
    assert len(joined["categories"]) == 5  # nobody is without neighbours


def test_the_task_gives_its_test_nodes() -> None:
    made = task()
    target = made.splits["test"].target.numpy()
    panel = made.figures(np.eye(3)[target], target)["neighbourhood"]["panels"][0]
    assert {value for value in panel["series"][0]["values"] if value is not None} == {1.0}
    wrong = made.figures(np.eye(3)[(target + 1) % 3], target)["neighbourhood"]["panels"][0]
    assert {value for value in wrong["series"][0]["values"] if value is not None} == {0.0}
