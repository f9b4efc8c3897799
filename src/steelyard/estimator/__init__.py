"""Tables from rows to decisions: a scikit-learn classifier, and the model behind it, which needs no scikit-learn."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from steelyard.estimator.classifier import SteelyardClassifier
    from steelyard.estimator.folder import load_model, save_model
    from steelyard.estimator.multi_label import SteelyardMultiLabelClassifier
    from steelyard.estimator.table_model import TableModel
    from steelyard.estimator.training import train_table

_NAMES = {
    "SteelyardClassifier": "steelyard.estimator.classifier",
    "SteelyardMultiLabelClassifier": "steelyard.estimator.multi_label",
    "load_model": "steelyard.estimator.folder",
    "save_model": "steelyard.estimator.folder",
    "TableModel": "steelyard.estimator.table_model",
    "train_table": "steelyard.estimator.training",
}

__all__ = ["SteelyardClassifier", "SteelyardMultiLabelClassifier", "TableModel", "load_model", "save_model", "train_table"]


def __getattr__(name: str) -> Any:
    """Import a name when it is first used: the command line needs no scikit-learn for most of what it does."""
    if name in _NAMES:
        return getattr(importlib.import_module(_NAMES[name]), name)
    raise AttributeError(f"module 'steelyard.estimator' has no attribute '{name}'")
