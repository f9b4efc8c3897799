"""The recipe for a table of so many rows."""

from __future__ import annotations

import math
from typing import Any

from steelyard.core.errors import ArgumentError
from steelyard.core.regime import Regime

SMALL = 4000
"""Below so many rows a table is small: how long to train depends on the table, and an average of the weights is judged."""
STILL: dict[str, Any] = {"schedule": "constant", "ema": 0.97}
"""What makes every epoch a fair place to stop."""
FEWEST, MOST = 10, 400
"""Epochs at least and at most."""
MANY = 1_000_000
"""From so many rows on, fewer epochs do: steps grow as the square root of the rows."""


def for_table(*, rows: int = 10_000, **changes: Any) -> Regime:
    """AdamW with batches that grow with the table: some 600 steps on a small one, 1000 on others, 10 epochs of many rows.

    AdamW 3e-3 (weight decay 1e-2), gradients clipped at norm 1, a twentieth of the epochs as warm-up. The batch is the power of
    two nearest to twice the square root of the rows, between 64 and 1024.

    There are at least 10 epochs up to a million rows; of ten million 3, and at least 1.

    Below 4000 rows the rate is constant and an average of the weights (decay 0.97) is judged: every epoch is then a fair place
    to stop. From there on the rate follows a cosine.

    Args:
        rows: training rows, 1 or more.
        changes: settings of `Regime`, by name.

    Raises:
        ArgumentError: `rows` below 1.

    Example:
        >>> [(r.batch_size, r.epochs, r.schedule) for r in (for_table(rows=500), for_table(rows=200_000))]
        [(64, 77, 'constant'), (1024, 10, 'cosine')]
    """
    if rows < 1:
        raise ArgumentError("rows", "a number of training rows, 1 or more", rows)
    small = rows < SMALL
    batch: int = 2 ** min(max(round(math.log2(2 * math.sqrt(rows))), 6), 10)
    fewest = FEWEST if rows <= MANY else max(round(FEWEST * math.sqrt(MANY / rows)), 1)
    epochs = min(max(round((600 if small else 1000) * batch / rows), fewest), MOST)
    base = Regime(
        epochs=epochs,
        batch_size=batch,
        optimizer="adamw",
        lr=3e-3,
        weight_decay=1e-2,
        schedule="cosine",
        warmup_epochs=epochs / 20,
        clip_norm=1.0,
    )
    return base.replace(**(STILL if small else {}) | changes)
