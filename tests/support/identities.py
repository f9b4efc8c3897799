"""Tiny vectors of identities for tests: `identity + noise`, in two groups."""

from __future__ import annotations

from typing import Any

import numpy as np

from steelyard.problems import load
from steelyard.tasks.verification import VerificationTask


def vectors(identities: int = 16, pictures: int = 8, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Rows `[N, 6]`, the identity of each, and its group: "a", "b" or (of few identities) "c"."""
    draws = np.random.default_rng(seed)
    centre = draws.normal(size=(identities, 6))
    rows = np.repeat(np.arange(identities), pictures)
    X = (centre[rows] + 0.4 * draws.normal(size=(len(rows), 6))).astype(np.float32)
    return X, np.array([f"id {row:02d}" for row in rows]), np.array(["a", "b"])[rows % 2]


def task(words: str = "pairs=200", grouped: bool = True, **settings: Any) -> VerificationTask:
    X, y, groups = vectors()
    made = load((X, y, groups) if grouped else (X, y), task=f"verification({words})", **settings)
    assert isinstance(made, VerificationTask)
    return made
