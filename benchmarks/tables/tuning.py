"""Random trials: the same number for everyone, judged by average precision on inner splits of the training rows."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from benchmarks.tables.opponents import Opponent, Params
from benchmarks.tables.scoring import moved_threshold
from sklearn.metrics import average_precision_score
from sklearn.model_selection import StratifiedKFold, StratifiedShuffleSplit

MANY_ROWS = 3_000
"""From so many training rows on, one inner split with a quarter held out is enough."""


@dataclass(frozen=True)
class Tuned:
    """What came out of the trials.

    Attributes:
        params: the best settings.
        threshold: moved on rows that were not learnt from; None where there was nothing to move.
        trials: settings that were tried.
        seconds: of processor time.
    """

    params: Params
    threshold: float | None
    trials: int
    seconds: float


def inner_splits(target: np.ndarray, folds: int, seed: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """Row numbers to learn from and to judge by; every row is judged once where there are few."""
    rows = np.zeros((len(target), 1))
    folds = min(folds, int(np.bincount(target, minlength=2).min()))
    if folds < 2 or len(target) >= MANY_ROWS:
        return list(StratifiedShuffleSplit(1, test_size=0.25, random_state=seed).split(rows, target))
    return list(StratifiedKFold(folds, shuffle=True, random_state=seed).split(rows, target))


def settings(opponent: Opponent, trials: int, seed: int) -> list[dict[str, Any]]:
    """The defaults, then so many random draws; just the defaults of one that has nothing to draw from."""
    drawn = [dict(opponent.defaults)]
    if opponent.space:
        generator = np.random.default_rng(seed)
        for _ in range(trials):
            chosen = {name: values[int(generator.integers(len(values)))] for name, values in opponent.space.items()}
            drawn.append({**opponent.defaults, **chosen})
    return drawn


def tune(opponent: Opponent, features: pd.DataFrame, target: np.ndarray, *, trials: int, folds: int, seed: int) -> Tuned:
    """Choose settings and move the threshold.

    Args:
        opponent: whose settings.
        features: training rows.
        target: 0 and 1.
        trials: random draws beside the defaults; 0 keeps the defaults.
        folds: inner folds.
        seed: of draws, folds and classifiers.
    """
    tried = settings(opponent, trials, seed)
    if len(tried) == 1 and opponent.decides:
        return Tuned(tried[0], None, 0, 0.0)
    started = time.process_time()
    splits = inner_splits(target, folds, seed)
    judged = np.concatenate([judge for _, judge in splits])
    best, value, held = tried[0], -np.inf, np.empty(0)
    for params in tried:
        parts = []
        for learn, judge in splits:
            model = opponent.build(params, features.iloc[learn], target[learn], seed)
            model.fit(features.iloc[learn], target[learn])
            parts.append(model.predict_proba(features.iloc[judge])[:, 1])
        precision = [average_precision_score(target[judge], part) for (_, judge), part in zip(splits, parts, strict=True)]
        if np.mean(precision) > value:
            best, value, held = params, float(np.mean(precision)), np.concatenate(parts)
    threshold = None if opponent.decides else moved_threshold(held, target[judged])
    return Tuned(best, threshold, len(tried), time.process_time() - started)
