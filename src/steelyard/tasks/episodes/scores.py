"""Numbers of episodes: mean accuracy with the episode as unit, recall of the class with least support, recall by support."""

from __future__ import annotations

import math

from torch import Tensor

Z = 1.96
MOST_COUNTS = 10
"""Different support counts that are shown one by one; more are put into ranges."""


def episode_accuracies(logits: Tensor, target: Tensor, rows: int) -> Tensor:
    """Share of queries labelled rightly in each episode `[T]`, float64.

    Args:
        logits: `[T * rows, C]`, in order; probabilities do as well.
        target: `[T * rows]`.
        rows: queries of an episode.

    Example:
        >>> import torch
        >>> episode_accuracies(torch.eye(2).repeat(2, 1), torch.tensor([0, 1, 0, 0]), 2)
        tensor([1.0000, 0.5000], dtype=torch.float64)
    """
    return (logits.argmax(1) == target).double().reshape(-1, rows).mean(1)


def interval(values: Tensor) -> tuple[float, float]:
    """Mean and half the width of its 95 % interval, `1.96 sd / sqrt(T)`; NaN for fewer than two values."""
    half = Z * float(values.std()) / math.sqrt(len(values)) if len(values) > 1 else math.nan
    return float(values.mean()), half


def episode_metrics(logits: Tensor, target: Tensor, rows: int) -> dict[str, float]:
    """Mean accuracy of episodes, its interval, and the recall of the class with least support, which is the last.

    Args:
        logits: `[T * rows, C]`.
        target: `[T * rows]`, classes by rank.
        rows: queries of an episode.
    """
    mean, half = interval(episode_accuracies(logits, target, rows))
    rarest = target == logits.shape[1] - 1
    found = float((logits.argmax(1) == target)[rarest].double().mean())
    return {
        "episode_accuracy": mean,
        "episode_accuracy_low": mean - half,
        "episode_accuracy_high": mean + half,
        "rarest_recall": found,
    }


def shot_metrics(right: Tensor | None, shots: Tensor | None, possible: Tensor) -> dict[str, float]:
    """Recall of classes by their support: `recall_3_shots`, or `recall_1_to_10_shots` where there are many counts.

    Args:
        right: was each query labelled rightly `[N]`; None for the names alone.
        shots: support examples of the class of each query `[N]`.
        possible: counts that can occur, ascending.

    Example:
        >>> import torch
        >>> shot_metrics(torch.tensor([True, False]), torch.tensor([1, 3]), torch.tensor([1, 3]))
        {'recall_1_shots': 1.0, 'recall_3_shots': 0.0}
    """
    counts = [int(count) for count in possible]
    per_range = -(-len(counts) // MOST_COUNTS)
    found = {}
    for start in range(0, len(counts), per_range):
        own = counts[start : start + per_range]
        name = f"recall_{own[0]}_shots" if len(own) == 1 else f"recall_{own[0]}_to_{own[-1]}_shots"
        value = math.nan
        if right is not None and shots is not None:
            members = (shots >= own[0]) & (shots <= own[-1])
            value = float(right[members].double().mean()) if bool(members.any()) else math.nan
        found[name] = value
    return found
