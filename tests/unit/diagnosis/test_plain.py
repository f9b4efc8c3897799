from __future__ import annotations

import json
from dataclasses import dataclass

import numpy as np
import torch

from steelyard.diagnosis.plain import plain, rounded


@dataclass
class Found:
    value: float
    where: tuple[int, ...]


def test_everything_becomes_json() -> None:
    given = {1: Found(float("nan"), (1, 2)), "t": torch.tensor([1.0, float("inf")]), "n": np.bool_(True), "o": object}
    found = plain(given)
    assert found["1"] == {"value": None, "where": [1, 2]}
    assert found["t"] == [1.0, None]
    assert found["n"] is True
    json.dumps(found, allow_nan=False)


def test_rounding_keeps_gaps() -> None:
    assert rounded([1 / 3, np.nan], 2) == [0.33, None]
