"""The recipe for tables."""

from __future__ import annotations

from typing import Any

from steelyard.core.regime import Regime


def tables(**changes: Any) -> Regime:
    """30 epochs of AdamW with a cosine schedule: for MLPs on tables.

    AdamW 1e-3 (weight decay 1e-2), batch 256, one epoch of warm-up, gradients clipped at norm 1.

    Args:
        changes: settings of `Regime`, by name.

    Example:
        >>> tables().optimizer
        'adamw'
    """
    base = Regime(epochs=30, batch_size=256, optimizer="adamw", lr=1e-3, weight_decay=1e-2, warmup_epochs=1, clip_norm=1.0)
    return base.replace(**changes)
