from __future__ import annotations

import json

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from sklearn.metrics import roc_auc_score
from torch import Tensor, nn

from steelyard import Regime, fit
from steelyard.core.errors import ArgumentError
from steelyard.diagnosis.loss_curves import judge_curves
from steelyard.problems import load
from steelyard.weightings import LossCurves

COUNTS = [600, 150, 60, 30]
EPOCHS = 30


def curves_of(seed: int, noise: float) -> tuple[Tensor, np.ndarray, np.ndarray]:
    """Loss curves of a network that learns wrong labels by heart in the end; labels; and which are wrong."""
    stream = torch.Generator().manual_seed(seed)
    true = torch.repeat_interleave(torch.arange(4), torch.tensor(COUNTS))
    inputs = 3.5 * torch.eye(4, 10)[true] + torch.randn(len(true), 10, generator=stream)
    given = true.clone()
    for label in range(4):
        others = (true != label).nonzero().flatten()
        drawn = torch.randperm(len(others), generator=stream)[: int(noise * COUNTS[label])]
        given[others[drawn]] = label
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = nn.Sequential(nn.Linear(10, 128), nn.ReLU(), nn.Linear(128, 4))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
    curves = torch.zeros(len(given), EPOCHS)
    for epoch in range(EPOCHS):
        for index in torch.randperm(len(given), generator=stream).split(32):
            losses = F.cross_entropy(model(inputs[index]), given[index], reduction="none")
            curves[index, epoch] = losses.detach()
            optimizer.zero_grad()
            losses.mean().backward()
            optimizer.step()
    return curves, given.numpy(), (given != true).numpy()


def test_wrong_labels_of_rare_classes_are_told_from_right_ones() -> None:
    recalls, alarms, by_moment, areas, moments = [], [], [], [], []
    for seed in range(3):
        curves, given, wrong = curves_of(seed, 0.1)
        found = judge_curves(curves, given)
        rare = (given >= 2) & (found.kinds != "unknown")
        assert found.learnt is not None
        moment = curves[:, found.learnt - 1].numpy()
        suspect = found.kinds == "suspect"
        recalls.append(suspect[rare & wrong].mean())
        alarms.append(suspect[rare & ~wrong].mean())
        by_moment.append((moment[rare & ~wrong] > np.log(2)).mean())
        areas.append(roc_auc_score(wrong[rare], found.scores[rare]))
        moments.append(roc_auc_score(wrong[rare], moment[rare]))
        assert wrong[found.suspects[:20]].mean() > 0.6
    assert np.mean(recalls) > 0.85
    assert np.mean(alarms) < 0.25 < 0.45 < np.mean(by_moment)
    assert np.mean(areas) > 0.95
    assert np.mean(areas) > np.mean(moments) + 0.02


@pytest.mark.parametrize("seed", range(2))
def test_no_alarm_on_clean_labels(seed: int) -> None:
    curves, given, _ = curves_of(seed, 0.0)
    found = judge_curves(curves, given)
    assert (found.kinds == "suspect").mean() < 0.005
    assert max(one.suspect for one in found.classes) < 0.05
    # Rare classes are learnt later, and only by that look like noise.
    assert found.classes[3].late > 0.4 > found.classes[0].late


def test_kinds_of_known_curves() -> None:
    easy, hard, wrong = [2, 0.1, 0.1, 0.1], [3, 1, 0.1, 0.1], [2, 3, 3, 3]
    found = judge_curves([easy] * 7 + [hard, wrong], [0] * 9, window=2)
    assert found.kinds.tolist() == ["easy"] * 7 + ["late", "suspect"]
    assert (found.learnt, found.classes[0].learnt) == (2, 2)
    assert found.scores[8] == pytest.approx(1 - np.exp(-3))
    assert found.scores[7] == pytest.approx(1 - (np.exp(-1) + np.exp(-0.1)) / 2)
    assert (found.classes[0].easy, found.classes[0].late, found.classes[0].suspect) == pytest.approx((7 / 9, 1 / 9, 1 / 9))


def test_what_was_never_learnt_or_drawn_is_not_judged() -> None:
    nan = float("nan")
    found = judge_curves([[0.1, 0.1], [0.1, nan], [nan, 0.1], [nan, nan], [3.0, 3.0]], [0, 0, 0, 0, 2])
    assert found.kinds.tolist() == ["easy"] * 3 + ["unknown"] * 2
    assert [one.learnt for one in found.classes] == [1, None, None]
    values = json.loads(found.to_json())
    assert values["classes"][1] == {"rows": 0, "learnt": None, "easy": None, "late": None, "suspect": None}
    assert judge_curves([[5.0]], [0]).learnt is None


def test_curves_of_a_training_run() -> None:
    task = load("blobs", factor=10)
    listener = LossCurves(len(task.splits["train"]), 6)
    fit(task, method="ce", regime=Regime(epochs=6, batch_size=64, lr=0.05), listeners=[listener])
    target = task.splits["train"].target
    found = judge_curves(listener.curves, target)
    assert not listener.curves.isnan().any()
    assert [one.rows for one in found.classes] == task.counts.tolist()
    assert found.classes[0].learnt == 1
    unlearnt = [label for label, one in enumerate(found.classes) if one.learnt is None]
    assert ((found.kinds == "unknown") == np.isin(target, unlearnt)).all()


def test_arguments() -> None:
    with pytest.raises(ArgumentError, match=r"\[N, E\]"):
        judge_curves([0.1], [0])
    with pytest.raises(ArgumentError, match="window"):
        judge_curves([[0.1]], [0], window=0)
    with pytest.raises(ArgumentError, match="one row for each"):
        judge_curves([[0.1]], [0, 1])
