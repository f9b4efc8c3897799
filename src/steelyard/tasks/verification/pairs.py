"""Pairs of pictures, half of them of one identity, in folds that share no identity."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from steelyard.core.errors import ArgumentError, DataError
from steelyard.core.seeds import derive

FOLDS = 10


@dataclass(frozen=True)
class Pairs:
    """Pairs of rows.

    Attributes:
        first: row numbers `[P]`.
        second: row numbers `[P]`, another row than the first.
        same: whether both are of one identity `[P]`.
        fold: of each pair `[P]`; no identity is in two folds.
        group: of both `[P]`, -1 for a pair of two groups; all 0 where there are no groups.
    """

    first: np.ndarray
    second: np.ndarray
    same: np.ndarray
    fold: np.ndarray
    group: np.ndarray

    def __len__(self) -> int:
        """Pairs."""
        return len(self.first)


def draw_pairs(
    identity: np.ndarray, size: int, *, groups: np.ndarray | None = None, within: bool = False, seed: int = 0
) -> Pairs:
    """Draw genuine and impostor pairs.

    Identities are dealt out to ten folds (fewer where there are fewer than twenty), and a fold draws its share of genuine pairs
    from each of its identities alike, and of impostor pairs from two of its identities. No pair is drawn twice, so that small
    folds have fewer.

    Args:
        identity: of each row `[N]`.
        size: genuine pairs, and impostor pairs, at most.
        groups: of each row `[N]`; None for none.
        within: both rows of an impostor pair are of one group, where the fold has two identities of it: telling apart those
            who are alike.
        seed: of the draw.

    Raises:
        DataError: no identity has two rows, or there are fewer than four identities.
        ArgumentError: `size` below 2.

    Example:
        >>> pairs = draw_pairs(np.repeat(np.arange(4), 3), 100)
        >>> len(pairs), int(pairs.same.sum())  # 12 genuine pairs; 9 impostor pairs in each of two folds
        (30, 12)
    """
    if size < 2:
        raise ArgumentError("pairs", "2 or more", size)
    names, codes = np.unique(identity, return_inverse=True)
    sizes = np.bincount(codes)
    if len(names) < 4:
        raise DataError(f"pairs are drawn of at least 4 identities that were not trained on; there are {len(names)}")
    if sizes.max() < 2:
        raise DataError("there are no pairs of one identity: no identity that is judged has two pictures")
    draws = np.random.default_rng(derive(seed, "pairs"))
    folds = min(FOLDS, len(names) // 2)
    fold_of = np.empty(len(names), dtype=np.int64)
    fold_of[_mixed(sizes, draws)] = np.arange(len(names)) % folds
    group = np.zeros(len(codes), dtype=np.int64) if groups is None else np.asarray(groups)
    parts = []
    for fold in range(folds):
        rows = np.flatnonzero(fold_of[codes] == fold)
        genuine, impostors = _pairs_in(codes[rows], group[rows], within)
        for found, same in ((genuine, True), (impostors, False)):
            share = len(found) if len(found) * folds <= size else -(-size // folds)
            for one, two in rows[found[draws.permutation(len(found))[:share]]]:
                parts.append((one, two, same, fold, group[one] if group[one] == group[two] else -1))
    table = np.array(parts, dtype=np.int64)
    if len(np.unique(table[:, 2])) < 2:
        raise DataError("there are no pairs of one identity in the folds: give more pictures an identity")
    return Pairs(table[:, 0], table[:, 1], table[:, 2].astype(bool), table[:, 3], table[:, 4])


def _mixed(sizes: np.ndarray, draws: np.random.Generator) -> np.ndarray:
    """Identities in chance order, those with two rows or more first, so that every fold has some."""
    order = draws.permutation(len(sizes))
    return order[np.argsort(sizes[order] < 2, kind="stable")]


def _pairs_in(codes: np.ndarray, group: np.ndarray, within: bool) -> tuple[np.ndarray, np.ndarray]:
    """All pairs `[P, 2]` of rows of one identity, and of two."""
    one, two = np.triu_indices(len(codes), 1)
    same = codes[one] == codes[two]
    other = ~same
    alike = other & (group[one] == group[two])
    if within and alike.any():
        other = alike
    both = np.stack([one, two], 1)
    return both[same], both[other]
