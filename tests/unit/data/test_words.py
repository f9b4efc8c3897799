from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from steelyard.data.columns import TextColumn
from steelyard.data.kinds import is_free_text
from steelyard.data.words import looks_free, word_counts


def test_words_fall_in_the_same_places_everywhere() -> None:
    counts = np.expm1(word_counts(pd.Series(["Late late payment", None, ""]), 8))
    assert counts.sum(axis=1) == pytest.approx([3, 0, 0])
    assert np.flatnonzero(counts[0]).tolist() == sorted(set(_places("late", "payment")))
    column = TextColumn("x", (0.0,) * 8, (1.0,) * 8, indicator=True)
    assert column.features(pd.Series(["late", None]))[:, -1].tolist() == [0, 1] and column.width == 9


def _places(*words: str) -> list[int]:
    """CRC-32, bit by bit."""
    places = []
    for word in words:
        crc = 0xFFFFFFFF
        for byte in word.encode():
            crc ^= byte
            for _ in range(8):
                crc = (crc >> 1) ^ (0xEDB88320 if crc & 1 else 0)
        places.append((crc ^ 0xFFFFFFFF) % 8)
    return places


def test_free_text_has_many_words_or_characters_and_seldom_repeats() -> None:
    assert looks_free(pd.Series([f"the customer {i} called again" for i in range(60)]))
    assert not looks_free(pd.Series(["the customer called again"] * 60))
    assert not looks_free(pd.Series([f"n{i}" for i in range(60)])) and not looks_free(pd.Series(range(60)))
    assert is_free_text(1, 41, 50, 100) and not is_free_text(1, 41, 49, 100) and not is_free_text(1, 41, 50, 300)
