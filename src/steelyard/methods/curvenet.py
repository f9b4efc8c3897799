"""CurveNet: weights from how the loss of a row went in a first run."""

from __future__ import annotations

from typing import Literal

from steelyard.core.objective import Objective
from steelyard.core.stage import Stage, Stages
from steelyard.core.task import Source, TaskView
from steelyard.methods._meta_set import MetaFrom, meta_set
from steelyard.methods._rows import one_row_an_input
from steelyard.weightings import Lookahead, LossCurveNet, LossCurves
from steelyard.weightings.loss_curve_net import centred

SEARCH = {"until": "0.2..0.8", "meta_rows": "5|10|20"}


def curvenet(
    task: TaskView,
    *,
    probe_epochs: int = 20,
    burn_in: int = 1,
    until: float = 0.4,
    meta_rows: int = 10,
    meta_from: MetaFrom = "auto",
    every: int = 1,
    scope: Literal["all", "head"] = "all",
    normalise: Literal["batch", "none", "detached"] = "batch",
    meta: Source | None = None,
) -> Stages:
    """Record every row's loss curve, then learn from a balanced meta set which weight a curve deserves: CurveNet.

    Formula:
        stage 1: plain cross-entropy, recording `l_i` in every epoch. Stage 2, from fresh weights:
        `L = mean_i w_i CE(z_i, y_i)`, `w_i` from a network of the curve of row i, centred within its class, and of its class.

    Args:
        task: what is learnt.
        probe_epochs: epochs of the first stage, 2 or more.
        burn_in: of these, how many the network does not see, from 0 to `probe_epochs - 1`.
        until: fraction of the second stage's epochs after which the weights stay as they are, in [0, 1].
        meta_rows: as in `mw-net`.
        meta_from: as in `mw-net`.
        every: as in `mw-net`.
        scope: as in `mw-net`; "head" is the paper's skip-layer meta optimisation taken to its end.
        normalise: as in `mw-net`; the released code does not ("none").
        meta: clean rows of your own instead, in Python.

    Raises:
        ArgumentError: `burn_in` is not below `probe_epochs`.

    Reference:
        Jiang, Li, Wang, Huang, Zhang, Xu: Delving into sample loss curve to embrace noisy and imbalanced data, AAAI 2022.

    Departures:
        The first stage follows the regime; the released code probes for 300 epochs with a learning rate and a batch size of
        its own, so its curves are longer and rougher. See `steelyard.weightings.LossCurveNet` for the rest.

    Example:
        >>> from steelyard.settings import describe_method
        >>> describe_method("curvenet").words
        {'weighting': 'loss-curves (stage 1), loss-curve-net (stage 2)', 'stages': '2'}
    """
    one_row_an_input(task, "curvenet")
    trained, pool = meta_set(task, meta_rows, meta_from, 100, meta)
    source = task.train if trained is None else trained.splits["train"]
    record = LossCurves(len(source), probe_epochs)
    yield Stage(Objective(weighting=record), task=trained, epochs=probe_epochs)
    curves = centred(record.curves.cpu(), source.target, burn_in)
    lookahead = Lookahead(every=every, scope=scope, until=until)
    weighting = LossCurveNet(pool, curves, task.num_classes, normalise=normalise, lookahead=lookahead)
    yield Stage(Objective(weighting=weighting), task=trained, model=task.model())
