"""The objective at any parameters, batch and weights, without touching the model.

Plain, two-pass (SAM) and bilevel (meta-learned weights) training then have the same shape. Autocast lives here, once.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call

from steelyard.core.head import Tap
from steelyard.core.objective import Evaluation, Objective
from steelyard.core.rows import Batch, Clock, Rows
from steelyard.core.seeds import generator

Forward = Callable[[nn.Module, Batch], Rows]
Params = Mapping[str, Tensor]


class _Scorer(nn.Module):
    """Gives `functional_call` a module whose forward is the task's."""

    def __init__(self, model: nn.Module, forward: Forward) -> None:
        super().__init__()
        self.model = model
        self.score = forward

    def forward(self, batch: Batch) -> Rows:
        return self.score(self.model, batch)


def _as_it_is(inputs: Any) -> Any:
    return inputs


class Oracle:
    """Evaluates an objective on a batch.

    Args:
        model: the model being trained.
        forward: the task's `(model, batch) -> Rows`.
        objective: loss and weighting.
        precision: "float32", or "bfloat16" for autocast of the model's forward pass.
        draws: the stream that transforms and descents draw from; on the model's device.

    Attributes:
        clock: the time that losses and weightings are told.
        generator: `draws`.
        optimizer: what will make the step, for parts that look ahead of it; None where nobody said so.
        read: what a source's rows go through before the model sees them (normalisation, augmentation), for parts that draw
            batches of their own.
    """

    def __init__(
        self,
        model: nn.Module,
        forward: Forward,
        objective: Objective,
        precision: str = "float32",
        draws: torch.Generator | None = None,
    ) -> None:
        self.model = model
        self.objective = objective
        self.clock = Clock()
        first = next(model.parameters(), None)
        self.device = torch.device("cpu") if first is None else first.device
        self.generator = generator(0, "oracle", device=self.device) if draws is None else draws
        self.optimizer: torch.optim.Optimizer | None = None
        self.read: Callable[[Any], Any] = _as_it_is
        self._kept: tuple[Batch, Rows] | None = None
        self._precision = precision
        self._scorer = _Scorer(model, forward)
        self._tap = Tap(model)

    def close(self) -> None:
        """Take the feature tap off the model."""
        self._tap.close()

    def params(self) -> dict[str, Tensor]:
        """The trainable parameters by name."""
        return {name: value for name, value in self.model.named_parameters() if value.requires_grad}

    def keep(self, batch: Batch) -> Rows:
        """Rows of the batch here, with their graph, which the next evaluation of the same batch here uses again.

        For a part that needs them before the step: the model then runs once, and BatchNorm counts the batch once. Whoever
        goes backward through them first has to retain the graph.
        """
        self._kept = None
        self._kept = batch, self.rows(batch)
        return self._kept[1]

    def forget(self, batch: Batch) -> bool:
        """Drop what was kept of a batch; was there something, so that BatchNorm has counted the batch already?"""
        was_kept = self._kept is not None and self._kept[0] is batch
        self._kept = None
        return was_kept

    def rows(self, batch: Batch, *, at: Params | None = None, probe: bool = False) -> Rows:
        """The model's rows for a batch; arguments as in `__call__`."""
        if self._kept is not None and self._kept[0] is batch and at is None and not probe:
            kept, self._kept = self._kept[1], None
            return kept
        with self.autocast():
            if at is None and not probe:
                rows: Rows = self._scorer(batch)
            else:
                state = {f"model.{name}": value.clone() for name, value in self.model.named_buffers()}
                state |= {f"model.{name}": value for name, value in (at or {}).items()}
                rows = functional_call(self._scorer, state, (batch,))
        features = self._tap.take()
        if rows.features is None and features is not None and features.ndim == 2:
            if batch.owner is not None:
                features = features[batch.owner]
            rows = dataclasses.replace(rows, features=features)
        return rows

    def __call__(
        self,
        batch: Batch,
        *,
        at: Params | None = None,
        weights: Tensor | float | None = None,
        probe: bool = False,
        through_weights: bool = False,
    ) -> Evaluation:
        """Evaluate the objective.

        Args:
            batch: what to evaluate on.
            at: parameters by name to evaluate at (others stay); implies `probe`.
            weights: use these `[N]` instead of asking the weighting; 1.0 for unweighted.
            probe: work on copies of the buffers, so that BatchNorm statistics stay as they are.
            through_weights: keep the graph from weights to the weighting's parameters.
        """
        rows = self.rows(batch, at=at, probe=probe)
        evaluation: Evaluation = self.objective(rows, self.clock, weights=weights, through_weights=through_weights)
        return evaluation

    def autocast(self) -> AbstractContextManager[Any]:
        """The precision of the model's forward pass, for a part that runs a model itself."""
        if self._precision == "bfloat16":
            return torch.autocast(self.device.type, dtype=torch.bfloat16)
        return nullcontext()
