"""One meta-learned weight a class."""

from __future__ import annotations

from typing import Literal

from steelyard.core.objective import Objective
from steelyard.core.stage import Stage, Stages
from steelyard.core.task import Source, TaskView
from steelyard.methods._meta_set import MetaFrom, meta_set
from steelyard.weightings import Lookahead, MetaClassWeights

SEARCH = {"lr": "log(1e-3..0.1)", "meta_rows": "5|10|20"}


def meta_class_weights(
    task: TaskView,
    *,
    meta_rows: int = 10,
    meta_from: MetaFrom = "auto",
    every: int = 1,
    scope: Literal["all", "head"] = "all",
    order: Literal["ahead", "online"] = "ahead",
    lr: float = 1e-2,
    meta: Source | None = None,
) -> Stages:
    """One weight a class, learned from a balanced meta set: what a weighting network has to beat.

    Formula:
        `L = mean_i w_i CE(z_i, y_i)`, `w_i = exp(t_{y_i}) / mean_j exp(t_{y_j})`; t moves as the network of `mw-net` does.

    Args:
        task: what is learnt.
        meta_rows: as in `mw-net`.
        meta_from: as in `mw-net`.
        every: as in `mw-net`.
        scope: as in `mw-net`.
        order: as in `mw-net`.
        lr: of the numbers t, above 0.
        meta: clean rows of your own instead, in Python.

    Reference:
        A control of ours for learned weights; see `steelyard.weightings.MetaClassWeights`.

    Departures:
        none.

    Example:
        >>> from steelyard.settings import describe_method
        >>> describe_method("meta-class-weights").words
        {'weighting': 'meta-class-weights'}
    """
    trained, pool = meta_set(task, meta_rows, meta_from, 100, meta)
    lookahead = Lookahead(every=every, scope=scope, order=order)
    yield Stage(Objective(weighting=MetaClassWeights(pool, task.num_classes, lookahead=lookahead, lr=lr)), task=trained)
