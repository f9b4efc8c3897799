"""What "auto" means for a table of so many rows: the recipe and the network."""

from __future__ import annotations

from typing import Any

from steelyard.core.regime import Regime
from steelyard.nets.table_net import settings_for
from steelyard.regimes.for_table import SMALL, for_table
from steelyard.tasks.models import Model

LEAST_PATIENCE = 10
"""Epochs without a lower loss on held-out rows after which training of a small table stops, at least."""
STEPS_A_ROW = 3
"""Steps for each row that the usual regime makes at most: more would only learn a handful of rows by heart."""


def usual_regime(rows: int) -> Regime:
    """The recipe for so many rows: `for_table`, with fewer steps for a few hundred rows and less.

    Small tables are stopped early: the latest epoch is used in which the loss of held-out rows is within 5 % of the lowest.

    Example:
        >>> [usual_regime(rows).epochs for rows in (40, 200, 200_000)]
        [192, 192, 10]
    """
    base = for_table(rows=rows)
    epochs = min(base.epochs, STEPS_A_ROW * base.batch_size)  # epochs times batches an epoch are steps
    base = base.replace(epochs=epochs, warmup_epochs=epochs / 20)
    if rows >= SMALL:
        return base
    return base.replace(select="best_valid", watch="log_loss", patience=max(LEAST_PATIENCE, epochs // 4))


def usual_network(model: Model, rows: int) -> tuple[Model, dict[str, Any]]:
    """What "auto" means for so many training rows: the network that embeds numbers where there are enough to learn it from.

    Example:
        >>> usual_network("auto", 20_000)[1]["embedding"], usual_network("mlp", 20_000)
        ('periodic', ('mlp', {}))
    """
    return ("table-net", settings_for(rows)) if isinstance(model, str) and model == "auto" else (model, {})
