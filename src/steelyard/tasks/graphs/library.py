"""The one place where torch_geometric is imported."""

from __future__ import annotations

import importlib
import warnings
from typing import Any

from steelyard.core.errors import SteelyardError


def geometric(module: str) -> Any:
    """A module of torch_geometric, `nn` for instance.

    Raises:
        SteelyardError: it is not installed.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # it scripts functions with torch.jit while it loads
            return importlib.import_module(f"torch_geometric.{module}")
    except ImportError as error:
        raise SteelyardError(f"graph networks need torch_geometric ({error}): pip install 'steelyard[graph]'") from error
