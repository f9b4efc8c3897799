"""What all tests share: determinism, where real data lies, and a browser."""

from __future__ import annotations

import os
import random
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, settings

REPO = Path(__file__).resolve().parents[1]

# No deadline: other work on the machine must not fail a test. CI looks at the same examples each time.
settings.register_profile("default", deadline=None, suppress_health_check=[HealthCheck.too_slow], print_blob=True)
settings.register_profile("ci", settings.get_profile("default"), derandomize=True, max_examples=60)
settings.register_profile("thorough", settings.get_profile("default"), max_examples=2000)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci" if os.environ.get("CI") else "default"))

torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def global_generators() -> None:
    """Tests may draw from the global generators: each starts from the same state, whatever ran before it."""
    random.seed(0)
    np.random.seed(0)
    torch.manual_seed(0)


@pytest.fixture(scope="session")
def repo() -> Path:
    """The root of the working tree."""
    return REPO


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real data sets: $STEELYARD_DATA, or shared/data beside the working tree."""
    folder = Path(os.environ.get("STEELYARD_DATA") or REPO.parent / "shared" / "data")
    if not folder.is_dir():
        pytest.skip(f"needs real data: {folder} is not there; set STEELYARD_DATA")
    return folder


@pytest.fixture(scope="session")
def chromium() -> str:
    """Path of a Chromium: $STEELYARD_CHROMIUM, or one on the path."""
    names = (os.environ.get("STEELYARD_CHROMIUM"), "chromium", "chromium-browser", "google-chrome")
    found = next((path for path in (shutil.which(name) for name in names if name) if path), None)
    if found is None:
        pytest.skip("needs a browser: no Chromium on the path; set STEELYARD_CHROMIUM")
    return found
