"""Findings as JSON knows them."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
from torch import Tensor


def plain(value: Any) -> Any:
    """Dictionaries, lists, numbers and text; None stands for NaN and infinity.

    Example:
        >>> plain({"a": np.array([1.0, np.nan]), "b": (np.int64(2), float("inf"))})
        {'a': [1.0, None], 'b': [2, None]}
    """
    if dataclasses.is_dataclass(value):
        return {one.name: plain(getattr(value, one.name)) for one in dataclasses.fields(value)}
    if isinstance(value, dict):
        return {str(key): plain(one) for key, one in value.items()}
    if isinstance(value, np.ndarray | np.generic | Tensor):
        return plain(value.tolist())
    if isinstance(value, list | tuple):
        return [plain(one) for one in value]
    if isinstance(value, float):
        return value if np.isfinite(value) else None
    return value if value is None or isinstance(value, bool | int | str) else str(value)


def rounded(values: Any, digits: int = 6) -> list[float | None]:
    """Numbers with so many decimals; None for NaN and infinity."""
    return [round(float(value), digits) if np.isfinite(value) else None for value in np.asarray(values)]
