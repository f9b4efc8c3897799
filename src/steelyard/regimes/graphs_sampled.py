"""The recipe for node classification from sampled neighbourhoods."""

from __future__ import annotations

from typing import Any

from steelyard.core.regime import Regime


def graphs_sampled(**changes: Any) -> Regime:
    """30 epochs of Adam, each step on 512 training nodes and the neighbours drawn for them.

    Adam 0.01 with a cosine schedule, weight decay 5e-4 (added to the gradient).

    Args:
        changes: settings of `Regime`, by name.

    Example:
        >>> graphs_sampled().batch_size
        512
    """
    base = Regime(epochs=30, batch_size=512, optimizer="adam", lr=0.01, weight_decay=5e-4, schedule="cosine")
    return base.replace(**changes)
