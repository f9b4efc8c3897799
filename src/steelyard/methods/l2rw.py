"""Learning to re-weight examples."""

from __future__ import annotations

from typing import Literal

from steelyard.core.objective import Objective
from steelyard.core.stage import Stage, Stages
from steelyard.core.task import Source, TaskView
from steelyard.methods._meta_set import MetaFrom, meta_set
from steelyard.weightings import LearnToReweight, Lookahead

SEARCH = {"meta_rows": "5|10|20"}


def l2rw(
    task: TaskView,
    *,
    meta_rows: int = 10,
    meta_from: MetaFrom = "auto",
    every: int = 1,
    scope: Literal["all", "head"] = "all",
    meta: Source | None = None,
) -> Stages:
    """Weigh each row by how far its gradient agrees with that of a balanced meta set: learning to re-weight.

    Formula:
        `L = mean_i w_i CE(z_i, y_i)`, `w_i` proportional to `max(0, <grad l_i, grad L_meta>)`, mean 1 over the batch.

    Args:
        task: what is learnt.
        meta_rows: as in `mw-net`.
        meta_from: as in `mw-net`.
        every: steps between two weighted ones, 1 or more; the others are plain.
        scope: gradients by "all" parameters, or by those of the classifier ("head"), which is cheaper.
        meta: clean rows of your own instead, in Python.

    Reference:
        Ren, Zeng, Yang, Urtasun: Learning to reweight examples for robust deep learning, ICML 2018.

    Departures:
        See `steelyard.weightings.LearnToReweight`.

    Example:
        >>> from steelyard.settings import describe_method
        >>> describe_method("l2rw").words
        {'weighting': 'learn-to-reweight'}
    """
    trained, pool = meta_set(task, meta_rows, meta_from, 100, meta)
    yield Stage(Objective(weighting=LearnToReweight(pool, lookahead=Lookahead(every=every, scope=scope))), task=trained)
