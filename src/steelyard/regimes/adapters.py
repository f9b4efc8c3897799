"""The recipe for adapters."""

from __future__ import annotations

from typing import Any

from steelyard.core.regime import Regime


def adapters(**changes: Any) -> Regime:
    """20 epochs of AdamW with a cosine schedule: for adapters on a pre-trained backbone.

    AdamW 2e-3 (weight decay 1e-4), batch 64, one epoch of warm-up, gradients clipped at norm 1.

    Args:
        changes: settings of `Regime`, by name.

    Example:
        >>> adapters().optimizer
        'adamw'
    """
    base = Regime(epochs=20, batch_size=64, optimizer="adamw", lr=2e-3, weight_decay=1e-4, warmup_epochs=1, clip_norm=1.0)
    return base.replace(**changes)
