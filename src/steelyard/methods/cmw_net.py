"""CMW-Net: a weighting network that knows how large a class is."""

from __future__ import annotations

from typing import Literal

from steelyard.core.objective import Objective
from steelyard.core.stage import Stage, Stages
from steelyard.core.task import Source, TaskView
from steelyard.methods._meta_set import MetaFrom, meta_set
from steelyard.weightings import ClassAwareMetaWeightNet, Lookahead

SEARCH = {"after": "0.5..0.9", "lr": "log(1e-4..1e-2)", "meta_rows": "5|10|20"}


def cmw_net(
    task: TaskView,
    *,
    after: float = 0.8,
    groups: int = 3,
    sizes: Literal["log", "count"] = "log",
    meta_rows: int = 10,
    meta_from: MetaFrom = "auto",
    every: int = 1,
    scope: Literal["all", "head"] = "all",
    order: Literal["ahead", "online"] = "ahead",
    normalise: Literal["batch", "none", "detached"] = "batch",
    lr: float = 1e-3,
    meta: Source | None = None,
) -> Stages:
    """Meta-Weight-Net with a head for each group of classes of similar size, from late in training on: CMW-Net.

    Formula:
        `L = mean_i w_i CE(z_i, y_i)`, `w_i = V_g(l_i) / mean_j V_g(l_j)` with g the size group of class y_i; plain
        cross-entropy before the fraction `after` of the epochs.

    Args:
        task: what is learnt.
        after: fraction of the epochs before which rows weigh 1, in [0, 1].
        groups: of classes by size, 1 or more.
        sizes: what is grouped, "log" of the class sizes, or the "count"s themselves as in the released code.
        meta_rows: as in `mw-net`.
        meta_from: as in `mw-net`; the released code shares training rows ("train").
        every: as in `mw-net`.
        scope: as in `mw-net`.
        order: as in `mw-net`.
        normalise: as in `mw-net`; the released code has a constant divisor ("detached").
        lr: of the network, above 0.
        meta: clean rows of your own instead, in Python.

    Reference:
        Shu, Yuan, Meng, Xu: CMW-Net: learning a class-aware sample weighting mapping for robust deep learning, TPAMI 2023.

    Departures:
        See `steelyard.weightings.ClassAwareMetaWeightNet`; as released is
        `sizes=count,normalise=detached`. The released code cuts the learning rate a hundredfold when the
        weights begin; here the regime's schedule stays.

    Example:
        >>> from steelyard.settings import describe_method
        >>> describe_method("cmw-net").words
        {'weighting': 'class-aware-meta-weight-net'}
    """
    trained, pool = meta_set(task, meta_rows, meta_from, 100, meta)
    lookahead = Lookahead(every=every, scope=scope, order=order, after=after)
    weighting = ClassAwareMetaWeightNet(
        pool, task.counts, groups=groups, sizes=sizes, normalise=normalise, lookahead=lookahead, lr=lr
    )
    yield Stage(Objective(weighting=weighting), task=trained)
