"""The usual recipe of point clouds."""

from __future__ import annotations

from typing import Any

from steelyard.core.regime import Regime


def points(**changes: Any) -> Regime:
    """20 epochs of AdamW 0.005 in batches of 4 samples, each turned at random about the vertical: for PointNet++.

    Weight decay 1e-4, cosine schedule with one epoch of warm-up, gradients clipped at norm 5. The SOUL paper's code takes Adam
    with 1e-7 for thousands of epochs.

    Args:
        changes: settings of `Regime`, by name.

    Example:
        >>> points().batch_size
        4
    """
    base = Regime(
        epochs=20, batch_size=4, optimizer="adamw", lr=5e-3, weight_decay=1e-4, warmup_epochs=1, clip_norm=5.0, augment="rotate"
    )
    return base.replace(**changes)
