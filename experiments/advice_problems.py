"""The data of `advice.py`: a grid of Gaussian classes, and tables as they are found, with rows to train and to test on."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

from steelyard.core.seeds import derive
from steelyard.data import label_noise
from steelyard.data.encoder import TableEncoder

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from benchmarks.tables import packaged, sets

Missing = sets.Missing

DEVELOPED_ON = packaged.CHOSEN[2::3]
"""Tables that were looked at while the rules were written; the others are the test."""
LARGEST = 4000
"""Rows of a table that are used, by class."""
TEST_SHARE = 0.4
GRIDS: Mapping[str, Mapping[str, tuple[float, ...]]] = {
    "development": {"eta": (3, 20, 100), "kappa": (3, 30), "delta": (1.5, 2.5, 4.0), "noise": (0.0, 0.1)},
    "test": {"eta": (2, 10, 50), "kappa": (4, 40), "delta": (1.0, 2.0, 3.0), "noise": (0.0, 0.15)},
}
"""Values of the synthetic problems; the rules were written with the first in sight."""
SYNTHETIC_ROWS = 800
SYNTHETIC_TEST = 4000

Arrays = tuple[np.ndarray, np.ndarray]


@dataclass(frozen=True)
class Problem:
    """Rows to learn from and rows to judge by, as numbers.

    Attributes:
        name: unique.
        kind: "synthetic" or "real".
        train: features float32 `[N, d]` and classes `[N]`.
        test: the same; never noisy.
        settings: what a synthetic one was made with.
    """

    name: str
    kind: str
    train: Arrays
    test: Arrays
    settings: Mapping[str, float]


@dataclass(frozen=True)
class Planned:
    """A problem that is yet to be made."""

    name: str
    kind: str
    make: Callable[[int], Problem]


def planned(part: str, data: Path | None) -> Iterator[Planned]:
    """All problems of a part, "development" or "test", by name; making one may raise `Missing`."""
    grid = GRIDS[part]
    for values in product(*grid.values()):
        settings = dict(zip(grid, values, strict=True))
        name = "gaussian " + " ".join(f"{key}={value:g}" for key, value in settings.items())
        yield Planned(name, "synthetic", partial(gaussian, name, settings))
    for name in sets.SETS:
        if (name in DEVELOPED_ON) == (part == "development") and name != "fraud":
            yield Planned(name, "real", partial(table, name, data))
    if part == "test":
        yield Planned("digits, factor 20", "real", partial(tailed, "load_digits", 20))
        yield Planned("wine, factor 5", "real", partial(tailed, "load_wine", 5))
        for name in ("colon", "golub"):
            yield Planned(name, "real", partial(genes, name, data))


def gaussian(name: str, settings: Mapping[str, float], seed: int) -> Problem:
    """Two Gaussian classes `delta` apart in a random direction; `noise` of the training labels are wrong in either class."""
    draw = np.random.default_rng(derive(seed, name))
    kappa = settings["kappa"]
    rows = SYNTHETIC_ROWS
    width = max(round(rows / kappa), 2)
    direction = draw.normal(size=width)
    apart = settings["delta"] * direction / np.linalg.norm(direction)
    few = max(round(rows / (1 + settings["eta"])), 4)
    train, test = (np.repeat([0, 1], counts) for counts in ((rows - few, few), (SYNTHETIC_TEST // 2,) * 2))
    inputs = [(draw.normal(size=(len(y), width)) + y[:, None] * apart).astype(np.float32) for y in (train, test)]
    if settings["noise"]:
        noisy, _ = label_noise(train, settings["noise"], "symmetric", derive(seed, name, "noise"))
        train = noisy.numpy()
    return Problem(name, "synthetic", (inputs[0], train), (inputs[1], test), dict(settings))


def table(name: str, data: Path | None, seed: int) -> Problem:
    """A table of two classes, numbers standardised and categories one-hot, as training rows have them."""
    found = sets.load(name, data)
    kept = stratified(found.target, min(LARGEST / len(found.target), 1.0), derive(seed, name, "kept"))
    rows = kept[stratified(found.target[kept], TEST_SHARE, derive(seed, name, "test"))]
    learnt = np.setdiff1d(kept, rows)
    encoder = TableEncoder.fit(found.features.iloc[learnt], missing="median")
    parts = [encoder.encode(found.features.iloc[part], onehot=True) for part in (learnt, rows)]
    return _of(name, [np.asarray(part) for part in parts], [found.target[part] for part in (learnt, rows)])


def tailed(loader: str, factor: float, seed: int) -> Problem:
    """A set of scikit-learn with several classes, made long-tailed; the test rows are not."""
    from sklearn import datasets

    inputs, y = getattr(datasets, loader)(return_X_y=True)
    rows = stratified(y, TEST_SHARE, derive(seed, loader, "test"))
    learnt = np.setdiff1d(np.arange(len(y)), rows)
    draw = np.random.default_rng(derive(seed, loader, "tail"))
    counts = np.bincount(y[learnt])
    wanted = np.maximum(counts.min() * factor ** -np.linspace(0, 1, counts.size), 3).round().astype(int)
    learnt = np.concatenate([draw.permutation(learnt[y[learnt] == c])[:n] for c, n in enumerate(wanted)])
    mean, sd = inputs[learnt].mean(0), inputs[learnt].std(0) + 1e-9
    scaled = ((inputs - mean) / np.where(sd < 1e-6, 1.0, sd)).astype(np.float32)
    name = f"{loader.removeprefix('load_')}, factor {factor:g}"
    return _of(name, [scaled[learnt], scaled[rows]], [y[learnt], y[rows]])


def genes(name: str, data: Path | None, seed: int) -> Problem:
    """Gene expression: 2000 genes or more, fewer than 100 rows."""
    import pandas as pd

    path = None if data is None else data / "genomics" / f"{name}.parquet"
    if path is None or not path.is_file():
        raise Missing(f"needs genomics/{name}.parquet: give its folder with --data")
    frame = pd.read_parquet(path)
    label = "label" if "label" in frame else frame.columns[-1]
    y = np.unique(frame[label], return_inverse=True)[1]
    y = 1 - y if np.bincount(y)[0] < np.bincount(y)[-1] else y
    inputs = frame.drop(columns=label).select_dtypes("number").to_numpy(np.float64)
    rows = stratified(y, TEST_SHARE, derive(seed, name, "test"))
    learnt = np.setdiff1d(np.arange(len(y)), rows)
    sd = inputs[learnt].std(0)
    scaled = ((inputs - inputs[learnt].mean(0)) / np.where(sd < 1e-9, 1.0, sd)).astype(np.float32)
    return _of(name, [scaled[learnt], scaled[rows]], [y[learnt], y[rows]])


def stratified(target: np.ndarray, share: float, seed: int) -> np.ndarray:
    """Numbers of a share of the rows of every class, ascending; at least one row of each."""
    draw = np.random.default_rng(seed)
    parts = []
    for c in np.unique(target):
        rows = draw.permutation(np.flatnonzero(target == c))
        parts.append(rows[: max(round(share * len(rows)), 1)])
    return np.sort(np.concatenate(parts))


def _of(name: str, inputs: list[Any], target: list[np.ndarray]) -> Problem:
    train, test = ((np.ascontiguousarray(x, dtype=np.float32), y.astype(np.int64)) for x, y in zip(inputs, target, strict=True))
    return Problem(name, "real", train, test, {})
