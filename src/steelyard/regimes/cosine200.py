"""The long recipe for CIFAR with a cosine schedule."""

from __future__ import annotations

from typing import Any

from steelyard.core.regime import Regime

SEARCH = {"augment": "crop-flip|crop-flip-cutout"}


def cosine200(**changes: Any) -> Regime:
    """200 epochs of SGD with a cosine schedule, crop and flip: the usual recipe for CIFAR-LT besides `ldam200`.

    SGD 0.1 (momentum 0.9, weight decay 2e-4), batch 128, five epochs of warm-up.

    Args:
        changes: settings of `Regime`, by name.

    Reference:
        Luo, Hong, Yao, Han, Zhang, Wang: Revive re-weighting in imbalanced learning by density ratio estimation, NeurIPS 2024.

    Departures:
        The paper does not mention a warm-up; its released code has five epochs of it (and a step schedule). That code also uses
        AutoAugment and Cutout, worth four to five points for every method: choose `augment` to match what you compare with.

    Example:
        >>> cosine200().schedule
        'cosine'
    """
    base = Regime(epochs=200, batch_size=128, lr=0.1, weight_decay=2e-4, warmup_epochs=5, augment="crop-flip")
    return base.replace(**changes)
