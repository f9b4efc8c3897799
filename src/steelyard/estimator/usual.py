"""What "auto" means for a table of so many rows: the recipe and the network."""

from __future__ import annotations

from typing import Any

from steelyard.core.regime import Regime
from steelyard.nets.table_net import settings_for
from steelyard.regimes.for_table import SMALL, STILL, for_table
from steelyard.tasks.models import Model

LEAST_PATIENCE = 10
"""Epochs without a lower loss on held-out rows after which training of a small table stops, at least."""
STEPS_A_ROW = 3
"""Steps for each row that the usual regime makes at most: more would only learn a handful of rows by heart."""


FEW = 200
"""Rows of the rarest class below which training of a larger table is stopped early as well: they are soon learnt by heart."""


def usual_regime(rows: int, rarest: int | None = None) -> Regime:
    """The recipe for so many rows: `for_table`, with fewer steps for a few hundred rows and less.

    Small tables, and such with few rows of a class, are stopped early: the latest epoch is used in which the loss of held-out
    rows is within 5 % of the lowest.

    Args:
        rows: to learn from.
        rarest: how many of them are of the rarest class; None where that is no question.

    Example:
        >>> [usual_regime(rows).epochs for rows in (40, 200, 200_000)]
        [192, 192, 10]
        >>> [usual_regime(10_000, rarest).select for rarest in (50, 5000)]
        ['best_valid', 'last']
    """
    base = for_table(rows=rows)
    epochs = min(base.epochs, STEPS_A_ROW * base.batch_size)  # epochs times batches an epoch are steps
    base = base.replace(epochs=epochs, warmup_epochs=epochs / 20)
    few = rarest is not None and rarest < FEW
    if rows >= SMALL and not few:
        return base
    return base.replace(select="best_valid", watch="log_loss", patience=max(LEAST_PATIENCE, epochs // 4), **STILL)


def usual_network(model: Model, rows: int, columns: int) -> tuple[Model, dict[str, Any]]:
    """What "auto" means for so many training rows and numbers a row: the network that embeds numbers where rows are enough.

    Example:
        >>> usual_network("auto", 20_000, 15)[1]["embedding"], usual_network("mlp", 20_000, 15)
        ('periodic', ('mlp', {}))
    """
    return ("table-net", settings_for(rows, columns)) if isinstance(model, str) and model == "auto" else (model, {})
