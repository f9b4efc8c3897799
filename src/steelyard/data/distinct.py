"""How many different values a column has, in memory that does not grow with the rows."""

from __future__ import annotations

from typing import Any

import numpy as np

_MIX = (np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB))


class Distinct:
    """Different values of a column that is read in chunks.

    Values are kept as 64-bit hashes, all of them up to `limit`. With more, only values whose hash begins with zero bits are
    kept, one more such bit whenever the limit is reached: equal values are always kept or left out together, so what is kept
    is a fair sample of the different values. Whole numbers have a hash each; two different texts of n share one with
    probability below n^2 / 2^65, which is 3 in a million for ten million texts.

    Args:
        limit: hashes to keep, 8 bytes each; it may be lowered while reading.

    Attributes:
        repeats: a value came twice; certain where it is true and, unless `bits` > 0, also where it is false.
        bits: zero bits that a hash must begin with to be kept; 0 as long as everything is kept.
        limit: as given.

    Example:
        >>> seen = Distinct(1000)
        >>> seen.add(np.arange(10)); seen.add(np.arange(5, 15))
        >>> seen.count, seen.repeats, seen.bits
        (15, True, 0)
    """

    def __init__(self, limit: int) -> None:
        self.limit, self.repeats, self.bits = limit, False, 0
        self._runs: list[np.ndarray] = []

    def add(self, values: Any) -> None:
        """Take in whole numbers or text `[n]`, without missing values."""
        hashes = self._kept(_hash(values))
        self._runs.append(self._sorted(hashes))
        while len(self._runs) > 1 and len(self._runs[-2]) <= 2 * len(self._runs[-1]):
            self._merge()
        if sum(map(len, self._runs)) > self.limit:
            self._settle()
            while len(self._runs[0]) > self.limit:
                self.bits += 1
                self._runs = [self._kept(self._runs[0])]

    @property
    def count(self) -> int:
        """Different values: exact as long as `bits` is 0, an estimate after that."""
        self._settle()
        return (len(self._runs[0]) if self._runs else 0) << self.bits

    def unique(self) -> bool:
        """Did no value come twice, among those that are kept?"""
        self._settle()
        return not self.repeats

    def _kept(self, hashes: np.ndarray) -> np.ndarray:
        return hashes[hashes < np.uint64(1 << (64 - self.bits))] if self.bits else hashes

    def _sorted(self, hashes: np.ndarray) -> np.ndarray:
        ordered = np.sort(hashes)
        new = np.ones(len(ordered), dtype=bool)
        new[1:] = ordered[1:] != ordered[:-1]
        if new.all():
            return ordered
        self.repeats = True
        return ordered[new]

    def _merge(self) -> None:
        last = self._runs.pop()
        self._runs[-1] = self._sorted(np.concatenate([self._runs[-1], last]))

    def _settle(self) -> None:
        while len(self._runs) > 1:
            self._merge()


def _hash(values: Any) -> np.ndarray:
    """64-bit hashes `[n]`; of whole numbers a one-to-one mixing of their bits (Steele et al., 2014: SplitMix64)."""
    import pandas as pd

    array = np.asarray(values)
    if array.dtype.kind in "iu":
        mixed = array.astype(np.uint64) + np.uint64(0x9E3779B97F4A7C15)
        for shift, factor in zip((30, 27), _MIX, strict=True):
            mixed = (mixed ^ (mixed >> np.uint64(shift))) * factor
        return np.asarray(mixed ^ (mixed >> np.uint64(31)))
    return np.asarray(pd.util.hash_array(array.astype(object), categorize=False))
