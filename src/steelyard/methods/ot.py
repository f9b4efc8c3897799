"""Optimal transport to a balanced set of rows."""

from __future__ import annotations

from typing import Literal

from steelyard.core.descent import plain
from steelyard.core.objective import Objective
from steelyard.core.stage import Stage, Stages
from steelyard.core.task import Source, TaskView
from steelyard.descents import Anchored
from steelyard.methods._meta_set import MetaFrom, chosen, meta_set
from steelyard.methods._rows import one_row_an_input
from steelyard.weightings import OptimalTransport, TransportOptions

SEARCH = {"cost": "combined|feature|label", "eps": "log(0.01..1)", "anchor": "0|0.3|1|3"}


def ot(
    task: TaskView,
    *,
    method: Literal["sinkhorn", "closed_form", "released"] = "sinkhorn",
    cost: Literal["combined", "feature", "label"] = "combined",
    label_scale: float = 1.0,
    eps: float = 0.1,
    points: Literal["prototypes", "whole"] = "prototypes",
    given: Literal["classes", "rows", "nothing"] = "classes",
    anchor: float = 1.0,
    beta: float = 0.9999,
    meta_rows: int = 10,
    meta_from: MetaFrom = "auto",
    meta_loss: float = 0.0,
    meta: Source | None = None,
) -> Stages:
    """Weigh the training rows so that they are cheap to transport to a balanced meta set.

    Formula:
        `L = mean_i w_i CE(z_i, y_i)`, w the masses that make the entropic transport cost between the batch and the meta set
        least, pulled to effective-number weights: see `steelyard.weightings.OptimalTransport`.

    Args:
        task: what is learnt.
        method: "sinkhorn" (a step a visit, weights kept a row), "closed_form" (anew for each batch), "released" (the step of
            the authors' code).
        cost: of features ("feature"), of classes ("label"), or half of each ("combined").
        label_scale: cost of another class, 0 or more.
        eps: entropy, above 0.
        points: meta set as class means ("prototypes") or row by row ("whole").
        given: what the masses of the meta set follow in a batch: the "classes" present, its "rows", or "nothing".
        anchor: 0 or more, pull to the effective-number weights.
        beta: of the effective number, in [0, 1].
        meta_rows: meta rows of each class, 1 or more.
        meta_from: "held_out" takes them out of the training rows, "train" leaves them in as well; "auto" holds out where every
            class has 5 times `meta_rows` rows.
        meta_loss: 0 or more, factor of the cross-entropy of the meta set in the loss.
        meta: balanced rows of your own instead, in Python.

    Reference:
        Guo, Li, Zheng, Zhao, Zhou, Zha: Learning to re-weight examples with optimal transport for imbalanced classification,
        NeurIPS 2022.

    Departures:
        The released code fine-tunes the classifier of a trained model for 90 epochs at learning rate 2e-5, and with 10 times
        the meta loss on a sum over 16 rows (`meta_loss=0.6` here); this trains all parameters from the start.
        For the rest see `steelyard.weightings.OptimalTransport`.

    Example:
        >>> from steelyard.settings import describe_method
        >>> describe_method("ot").words
        {'weighting': 'optimal-transport'}
    """
    one_row_an_input(task, "ot")
    where = chosen(task, meta_rows, meta_from)
    in_both = meta is None and where == "train"
    trained, pool = meta_set(task, meta_rows, "held_out" if in_both else where, 100, meta)
    trained = None if in_both else trained
    counts = task.counts if trained is None else trained.counts
    options = TransportOptions(points=points, given=given, anchor=anchor, beta=beta)
    weighting = OptimalTransport(counts, pool, method, cost, label_scale, eps, options)
    descent = Anchored(pool, meta_loss) if meta_loss else plain
    yield Stage(Objective(weighting=weighting), descent=descent, task=trained)
