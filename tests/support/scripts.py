"""The scripts of a folder as modules, for tests of what they compute."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType


@contextmanager
def loaded(folder: Path, *names: str, suffix: str = "") -> Iterator[ModuleType]:
    """Scripts that import each other by name, in this order; gives the last, and forgets all afterwards.

    Args:
        folder: where they are.
        names: without ".py".
        suffix: to what they are called, where a name stands for something else already.
    """
    known = [f"{name}{suffix}" for name in names]
    try:
        for name, called in zip(names, known, strict=True):
            spec = importlib.util.spec_from_file_location(called, folder / f"{name}.py")
            assert spec is not None and spec.loader is not None
            module = importlib.util.module_from_spec(spec)
            sys.modules[called] = module  # dataclasses look their module up
            spec.loader.exec_module(module)
        yield module
    finally:
        for called in known:
            sys.modules.pop(called, None)
