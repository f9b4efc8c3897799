"""Learning from class-imbalanced data: losses, weightings, samplers, methods and honest comparisons.

`import steelyard as sy` gives the names below; each is imported when it is first used, so the import itself costs nothing::

    sy.fit(data, method="la")                                  train a model with a named method and regime
    sy.SteelyardClassifier().fit(X, y)                         a scikit-learn classifier for tables
    sy.losses.LogitAdjusted(class_counts)(logits, target)      a piece alone, in your own loop
    sy.Stage, sy.Regime, sy.Objective                          to write a method
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from steelyard import (
        bench,
        data,
        decisions,
        descents,
        diagnosis,
        estimator,
        losses,
        methods,
        metrics,
        nets,
        numeric,
        problems,
        regimes,
        report,
        samplers,
        settings,
        tasks,
        transforms,
        weightings,
    )
    from steelyard.core.errors import SteelyardError
    from steelyard.core.fit import Fitted
    from steelyard.core.influence import influence
    from steelyard.core.objective import Objective
    from steelyard.core.pool import RowPool
    from steelyard.core.regime import Regime
    from steelyard.core.rows import Batch, Clock, Evidence, Rows
    from steelyard.core.stage import Stage
    from steelyard.core.task import Task
    from steelyard.estimator.classifier import SteelyardClassifier
    from steelyard.estimator.multi_label import SteelyardMultiLabelClassifier
    from steelyard.face import evaluate, fit

__version__ = "0.1.0"

_NAMES = {
    "fit": "steelyard.face",
    "evaluate": "steelyard.face",
    "Fitted": "steelyard.core.fit",
    "Stage": "steelyard.core.stage",
    "Regime": "steelyard.core.regime",
    "Objective": "steelyard.core.objective",
    "RowPool": "steelyard.core.pool",
    "influence": "steelyard.core.influence",
    "Task": "steelyard.core.task",
    "Batch": "steelyard.core.rows",
    "Rows": "steelyard.core.rows",
    "Evidence": "steelyard.core.rows",
    "Clock": "steelyard.core.rows",
    "SteelyardClassifier": "steelyard.estimator.classifier",
    "SteelyardError": "steelyard.core.errors",
    "SteelyardMultiLabelClassifier": "steelyard.estimator.multi_label",
}
_ROOMS = (
    "bench",
    "data",
    "decisions",
    "descents",
    "diagnosis",
    "estimator",
    "losses",
    "methods",
    "metrics",
    "nets",
    "numeric",
    "problems",
    "regimes",
    "report",
    "samplers",
    "settings",
    "tasks",
    "transforms",
    "weightings",
)

__all__ = [
    "Batch",
    "Clock",
    "Evidence",
    "Fitted",
    "Objective",
    "Regime",
    "RowPool",
    "Rows",
    "Stage",
    "SteelyardClassifier",
    "SteelyardError",
    "SteelyardMultiLabelClassifier",
    "Task",
    "__version__",
    "bench",
    "data",
    "decisions",
    "descents",
    "diagnosis",
    "estimator",
    "evaluate",
    "fit",
    "influence",
    "losses",
    "methods",
    "metrics",
    "nets",
    "numeric",
    "problems",
    "regimes",
    "report",
    "samplers",
    "settings",
    "tasks",
    "transforms",
    "weightings",
]


def __getattr__(name: str) -> Any:
    if name in _NAMES:
        return getattr(importlib.import_module(_NAMES[name]), name)
    if name in _ROOMS:
        return importlib.import_module(f"steelyard.{name}")
    raise AttributeError(f"module 'steelyard' has no attribute '{name}'")


def __dir__() -> list[str]:
    return sorted(__all__)
