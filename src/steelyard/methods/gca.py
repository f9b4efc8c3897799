"""Class weights and confidence margins in the general cross-entropy family."""

from __future__ import annotations

from typing import Literal

from steelyard.core.objective import Objective
from steelyard.core.stage import Stage, Stages
from steelyard.core.task import TaskView
from steelyard.losses import GeneralizedClassAware


def gca(task: TaskView, *, q: float = 0.0, weight: Literal["rho_over_prior", "inverse_prior"] = "rho_over_prior") -> Stages:
    """Generalized class-aware loss."""
    yield Stage(Objective(GeneralizedClassAware(task.counts, q=q, weight=weight)))
