"""The step schedule of LDAM-DRW, which most CIFAR-LT tables use."""

from __future__ import annotations

from typing import Any

from steelyard.core.regime import Regime

SEARCH = {"augment": "crop-flip|crop-flip-cutout"}


def ldam200(**changes: Any) -> Regime:
    """200 epochs of SGD, the rate times 0.01 after 160 and times 0.0001 after 180, crop and flip: the recipe of LDAM-DRW.

    SGD 0.1 (momentum 0.9, weight decay 2e-4), batch 128, five epochs of warm-up. Deferred methods switch at 0.8 of the epochs,
    epoch 160, when the rate falls.

    Args:
        changes: settings of `Regime`, by name.

    Reference:
        Cao, Wei, Gaidon, Arechiga, Ma: Learning imbalanced datasets with label-distribution-aware margin loss, NeurIPS 2019.

    Departures:
        Milestones are fractions of the epochs, so that a shorter run keeps its shape; the released code counts epochs. The
        warm-up here rises with every step, there with every epoch.

    Example:
        >>> regime = ldam200()
        >>> [round(regime.lr_at(epoch, 1), 6) for epoch in (4, 159, 160, 180)]
        [0.1, 0.1, 0.001, 1e-05]
    """
    base = Regime(
        epochs=200,
        batch_size=128,
        lr=0.1,
        weight_decay=2e-4,
        schedule="step",
        milestones=(0.8, 0.9),
        decay=0.01,
        warmup_epochs=5,
        augment="crop-flip",
    )
    return base.replace(**changes)
