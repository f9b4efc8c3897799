"""Scoring a few rows of a batch again, as if the rest of the batch were there."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from steelyard.core.objective import Evaluation
from steelyard.core.oracle import Oracle, Params
from steelyard.core.rows import Batch, Rows
from steelyard.core.seeds import Randomness
from steelyard.descents._ascent import same_weights

NORMALISERS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.SyncBatchNorm)


@dataclass(frozen=True)
class Subset:
    """Some rows of a batch that can be scored on their own.

    Attributes:
        batch: those rows and the inputs that they belong to.
        rows: their numbers in the whole batch `[n]`, ascending.
        share: of the batch's inputs, in (0, 1].
    """

    batch: Batch
    rows: Tensor
    share: float

    @classmethod
    def of(cls, batch: Batch, scored: Rows, rows: Tensor) -> Subset | None:
        """The rows `[n]` of a batch.

        None where inputs cannot be told apart by row, where something `extra` belongs to the rows, and where the model's rows
        are not those of the batch, one by one.
        """
        size = _inputs(batch.inputs)
        if batch.extra or scored.extra or size is None or (batch.owner is None and size != len(batch.target)):
            return None
        if scored.target is not batch.target or scored.logits.ndim != 2:
            return None
        owner = None
        chosen = rows
        if batch.owner is not None:
            used = torch.zeros(size, dtype=torch.bool, device=rows.device).index_fill_(0, batch.owner[rows], True)
            chosen = used.nonzero().flatten()
            owner = (used.cumsum(0) - 1)[batch.owner[rows]]
        part = Batch(
            _taken(batch.inputs, chosen),
            batch.target[rows],
            batch.index[rows],
            owner,
            None if batch.share is None else batch.share[rows],
        )
        return cls(part, rows, len(chosen) / max(size, 1))

    def again(self, oracle: Oracle, whole: Evaluation, at: Params) -> Evaluation:
        """The whole batch's evaluation with these rows scored anew at `at` and the others as they were, without a graph.

        Losses that compare a row with its batch, weights and the denominator therefore stay those of the whole batch.
        """
        scored, rows = oracle.rows(self.batch, at=at), whole.rows
        features = _put(rows.features, scored.features, self.rows)
        merged = dataclasses.replace(rows, logits=_put(rows.logits, scored.logits, self.rows), features=features)
        evaluation: Evaluation = oracle.objective(merged, oracle.clock, weights=same_weights(whole))
        return evaluation


def _put(whole: Tensor | None, part: Tensor | None, rows: Tensor) -> Any:
    if whole is None or part is None:
        return whole
    return whole.detach().index_copy(0, rows, part.to(whole.dtype))


def _inputs(inputs: Any) -> int | None:
    """How many inputs: the length of every tensor; None where that is not one number."""
    if isinstance(inputs, Tensor):
        return len(inputs) if inputs.ndim else None
    if not isinstance(inputs, Mapping) or not inputs:
        return None
    sizes = {_inputs(value) for value in inputs.values()}
    return sizes.pop() if len(sizes) == 1 else None


def _taken(inputs: Any, rows: Tensor) -> Any:
    if isinstance(inputs, Tensor):
        return inputs[rows]
    return {name: _taken(value, rows) for name, value in inputs.items()}


class BatchStatistics:
    """What BatchNorm layers took of a batch, so that a few rows of it can be scored later as if the others were there.

    Forward, rows are normalised by the batch's mean and variance as constants. They are read off the running statistics before
    and after the pass (`new = old + momentum * (batch - old)`), at no cost. Backward, a layer takes two means over the batch
    off the gradient of every row, that of the gradient and that of the gradient along the row. They are constants too: up to
    a division they are what the layer's own bias and weight have for a gradient.

    Args:
        model: its layers in training mode are watched.
    """

    def __init__(self, model: nn.Module) -> None:
        self._layers = {
            name: module for name, module in model.named_modules() if isinstance(module, NORMALISERS) and module.training
        }
        self._before: list[Tensor] = []
        self._counts: dict[str, list[int]] = {name: [] for name in self._layers}

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Around the pass over the whole batch."""
        self._before = [value.clone() for value in self._running()]
        handles = [
            layer.register_forward_pre_hook(lambda _, args, seen=seen: seen.append(args[0].numel() // args[0].shape[1]))
            for layer, seen in zip(self._layers.values(), self._counts.values(), strict=True)
        ]
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()

    def taken(self) -> dict[str, Tensor] | None:
        """The batch's mean and variance of every layer, as buffers by name; None where not all is known.

        That is where a layer keeps no running statistics, keeps a cumulative average, saw several batches or none (the rows
        may have been scored before the step), or has no weight and bias that are trained.
        """
        layers = self._layers.values()
        if not layers:
            return {}
        if len(self._before) != 2 * len(layers) or any(len(seen) != 1 for seen in self._counts.values()):
            return None
        if any(not layer.momentum or not _trained(layer) for layer in layers):
            return None
        steps = torch._foreach_sub(self._running(), self._before)
        torch._foreach_div_(steps, [float(layer.momentum or 1) for layer in layers for _ in range(2)])
        values = torch._foreach_add(self._before, steps)
        unbiased = [seen[0] for seen in self._counts.values()]
        torch._foreach_mul_(values[1::2], [(count - 1) / count for count in unbiased])
        torch._foreach_clamp_min_(values[1::2], 0.0)
        names = [_join(name, kind) for name in self._layers for kind in ("running_mean", "running_var")]
        return dict(zip(names, values, strict=True))

    @contextmanager
    def in_force(self, taken: Params, gradients: Mapping[str, Tensor | None]) -> Iterator[None]:
        """Let the layers treat rows as they treated those of the batch.

        Args:
            taken: mean and variance, which the rows have to be scored at.
            gradients: of the whole batch's objective, by parameter name.
        """
        handles = []
        for name, layer in self._layers.items():
            pulls = [gradients.get(_join(name, kind)) for kind in ("bias", "weight")]
            layer.training = False
            mean, variance = (taken[_join(name, kind)] for kind in ("running_mean", "running_var"))
            if pulls[0] is not None and pulls[1] is not None:
                means = pulls[0] / self._counts[name][0], pulls[1] / self._counts[name][0]
                handles.append(layer.register_forward_pre_hook(_tied(mean, (variance + layer.eps).rsqrt(), *means)))
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()
            for layer in self._layers.values():
                layer.training = True

    def _running(self) -> list[Tensor]:
        pairs = ((layer.running_mean, layer.running_var) for layer in self._layers.values())
        return [value for pair in pairs for value in pair if value is not None]


def _join(name: str, kind: str) -> str:
    return f"{name}.{kind}" if name else kind


def _trained(layer: Any) -> bool:
    """Weight and bias are there and have gradients."""
    return bool(layer.affine and layer.weight.requires_grad and layer.bias.requires_grad)


def _tied(mean: Tensor, scale: Tensor, pull: Tensor, pull_along: Tensor) -> Callable[[Any, tuple[Any, ...]], None]:
    """Before a layer runs: see to it that the batch's two means are taken off the gradient of what goes in.

    `d x = w scale (d y - pull - x_hat pull_along)`, of which the layer itself makes the first term.
    """

    def tie(layer: Any, args: tuple[Any, ...]) -> None:
        values = args[0]
        if not values.requires_grad:
            return
        shape = (1, -1, *[1] * (values.ndim - 2))
        slope = layer.weight.detach() * scale
        level = (slope * (pull - mean * scale * pull_along)).view(shape)
        along = (slope * scale * pull_along).view(shape)
        seen = values.detach()
        values.register_hook(lambda gradient: (gradient - level).addcmul_(seen, along, value=-1).to(gradient.dtype))

    return tie


@contextmanager
def same_draws(device: torch.device, state: list[Randomness]) -> Iterator[None]:
    """Let passes draw the same random numbers: the first notes where the generators stood, later ones go back there."""
    if state:
        state[0].again()
    else:
        state.append(Randomness(device))
    yield
