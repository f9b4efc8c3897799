"""Free text as counts of its words."""

from __future__ import annotations

import re
import zlib
from typing import Any

import numpy as np

from steelyard.data.kinds import is_free_text

_WORD = re.compile(r"\w+")
_MOST_WORDS = 1 << 20


def word_counts(column: Any, places: int) -> np.ndarray:
    """`log(1 + words in each place)` of free text, float32 `[N, places]`; 0 everywhere where it is missing."""
    counts = np.zeros((len(column), places), dtype=np.float32)
    place: dict[str, int] = {}
    rows, found = [], []
    for row, text in enumerate(column.astype(object).where(column.notna(), "").tolist()):
        for word in _WORD.findall(str(text).lower()):
            at = place.get(word)
            if at is None:
                at = zlib.crc32(word.encode()) % places
                if len(place) < _MOST_WORDS:
                    place[word] = at
            rows.append(row)
            found.append(at)
    np.add.at(counts, (np.array(rows, dtype=np.int64), np.array(found, dtype=np.int64)), 1.0)
    return np.log1p(counts)


def looks_free(column: Any) -> bool:
    """Is this a column of free text (see `kinds.is_free_text`)?"""
    import pandas as pd

    known = column.dropna()
    if isinstance(known.dtype, pd.CategoricalDtype) or not len(known) or not pd.api.types.is_string_dtype(known):
        return False
    text = known.astype("str")
    return is_free_text(text.str.count(r"\S+").mean(), text.str.len().mean(), text.nunique(), len(text))
