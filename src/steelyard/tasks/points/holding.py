"""Which trees are held out: whole groups of points, so that no test point has training points of its own tree beside it."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from steelyard.core.errors import DataError
from steelyard.data.clouds import Cloud
from steelyard.tasks.points.voxels import islands

TREE_COLUMNS = ("tree", "tree_id", "treeid", "treenum", "instance", "instance_id")
GAP = 1.0
"""Metres of empty space that part two groups."""
TILE = 5.0
"""Metres, of the edge of a tile where everything hangs together."""
FEWEST = 3
"""Groups that can be dealt to three splits."""
TRIES = 200


def groups_of(cloud: Cloud, rule: str) -> tuple[np.ndarray, str]:
    """A group for each point, and how they were found, in words.

    Args:
        cloud: the points.
        rule: "auto": by a column with tree numbers if there is one, else by what hangs together, else, where that is fewer
            than three parts, by square tiles; "islands"; "tiles"; or the name of a column.

    Returns:
        Numbers `[N]`, and a phrase for a note.

    Raises:
        DataError: no such column.
    """
    known = {name.lower(): name for name in cloud.columns}
    column = next((known[name] for name in TREE_COLUMNS if name in known), None) if rule == "auto" else rule
    if column is not None and column not in ("islands", "tiles"):
        if column not in cloud.columns:
            raise DataError(
                f"{cloud.name} has no column '{column}' to hold out points by; it has: {', '.join(cloud.columns) or 'none'}"
            )
        _, number = np.unique(cloud.columns[column], return_inverse=True)
        return number.reshape(-1), f"column '{column}'"
    if rule != "tiles":
        number = islands(cloud.xyz, GAP)
        if rule == "islands" or number.max() + 1 >= FEWEST:
            return number, f"parts more than {GAP:g} m apart"
    local, _ = cloud.local()
    tile = np.floor(local[:, :2] / TILE).astype(np.int64)
    _, number = np.unique(tile, axis=0, return_inverse=True)
    return number.reshape(-1), f"tiles of {TILE:g} m"


def deal(group: np.ndarray, label: np.ndarray, shares: Mapping[str, float], seed: int) -> np.ndarray:
    """Deal whole groups to splits, so that each gets about its share of the labelled points, and some of every class.

    Args:
        group: of each point `[N]`.
        label: class of each point `[N]`; -1 for none.
        shares: of the points, by split, in the order of what is returned; the first split gets what is left.
        seed: of the deal.

    Returns:
        The number of the split of each point `[N]`.

    Raises:
        DataError: too few groups, or too few with points of some class.
    """
    names = [name for name, share in shares.items() if share > 0 or name == next(iter(shares))]
    found, number = np.unique(group, return_inverse=True)
    classes = int(label.max()) + 1
    table = np.bincount(number.reshape(-1)[label >= 0] * classes + label[label >= 0], minlength=len(found) * classes)
    table = table.reshape(len(found), classes)
    if len(found) < len(names):
        raise DataError(
            f"the labelled points are in {len(found)} group{'s' * (len(found) != 1)}, and {len(names)} splits need one each: "
            "give separate test data (--test), or choose how points are held out, as in points(group=tiles)"
        )
    draw = np.random.default_rng(seed)
    best, score = None, np.inf
    wanted = np.array([shares[name] for name in names])
    wanted[0] = 1 - wanted[1:].sum()
    for _ in range(TRIES):
        dealt = _dealt(draw.permutation(len(found)), table.sum(1), wanted)
        held = np.stack([table[dealt == split].sum(0) for split in range(len(names))])
        if (held[:, table.sum(0) > 0] == 0).any():
            continue
        # As near to the wanted sizes as can be, and every split with the mix of the whole.
        miss = float(np.abs(held / table.sum(0).clip(1) - wanted[:, None]).max())
        if miss < score:
            best, score = dealt, miss
    if best is None:
        raise DataError(
            f"no deal of {len(found)} groups gives each of {', '.join(names)} points of every class: give separate test data "
            "(--test), or choose how points are held out, as in points(group=tiles)"
        )
    place = {name: position for position, name in enumerate(shares)}
    split: np.ndarray = np.array([place[name] for name in names])[best][number.reshape(-1)]
    return split


def _dealt(order: np.ndarray, sizes: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """A split for each group: one group to each, then, in turn, to the split that lacks most."""
    held = np.zeros(len(wanted))
    dealt = np.empty(len(sizes), np.int64)
    total = max(int(sizes.sum()), 1)
    for turn, group in enumerate(order):
        split = turn if turn < len(wanted) else int(np.argmax(wanted - held / total))
        dealt[group] = split
        held[split] += sizes[group]
    return dealt
