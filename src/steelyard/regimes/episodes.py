"""A recipe for few-shot episodes."""

from __future__ import annotations

from typing import Any

from steelyard.core.regime import Regime


def episodes(**changes: Any) -> Regime:
    """Adam on one episode a step for 20 epochs, the rate divided by 10 at half time.

    AdamW 1e-3 without weight decay, which is Adam; an epoch is as many episodes as the task says (100 unless told otherwise).
    The published "fast" recipe is 200 epochs of 500 episodes.

    Args:
        changes: settings of `Regime`, by name.

    Example:
        >>> episodes().batch_size
        1
    """
    base = Regime(epochs=20, batch_size=1, optimizer="adamw", lr=1e-3, weight_decay=0.0, schedule="step", milestones=(0.5,))
    return base.replace(**changes)
