"""The recipe for node classification on a graph that fits."""

from __future__ import annotations

from typing import Any

from steelyard.core.regime import Regime


def graphs(**changes: Any) -> Regime:
    """200 steps of Adam, each on all training nodes: the usual recipe of graph papers.

    Adam 0.01 at a constant rate, weight decay 5e-4 (added to the gradient).

    Args:
        changes: settings of `Regime`, by name.

    Example:
        >>> graphs().optimizer
        'adam'
    """
    base = Regime(epochs=200, batch_size=1 << 20, optimizer="adam", lr=0.01, weight_decay=5e-4, schedule="constant")
    return base.replace(**changes)
