"""Small batches and strong augmentation, on top of another recipe."""

from __future__ import annotations

from typing import Any, Literal

from steelyard.core.errors import ArgumentError
from steelyard.core.regime import Regime
from steelyard.settings import resolve_regime

SEARCH = {"batch_size": "0.5x|1x|2x|4x", "augment": "none|strong"}


def simplify(*, base: str = "short", batch: int = 32, hold: Literal["epochs", "steps"] = "epochs", **changes: Any) -> Regime:
    """Another recipe with small batches, the learning rate scaled along, and the strongest augmentation that the task has.

    `lr = base.lr * batch / base.batch_size`. Under imbalance the size of a batch matters more than on balanced data, and small
    ones win; augmentation helps rare classes most. The method `simplify` is the rest of the paper's prescriptions.

    Args:
        base: the recipe to start from, by name, with settings if need be: `ldam200(epochs=100)`.
        batch: rows a step, 1 or more; the learning rate follows.
        hold: "epochs" trains for those of `base`, in more steps where batches are smaller; "steps" for as many steps as `base`
            makes, as nearly as whole epochs allow.
        changes: settings of `Regime`, by name; `lr` and `batch_size` given here are taken as they are.

    Raises:
        ArgumentError: `batch` below 1, or `hold` is neither word.

    Reference:
        Shwartz-Ziv, Goldblum, Li, Bruss, Wilson: Simplifying neural network training under class imbalance, NeurIPS 2023.

    Departures:
        The paper's batch sizes were not found; 32 is ours, and so is `augment="strong"`: TrivialAugment for images, and nothing
        for tables.

    Example:
        >>> regime = simplify(base="cosine200", batch=32)
        >>> regime.lr, regime.epochs, simplify(base="cosine200", batch=32, hold="steps").epochs
        (0.025, 200, 50)
    """
    if batch < 1:
        raise ArgumentError("batch", "a number of rows, 1 or more", batch)
    if hold not in ("epochs", "steps"):
        raise ArgumentError("hold", "'epochs' or 'steps'", repr(hold))
    start = resolve_regime(base)
    share = batch / start.batch_size
    scaled = start.replace(batch_size=batch, lr=start.lr * share, augment="strong")
    if hold == "steps":
        epochs = max(round(start.epochs * share), 1)
        scaled = scaled.replace(epochs=epochs, warmup_epochs=start.warmup_epochs * share)
    return scaled.replace(**changes)
