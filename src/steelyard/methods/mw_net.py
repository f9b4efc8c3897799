"""Meta-Weight-Net."""

from __future__ import annotations

from typing import Literal

from steelyard.core.objective import Objective
from steelyard.core.stage import Stage, Stages
from steelyard.core.task import Source, TaskView
from steelyard.methods._meta_set import MetaFrom, meta_set
from steelyard.weightings import Lookahead, MetaWeightNet

SEARCH = {"lr": "log(1e-4..1e-2)", "meta_rows": "5|10|20"}


def mw_net(
    task: TaskView,
    *,
    meta_rows: int = 10,
    meta_from: MetaFrom = "auto",
    every: int = 1,
    scope: Literal["all", "head"] = "all",
    order: Literal["ahead", "online"] = "ahead",
    normalise: Literal["batch", "none", "detached"] = "batch",
    lr: float = 1e-3,
    detach: bool = True,
    meta: Source | None = None,
) -> Stages:
    """A small network learns from a balanced meta set which weight a loss deserves: Meta-Weight-Net.

    Formula:
        `L = mean_i w_i CE(z_i, y_i)`, `w_i = V(l_i) / mean_j V(l_j)`; V moves against the gradient of the meta set's
        cross-entropy after a step of the model with these weights.

    Args:
        task: what is learnt.
        meta_rows: rows of each class in the meta set, 1 or more; of a class with n rows at most n // 2 (its only row is lent).
        meta_from: "held_out" takes them out of the training rows, "train" shares these, drawing classes equally often; "auto"
            holds out where every class has 5 times `meta_rows` rows, and shares elsewhere.
        every: steps between two lessons, 1 or more.
        scope: the step that is looked ahead of moves "all" parameters, or only the classifier ("head"), which is cheaper.
        order: "ahead" as in the paper, or "online": learn from the real steps, which is cheaper.
        normalise: weights to mean 1 over the batch ("batch"), not ("none"), or with a constant divisor ("detached").
        lr: of the network, above 0.
        detach: false as in the released code for class imbalance, see `steelyard.weightings.MetaWeightNet`.
        meta: clean rows of your own instead, in Python.

    Reference:
        Shu, Xie, Yi, Zhao, Zhou, Xu, Meng: Meta-Weight-Net: learning an explicit mapping for sample weighting, NeurIPS 2019.

    Departures:
        See `steelyard.weightings.MetaWeightNet`. Few rows a class can be spared in small data: there all rows stay in training
        and the meta set is drawn from them, and a meta set that is not balanced is drawn class by class.

    Example:
        >>> from steelyard.settings import describe_method
        >>> describe_method("mw-net").words
        {'weighting': 'meta-weight-net'}
    """
    trained, pool = meta_set(task, meta_rows, meta_from, 100, meta)
    lookahead = Lookahead(every=every, scope=scope, order=order)
    weighting = MetaWeightNet(pool, normalise=normalise, lookahead=lookahead, lr=lr, detach=detach)
    yield Stage(Objective(weighting=weighting), task=trained)
