"""Made-up comparisons for the tests of this folder."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def fabricate() -> Callable[..., Path]:
    """The generator of made-up comparison folders: `fabricate(out, classes=..., methods=..., ...)`."""
    spec = importlib.util.spec_from_file_location("report_fabricate", Path(__file__).with_name("fabricate.py"))
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.fabricate
