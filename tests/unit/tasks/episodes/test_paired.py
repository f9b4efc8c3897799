"""Paired differences over common episodes, and numbers of episodes."""

from __future__ import annotations

import math

import pytest
import torch

from steelyard.core.errors import ArgumentError
from steelyard.tasks.episodes import paired_episodes
from steelyard.tasks.episodes.scores import episode_accuracies, interval, shot_metrics


def test_the_unit_is_the_episode():
    target = torch.tensor([0, 1, 1, 0, 0, 0])
    logits = torch.nn.functional.one_hot(torch.tensor([0, 1, 0, 0, 1, 1]), 2).float()
    each = episode_accuracies(logits, target, 3)
    assert each.tolist() == pytest.approx([2 / 3, 1 / 3])
    mean, half = interval(each)
    assert mean == pytest.approx(0.5)
    assert half == pytest.approx(1.96 * math.sqrt(2 * (1 / 6) ** 2) / math.sqrt(2))
    assert math.isnan(interval(each[:1])[1])


def test_what_episodes_have_in_common_falls_out():
    drawn = torch.Generator().manual_seed(0)
    difficulty, noise = torch.randn(200, generator=drawn), 0.01 * torch.randn(200, generator=drawn)
    found = paired_episodes(difficulty + 0.05 + noise, difficulty)
    assert found.low < 0.05 < found.high
    assert found.high - found.low < 0.02 * found.unpaired * 10
    assert found.episodes == 200
    assert found.difference == pytest.approx(float((0.05 + noise.double()).mean()), abs=1e-6)


def test_seeds_are_averaged_first():
    one = torch.tensor([[0.5, 0.75, 1.0], [0.75, 1.0, 0.75]])
    other = torch.tensor([0.5, 0.5, 0.5])
    assert paired_episodes(one, other) == paired_episodes(one.mean(0), other)
    with pytest.raises(ArgumentError, match="same episodes"):
        paired_episodes(one, other[:2])
    with pytest.raises(ArgumentError, match="two or more"):
        paired_episodes(other[:1], other[:1])


def test_many_counts_are_put_into_ranges():
    right, shots = torch.tensor([True, False, True]), torch.tensor([1, 2, 25])
    found = shot_metrics(right, shots, torch.arange(1, 31))
    assert len(found) == 10
    assert found["recall_1_to_3_shots"] == 0.5
    assert found["recall_25_to_27_shots"] == 1.0
    assert math.isnan(found["recall_4_to_6_shots"])
