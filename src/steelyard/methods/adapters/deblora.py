"""De-biased LoRA: an adapter learns features in which tail classes were drawn to where their attributes are."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any, Literal, get_args

import torch
from torch import Tensor, nn

from steelyard.core.errors import ArgumentError, CombinationError
from steelyard.core.objective import Objective
from steelyard.core.sampler import SamplerFactory, ShuffledSampler
from steelyard.core.seeds import derive, generator
from steelyard.core.stage import Stage, Steps, every_parameter
from steelyard.core.task import TaskView
from steelyard.methods._classifier import check_classifier, check_epochs
from steelyard.methods.adapters._features import FeatureTargets, features_of
from steelyard.methods.adapters._pictures import pictures
from steelyard.nets import FrozenStatistics, head_parameters
from steelyard.numeric.calibration import (
    calibrate,
    class_table,
    cluster_centres,
    debiased_centres,
    displaced,
    entropy,
    group_means,
    own_shares,
    purity,
    strength_by_ratio,
)
from steelyard.samplers import BalancedSampler

SEARCH = {"clusters": "8|16|32|64", "knee": "2|5|10", "ce": "0|0.1|1"}

Strength = Callable[[Tensor], Tensor]
Towards = Literal["clusters", "own-mean", "random"]
Rows = Literal["plain", "balanced"]
SAMPLERS: dict[str, SamplerFactory] = {"plain": ShuffledSampler, "balanced": BalancedSampler}


def deblora(
    task: TaskView,
    *,
    clusters: int = 32,
    knee: float = 10.0,
    strength: float | Strength | None = None,
    towards: Towards = "clusters",
    smallest: int = 1,
    scale: bool = True,
    ce: float = 0.0,
    adapter_epochs: int | None = None,
    head_epochs: int = 10,
    adapter_rows: Rows = "plain",
    probe: Rows = "plain",
) -> Steps:
    """Cluster features, draw tail classes to centres of the clusters, train a fresh adapter to give these features: debLoRA.

    Formula:
        stage 1: cross-entropy, as `ce`, giving features z. K-means of z without labels: centres mu_k, clusters a_i. Then
        `mu_c = sum_k w_ck mu_k`, `w_ck = #{i in c: a_i = k} / n_c`, and `z~_i = (1 - alpha_c) z_i + alpha_c mu_c` with
        `alpha_c = 1 - min(1, knee / gamma_c)`, `gamma_c = n_max / n_c`. Stage 2: a fresh adapter f with
        `L = ||f(x_i) - z~_i||^2 / (d v) + ce * CE`, v the mean variance of z. Stage 3: a fresh classifier on f, cross-entropy.
        When used, only f and the classifier are.

    Args:
        task: what is learnt; images through a backbone with an adapter.
        clusters: K, 1 or more; no more than different training rows are made.
        knee: imbalance ratio up to which a class is left as it is, above 0.
        strength: instead of the rule: one alpha in [0, 1] for all classes beyond the knee, or, in Python, a function from
            gamma `[C]` to alpha `[C]`; none for the rule. 0 moves nothing: what training a second adapter does by itself.
        towards: "clusters" is debLoRA; "own-mean" (of the class: pure shrinkage) and "random" (as far, in random directions)
            are its controls.
        smallest: clusters of fewer rows are dissolved, 1 or more.
        scale: cluster standardised features.
        ce: weight of cross-entropy in stage 2, 0 or more.
        adapter_epochs: of stage 2, 1 or more; none for the regime's.
        head_epochs: of stage 3, 1 or more.
        adapter_rows: rows of stage 2: "plain", or class-"balanced" ones, so that the few rows that are moved count for more.
        probe: rows of stage 3: "plain", or class-"balanced" ones, as in `crt`.

    Labels say which rows belong to a tail class, and nothing else: features and clusters are made of images alone. A run's
    result holds what was found: purity of the clusters, entropy of w_c, alpha_c, and how far classes were moved; the report
    draws it by class and by cluster.

    Raises:
        CombinationError: the task has no adapter.
        ArgumentError: a setting out of range.

    Reference:
        Tian, Chen, Sun: Learning de-biased representations for remote-sensing imagery, NeurIPS 2024.

    Departures:
        A reconstruction. Verified: the three steps; the form of z~; that w comes from class sample sizes and alpha grows with
        imbalance; K = 32. Not verified: the formula of w, the rule of alpha and which of its two terms it belongs to, the
        norm of stage 2. The released code has neither w, nor alpha, nor stage 2: it moves one named class to one hand-picked
        cluster with alpha 0.5. Its features see the true class name in a text prompt, in test rows too, and its validation
        rows are its test rows; here features are made of images alone. Its learning rate and epochs are the regime's here.

    Example:
        >>> from steelyard.settings import resolve_method
        >>> resolve_method("deblora(towards=own-mean)").name
        'deblora(towards=own-mean)'
    """
    task.require("adapters", "deblora")
    _check(clusters, knee, strength, smallest, ce)
    _check_words(towards=(towards, get_args(Towards)), adapter_rows=(adapter_rows, SAMPLERS), probe=(probe, SAMPLERS))
    check_epochs("adapter_epochs", 1 if adapter_epochs is None else adapter_epochs)
    check_epochs("head_epochs", head_epochs)
    untrained = check_classifier(task, "debLoRA trains the classifier anew")
    if not any(parameter.requires_grad for parameter in _all_but_head(untrained)):
        raise CombinationError(
            f"debLoRA trains an adapter, and the model of '{task.name}' has none: adapter=lora, for instance"
        )
    model = yield Stage()
    make = partial(_targets, clusters=clusters, scale=scale, smallest=smallest, towards=towards)
    loss = make(task, features_of(task, model), _strengths(task.counts, knee, strength), ce)
    learns = every_parameter if ce > 0 else _all_but_head
    fresh = yield Stage(
        Objective(loss), model=task.model(), sampler=SAMPLERS[adapter_rows], epochs=adapter_epochs, trainable=learns
    )
    _take_head(fresh, task.model())
    yield Stage(model=FrozenStatistics(fresh), sampler=SAMPLERS[probe], trainable=head_parameters, epochs=head_epochs)
    return fresh


def _check(clusters: int, knee: float, strength: float | Strength | None, smallest: int, ce: float) -> None:
    alpha = 0.0 if strength is None or callable(strength) else strength
    checks = (
        ("clusters", clusters >= 1, "at least 1", clusters),
        ("knee", 0 < knee < math.inf, "above 0", knee),
        ("strength", 0 <= alpha <= 1, "in [0, 1], or none for the rule", strength),
        ("smallest", smallest >= 1, "at least 1", smallest),
        ("ce", 0 <= ce < math.inf, "0 or more", ce),
    )
    for name, holds, expected, found in checks:
        if not holds:
            raise ArgumentError(name, expected, found)


def _check_words(**words: tuple[str, Iterable[str]]) -> None:
    """The command line refuses other words by itself; Python does not."""
    for name, (found, known) in words.items():
        if found not in known:
            raise ArgumentError(name, " or ".join(map(repr, known)), repr(found))


def _strengths(class_counts: Tensor, knee: float, strength: float | Strength | None) -> Tensor:
    """The strength of each class, alpha `[C]`."""
    counts = class_counts.double().clamp_min(1)
    gamma = counts.max() / counts
    if strength is None:
        return strength_by_ratio(class_counts, knee)
    if not callable(strength):
        return torch.where(gamma > knee, float(strength), 0.0).double()
    alpha = torch.as_tensor(strength(gamma)).double()
    if alpha.shape != gamma.shape or not bool(((alpha >= 0) & (alpha <= 1)).all()):
        raise ArgumentError("strength", f"a function that gives {len(gamma)} values in [0, 1]", alpha.tolist())
    return alpha


def _targets(
    task: TaskView,
    features: Tensor,
    alpha: Tensor,
    ce: float,
    *,
    clusters: int,
    scale: bool,
    smallest: int,
    towards: str,
) -> FeatureTargets:
    """The loss of stage 2: where each row's features shall go, and what there is to say about it."""
    target, classes = task.train.target, task.num_classes
    seed = derive(task.seed, "clusters") % 2**32
    centres, assigned = cluster_centres(features, clusters, scale=scale, smallest=smallest, seed=seed)
    aims, shares = debiased_centres(centres, assigned, target, classes)
    own = group_means(features.double(), target, classes)
    moved = calibrate(features, target, own if towards == "own-mean" else aims, alpha)
    if towards == "random":
        moved = displaced(features, moved, generator(task.seed, "random directions"))
    unit = max(float(features.double().var(0, correction=0).mean()), 1e-12)
    away = torch.linalg.vector_norm(moved.double() - features.double(), dim=1).unsqueeze(1)
    told: dict[str, Any] = {
        "clusters": len(centres),
        "purity": purity(assigned, target),
        "entropy": _by_name(task, entropy(shares)),
        "own_share": _by_name(task, own_shares(assigned, target, shares)),
        "strength": _by_name(task, alpha),
        "moved": _by_name(task, group_means(away, target, classes).flatten()),
        "spread": math.sqrt(unit * features.shape[1]),
    }
    told["figures"] = pictures(task.class_names, task.counts, class_table(assigned, target, classes), told)
    return FeatureTargets(moved, unit, ce, told)


def _by_name(task: TaskView, values: Tensor) -> dict[str, Any]:
    """A value a class, by its name; JSON has no NaN."""
    return {name: value if value == value else None for name, value in zip(task.class_names, values.tolist(), strict=True)}


def _all_but_head(model: nn.Module) -> Iterable[nn.Parameter]:
    last = {id(parameter) for parameter in head_parameters(model)}
    return [parameter for parameter in model.parameters() if id(parameter) not in last]


def _take_head(model: nn.Module, fresh: nn.Module) -> None:
    """Give a model the classifier of a fresh one."""
    with torch.no_grad():
        for mine, other in zip(head_parameters(model), head_parameters(fresh), strict=True):
            mine.copy_(other)
