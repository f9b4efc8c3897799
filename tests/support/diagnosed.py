"""Facts of a diagnosis, for tests of the pages made of them."""

from __future__ import annotations

from typing import Any

import numpy as np

from steelyard.diagnosis import diagnose
from steelyard.diagnosis.sources import array_source


def diagnosed(counts: tuple[int, ...] = (180, 20), *, names: tuple[str, ...] = (), delta: float = 2.0) -> dict[str, Any]:
    """What `steelyard diagnose` finds of Gaussian classes; the mean of class c is `delta` along an axis of its own."""
    draw = np.random.default_rng(0)
    target = np.repeat(np.arange(len(counts)), counts)
    rows = draw.normal(size=(len(target), len(counts) + 3)) + delta * np.eye(len(counts), len(counts) + 3)[target]
    shown = names or tuple(f"class {c}" for c in range(len(counts)))
    source = array_source("mine", rows, np.array(shown)[target])
    return {"command": "steelyard diagnose mine.npz"} | diagnose(source)
