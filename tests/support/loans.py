"""A small table in a file with everything that tables have: dates, categories, text, missing values, an identifier."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd


def loans(rows: int = 400, seed: int = 0, share: float = 0.2) -> pd.DataFrame:
    """Whether a loan was paid back depends on income and city; late rows default more often."""
    draw = np.random.default_rng(seed)
    income = draw.normal(3.0, 1.0, rows)
    city = draw.choice(["Aachen", "Bonn", "Köln"], rows, p=[0.5, 0.3, 0.2])
    odds = -2.2 * (income - 3.0) + 1.5 * (city == "Köln") + draw.normal(0, 0.5, rows)
    late = odds > np.quantile(odds, 1 - share)
    return pd.DataFrame(
        {
            "client_id": draw.permutation(rows) + 1000,
            "opened": pd.Timestamp("2024-01-01") + pd.to_timedelta(np.arange(rows) // 4, unit="D"),
            "income": np.where(draw.random(rows) < 0.15, np.nan, income),
            "city": city,
            "noise": draw.normal(size=rows),
            "branch": [f"branch {i}" for i in draw.integers(0, 25, rows)],
            "defaulted": np.where(late, "yes", "no"),
        }
    )


def written(frame: pd.DataFrame, path: Path, **options: Any) -> Path:
    """The frame in a file, by its ending."""
    if path.suffix == ".parquet":
        frame.to_parquet(path, index=False)
    else:
        frame.to_csv(path, index=False, **options)
    return path
