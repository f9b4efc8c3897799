"""How much each row's weight in a training step changes the loss on other rows after it: what meta-learned weights learn from.

For theta' = theta - lr * sum_i w_i grad l_i(theta), the derivative of L_meta(theta') by w_i is
-lr * <grad L_meta(theta'), grad l_i(theta)>: for all rows at once one forward-mode pass of their losses along the gradient of
L_meta. No graph of the inner step is kept and nothing is differentiated twice.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.func import functional_call

from steelyard.core.errors import ArgumentError
from steelyard.core.head import find_head
from steelyard.core.objective import Objective
from steelyard.core.oracle import Oracle, Params
from steelyard.core.rows import IMPOSSIBLE, Batch, Rows
from steelyard.core.seeds import Randomness
from steelyard.numeric.directional import (
    Losses,
    difference_slopes,
    forward_slopes,
    plain_attention,
    reverse_slopes,
    weighted_gradients,
)
from steelyard.numeric.replay import NotTheSame, Recording

Scope = Literal["all", "head"]
Estimator = Literal["auto", "forward", "reverse", "difference"]
SCOPES = ("all", "head")
ESTIMATORS = ("auto", "forward", "reverse", "difference")


def row_slopes(
    losses: Losses, at: Params, direction: Params, estimator: Estimator = "auto", record: Recording | None = None
) -> Tensor:
    """`<grad l_i(at), direction>` of each row `[N]`.

    Args:
        losses: parameters by name to losses `[N]`.
        at: where.
        direction: along what, same names.
        estimator: "forward" (forward mode), "reverse" (two backward passes), "difference" (central difference, approximate);
            "auto" is forward mode, and two backward passes where an operator of the model has no forward-mode rule.
        record: of an earlier pass through the losses at the same place, which forward mode uses again.

    Raises:
        NotImplementedError: "forward" was asked for, and an operator has no rule.
        ArgumentError: unknown estimator.
    """
    if estimator not in ESTIMATORS:
        raise ArgumentError("estimator", " or ".join(map(repr, ESTIMATORS)), repr(estimator))
    if estimator == "reverse":
        return reverse_slopes(losses, at, direction)
    start = Randomness(next(iter(at.values())).device)
    if estimator == "difference":

        def same_draws(point: Params) -> Tensor:
            start.again()  # other masks of dropout on the two sides would be all of the difference
            return losses(point)

        return difference_slopes(same_draws, at, direction)
    try:
        try:
            return forward_slopes(losses, at, direction, record)
        except NotTheSame:  # the model runs otherwise the second time: nothing of the first can be used
            start.again()
            return forward_slopes(losses, at, direction)
    except NotImplementedError:
        if estimator == "forward":
            raise
        start.again()
        return reverse_slopes(losses, at, direction)


def scoped_losses(
    oracle: Oracle, batch: Batch, scope: Scope, rows: Rows | None = None, loss: Callable[[Rows], Tensor] | None = None
) -> Losses:
    """The loss of each row of a batch `[N]` as a function of the parameters in scope.

    Args:
        oracle: model and loss; buffers stay as they are.
        batch: the rows.
        scope: "all" parameters, or only those of the classifier ("head"), on features that then stay fixed.
        rows: what the model says here, where that is known: spares a forward pass for "head".
        loss: rows to losses `[N]`; None for the objective's.

    Raises:
        ArgumentError: "head" for a model whose logits are not those of a linear layer at its end.
    """

    def of(rows: Rows) -> Tensor:
        return oracle.objective.losses(rows, oracle.clock) if loss is None else loss(rows)

    if scope == "all":
        return lambda at: of(oracle.rows(batch, at=at, probe=True))
    _, head = head_of(oracle.model)
    if rows is None:
        with torch.no_grad():
            rows = oracle.rows(batch, probe=True)
    fixed = rows
    if fixed.features is None:
        raise ArgumentError("scope", "'all' for a model whose classifier does not see features [N, d]", "'head'")
    features = fixed.features.detach()
    features = features.to(next(head.parameters()).dtype) if features.dtype in (torch.bfloat16, torch.float16) else features

    def losses(at: Params) -> Tensor:
        logits = functional_call(head, {name.rpartition(".")[2]: value for name, value in at.items()}, (features,))
        logits = torch.where(fixed.logits > IMPOSSIBLE, logits, fixed.logits.to(logits.dtype))
        return of(dataclasses.replace(fixed, logits=logits, features=features))

    return losses


def head_of(model: nn.Module) -> tuple[str, nn.Module]:
    """Name and module of the classifier.

    Raises:
        ArgumentError: there is none.
    """
    found = find_head(model)
    if found is None:
        raise ArgumentError("scope", "'all' for a model without a linear layer", "'head'")
    return found


def params_in(oracle: Oracle, scope: Scope) -> dict[str, nn.Parameter]:
    """The trainable parameters in scope, by name.

    Raises:
        ArgumentError: unknown scope, or none of them is trained.
    """
    if scope not in SCOPES:
        raise ArgumentError("scope", " or ".join(map(repr, SCOPES)), repr(scope))
    found = {name: value for name, value in oracle.model.named_parameters() if value.requires_grad}
    if scope == "head":
        name, head = head_of(oracle.model)
        inside = {id(value) for value in head.parameters()}
        found = {key: value for key, value in found.items() if id(value) in inside}
        if any("." in key.removeprefix(f"{name}." if name else "") for key in found):
            raise ArgumentError("scope", "'all' for a classifier made of several layers", "'head'")
    if not found:
        raise ArgumentError("scope", f"one with parameters to train (scope='{scope}')", "none with requires_grad")
    return found


def influence(
    model: nn.Module,
    loss: Callable[[Tensor, Tensor], Tensor],
    batch: tuple[Any, Tensor],
    meta_batch: tuple[Any, Tensor],
    *,
    weights: Tensor,
    lr: float,
    scope: Scope = "all",
    estimator: Estimator | Literal["unrolled"] = "auto",
) -> Tensor:
    """Exact derivative of the meta loss after a weighted gradient step by the weight of each row.

    Formula:
        `d L_meta(theta') / d w_i` at `theta' = theta - lr * sum_i w_i grad l_i(theta)`, L_meta the mean of `loss` over the
        meta batch; equal to `-lr * <grad L_meta(theta'), grad l_i(theta)>`.

    Args:
        model: gives logits for `batch[0]`; in the mode (train or eval) it is in. Its parameters, buffers, `.grad` and
            torch's random state are as before afterwards. Dropout draws the same in the step and in its derivative.
        loss: `(logits [N, C], target [N]) -> [N]`: a loss of this package (whatever its reduction), or a torch loss with
            `reduction="none"`.
        batch: inputs and classes `[N]` of the step.
        meta_batch: inputs and classes `[M]` that the step is judged on.
        weights: `[N]`; zeros give the direction of learning to re-weight.
        lr: of the step, 0 or more.
        scope: "all" parameters are moved, or only the classifier's ("head"), which is several times cheaper.
        estimator: "auto": forward mode, or two backward passes where an operator has no forward-mode rule (fused attention
            is replaced by plain matrix products meanwhile). "forward", "reverse", "difference" (approximate) and "unrolled"
            (differentiate through the step itself) ask for one way; all but "difference" are exact.

    Returns:
        `[N]`, in the dtype of the losses.

    Raises:
        ArgumentError: `weights` of another shape, `lr` negative or not finite, a loss that is not one value a row, an unknown
            scope or estimator.

    Reference:
        Ren, Zeng, Yang, Urtasun: Learning to reweight examples for robust deep learning, ICML 2018 (the quantity). That it is
        one Jacobian-vector product is elementary.

    Example:
        >>> from torch.nn import functional as F
        >>> model = nn.Linear(1, 2)
        >>> loss = nn.CrossEntropyLoss(reduction="none")
        >>> rows, meta = (torch.tensor([[1.0], [-1.0]]), torch.tensor([1, 1])), (torch.tensor([[1.0]]), torch.tensor([1]))
        >>> helps = influence(model, loss, rows, meta, weights=torch.zeros(2), lr=0.1) < 0
        >>> helps[0].item()  # more of the row that looks like the meta row lowers the meta loss
        True
    """
    target = batch[1]
    if getattr(weights, "shape", None) != target.shape:
        found = list(getattr(weights, "shape", [])) or f"a {type(weights).__name__}"
        raise ArgumentError("weights", f"a tensor of shape [{len(target)}], one a row", found)
    if not 0 <= lr < math.inf:
        raise ArgumentError("lr", "a finite number, 0 or more", lr)
    oracle = Oracle(model, _forward, Objective(loss))
    before = Randomness(oracle.device)
    try:
        inner = Batch(batch[0], target, torch.arange(len(target), device=target.device))
        outer = Batch(meta_batch[0], meta_batch[1], torch.arange(len(meta_batch[1]), device=target.device))
        params = params_in(oracle, scope)
        with torch.enable_grad(), plain_attention() if estimator == "unrolled" else nullcontext():
            return _influence(oracle, inner, outer, params, weights.detach(), lr, scope, estimator)
    finally:
        before.again()
        oracle.close()


def _forward(model: nn.Module, batch: Batch) -> Rows:
    inputs = batch.inputs
    logits = model(*inputs) if isinstance(inputs, tuple | list) else model(inputs)
    return Rows(logits, batch.target, index=batch.index)


def _influence(
    oracle: Oracle,
    inner: Batch,
    outer: Batch,
    params: Mapping[str, nn.Parameter],
    weights: Tensor,
    lr: float,
    scope: Scope,
    estimator: str,
) -> Tensor:
    start = Randomness(oracle.device)
    inner_losses = scoped_losses(oracle, inner, scope)
    start.again()
    here = {name: value.detach().requires_grad_() for name, value in params.items()}
    losses = inner_losses(here)
    weights = weights.to(losses.dtype).requires_grad_()
    unrolled = estimator == "unrolled"
    if unrolled:
        gradients = weighted_gradients(losses, weights, here)
    else:
        found = torch.autograd.grad(losses, list(here.values()), grad_outputs=weights.detach(), materialize_grads=True)
        gradients = dict(zip(here, found, strict=True))
    moved = {name: value - lr * gradients[name] for name, value in here.items()}
    if not unrolled:
        moved = {name: value.detach().requires_grad_() for name, value in moved.items()}
    meta = scoped_losses(oracle, outer, scope)(moved).mean()
    if unrolled:
        return torch.autograd.grad(meta, weights, materialize_grads=True)[0].detach()
    direction = dict(zip(moved, torch.autograd.grad(meta, list(moved.values()), materialize_grads=True), strict=True))
    start.again()
    return -lr * row_slopes(inner_losses, params, direction, estimator).detach()  # type: ignore[arg-type]
