"""An encoded table with its split and its row weights, and the task that methods see of it."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import torch
from torch import Tensor

from steelyard.core.rows import Batch
from steelyard.core.task import Part, Source
from steelyard.data.encoder import TableEncoder
from steelyard.data.resident import ResidentSource
from steelyard.estimator.splitting import Split
from steelyard.tasks.models import Model
from steelyard.tasks.tables import TableTask

Inputs: TypeAlias = "Tensor | Mapping[str, Tensor]"
ROW = "row"
"""Name under which an input carries its row number, by which its weight is found whoever draws it."""


@dataclass(frozen=True)
class Table:
    """Encoded rows, ready to be learnt from.

    Attributes:
        encoder: what encoded them.
        inputs: `[N, ...]`, all rows.
        target: classes `[N]`.
        class_names: labels as text `[C]`.
        split: which rows are learnt from.
        weights: of the rows `[N]` float64; None where all count the same.
        model: as for `TableTask`.
        settings: of a model by name.
    """

    encoder: TableEncoder
    inputs: Inputs
    target: Tensor
    class_names: tuple[str, ...]
    split: Split
    weights: Tensor | None
    model: Model
    settings: Mapping[str, Any]

    def task(self) -> TableTask:
        """The rows to learn from as "train", and held-out rows as "valid"."""
        train, valid = self.split.train, self.split.valid
        splits = {"train": ResidentSource(self._given(train, numbered=self.weights is not None), self.target[train])}
        if len(valid):
            splits["valid"] = ResidentSource(self._given(valid, numbered=False), self.target[valid])
        rest: dict[str, Any] = {"model": self.model, "model_settings": self.settings}
        if self.weights is None:
            return TableTask("table", self.class_names, splits, self.encoder, **rest)
        return WeightedTable("table", self.class_names, splits, self.encoder, weights=self.weights[train], **rest)

    def inputs_of(self, rows: Tensor) -> Inputs:
        """Inputs of some rows."""
        return self._given(rows, numbered=False)

    def thinned(self, most: int, seed: int) -> Table:
        """About `most` rows of each kind (to learn from, to judge by), drawn by class; the whole where there are fewer."""
        return dataclasses.replace(self, split=self.split.thinned(self.target, most, seed))

    def class_mass(self, rows: Tensor) -> np.ndarray:
        """Weight of the rows of each class `[C]` float64."""
        weights = None if self.weights is None else self.weights[rows].numpy()
        return np.bincount(self.target[rows].numpy(), weights=weights, minlength=len(self.class_names)).astype(np.float64)

    def _given(self, rows: Tensor, *, numbered: bool) -> Inputs:
        inputs = self.inputs
        whole = len(rows) == len(self.target)  # row numbers are ascending, so these are all of them
        if isinstance(inputs, Tensor):
            taken = inputs if whole else inputs[rows]
            return {"numeric": taken, ROW: torch.arange(len(rows))} if numbered else taken
        found = {name: values if whole else values[rows] for name, values in inputs.items()}
        return found | {ROW: torch.arange(len(rows))} if numbered else found


class WeightedTable(TableTask):
    """A table whose training rows may count differently: a row's share in a batch is its weight.

    A row of weight 2 counts in the loss as if it were there twice. `counts` are sums of weights, rounded; where weights are not
    whole numbers, they are first scaled to mean 1.

    Args:
        name: as for `TableTask`.
        class_names: as for `TableTask`.
        splits: training inputs carry their row number under `ROW` where there are weights.
        encoder: as for `TableTask`.
        weights: of the training rows `[N]`, above 0.
        rest: `model`, `model_settings`, `notes`.
    """

    def __init__(
        self,
        name: str,
        class_names: Iterable[str],
        splits: Mapping[str, Source],
        encoder: TableEncoder,
        *,
        weights: Tensor,
        **rest: Any,
    ) -> None:
        super().__init__(name, class_names, splits, encoder, **rest)
        whole = bool((weights == weights.round()).all())
        self._mass = weights if whole else weights / weights.mean()
        self._shares = (weights / weights.mean()).float()

    @property
    def counts(self) -> Tensor:
        """Training rows per class `[C]`, by weight."""
        source = self.splits["train"]
        mass = torch.bincount(source.target, weights=self._mass[_rows_of(source)], minlength=self.num_classes)
        seen = torch.bincount(source.target, minlength=self.num_classes).clamp_max(1)
        return torch.maximum(mass.round().to(torch.int64), seen)

    def prepared(self, batch: Batch) -> Batch:
        """A batch without row numbers, whose rows count by their weights."""
        if not isinstance(batch.inputs, Mapping) or ROW not in batch.inputs:
            return batch
        inputs = {name: values for name, values in batch.inputs.items() if name != ROW}
        number = batch.inputs[ROW] if batch.owner is None else self._mixed(batch)
        share = self._shares.to(number.device)[number]
        bare = inputs["numeric"] if list(inputs) == ["numeric"] else inputs
        return batch.replace(inputs=bare, share=share if batch.share is None else share * batch.share)

    def _mixed(self, batch: Batch) -> Tensor:
        """Row numbers of mixed rows: an input stands for several, so they are found by their place in the training split."""
        return _rows_of(self.splits["train"]).to(batch.index.device)[batch.index]


def _rows_of(source: Source) -> Tensor:
    """Row numbers of a source, or of a part of one."""
    return _rows_of(source.whole)[source.rows] if isinstance(source, Part) else torch.arange(len(source))
