"""A short recipe for small data."""

from __future__ import annotations

from typing import Any

from steelyard.core.regime import Regime


def short(**changes: Any) -> Regime:
    """30 epochs of SGD with a cosine schedule: what `steelyard compare` uses unless told otherwise.

    Nesterov SGD 0.1 (momentum 0.9, weight decay 5e-4), batch 128, two epochs of warm-up, gradients clipped at norm 5, no
    augmentation.

    Args:
        changes: settings of `Regime`, by name.

    Example:
        >>> short(epochs=10).epochs
        10
    """
    base = Regime(epochs=30, batch_size=128, lr=0.1, nesterov=True, weight_decay=5e-4, warmup_epochs=2, clip_norm=5.0)
    return base.replace(**changes)
