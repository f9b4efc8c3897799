"""Tables: numeric columns standardised, categorical columns numbered, both from training rows alone."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from torch import Tensor

from steelyard.core.task import Source
from steelyard.data.encoder import TableEncoder
from steelyard.data.raw import Frame
from steelyard.data.resident import ResidentSource
from steelyard.data.scale import is_resident
from steelyard.data.streamed import ArrayRows, StreamedSource
from steelyard.tasks.about import ModelledTask
from steelyard.tasks.models import Model, builder


class TableTask(ModelledTask):
    """Rows of a table, encoded; `TableTask.of` makes one of tables.

    Inputs are `[N, F]` float32; with categorical columns {"numeric": `[N, F]`, "categorical": `[N, K]`} for "mlp" and
    "table-net", and `[N, F + one 0/1 column a category]` for every other model.

    Args:
        name: shown in tables.
        class_names: labels of class 0, 1, ...
        splits: sources of encoded rows; "train", and where they exist "valid" and "test".
        encoder: what turned the tables into inputs, as fitted on the training rows.
        model: a name, a module, or a function that makes one (see `builder`); "auto" is the MLP.
        model_settings: further arguments for a model by name.
        notes: sentences about the data.

    Attributes:
        encoder: as given.

    Example:
        >>> import pandas as pd, torch
        >>> frame = pd.DataFrame({"age": [20, 30, 40, 50], "city": ["a", "b", "a", "a"]})
        >>> task = TableTask.of("people", ["no", "yes"], {"train": frame}, {"train": torch.tensor([0, 1, 0, 0])})
        >>> task.features, sorted(task.splits["train"].inputs)
        ('1 numeric and 1 categorical columns', ['categorical', 'numeric'])
    """

    usual_regime = "tables"

    def __init__(
        self,
        name: str,
        class_names: Iterable[str],
        splits: Mapping[str, Source],
        encoder: TableEncoder,
        *,
        model: Model = "auto",
        model_settings: Mapping[str, Any] | None = None,
        notes: Iterable[str] = (),
    ) -> None:
        names = tuple(class_names)
        self.encoder, self._onehot = encoder, not embeds_categories(model)
        build = builder(
            "mlp" if isinstance(model, str) and model == "auto" else model,
            num_classes=len(names),
            input_shape=(encoder.width + (sum(encoder.cardinalities) if self._onehot else 0),),
            cardinalities=() if self._onehot else encoder.cardinalities,
            settings=model_settings,
        )
        numeric, categorical = len(encoder.numeric), len(encoder.categorical)
        words = f"{numeric} numeric and {categorical} categorical columns" if categorical else f"{numeric} numeric columns"
        super().__init__(name, names, splits, build, kind="tables", features=words, notes=(*notes, *encoder.notes))

    @classmethod
    def of(
        cls,
        name: str,
        class_names: Iterable[str],
        frames: Mapping[str, Frame],
        targets: Mapping[str, Tensor],
        *,
        missing: str = "error",
        residence: str = "auto",
        model: Model = "auto",
        **rest: Any,
    ) -> TableTask:
        """The task of tables, with an encoder that is fitted on their training rows; of dates it takes all parts that vary.

        Args:
            name: shown in tables.
            class_names: labels of class 0, 1, ...
            frames: features by split: "train", and where they exist "valid" and "test".
            targets: classes `[N]` by split.
            missing: "error", or "median" for filling in the training median (see `TableEncoder.fit`).
            residence: "auto", "resident" or "streamed" (see `steelyard.data.is_resident`).
            model: a name, a module, or a function that makes one; "auto" is the MLP.
            rest: as for the class: `model_settings`, `notes`.

        Raises:
            DataError: missing or infinite values, or columns that cannot be used.
        """
        encoder = TableEncoder.fit(frames["train"], missing=missing, dates="parts")
        onehot = not embeds_categories(model)
        encoded = {split: encoder.encode(frame, onehot=onehot) for split, frame in frames.items()}
        size = sum(_bytes(inputs) for inputs in encoded.values())
        splits: dict[str, Source] = {
            split: ResidentSource(inputs, targets[split])
            if is_resident(size, residence)
            else StreamedSource(ArrayRows(inputs), targets[split])
            for split, inputs in encoded.items()
        }
        return cls(name, class_names, splits, encoder, model=model, **rest)

    def encode(self, frame: Frame) -> Tensor | Mapping[str, Tensor]:
        """Inputs for rows of the same columns, new ones too; other columns are ignored.

        Raises:
            DataError: a column is missing, or has values that cannot be used.
        """
        return self.encoder.encode(frame, onehot=self._onehot)


def embeds_categories(model: Model) -> bool:
    """Does the model take categories by their numbers ("mlp" and "table-net", which embed them) rather than as 0/1 columns?"""
    return isinstance(model, str) and model in ("auto", "mlp", "table-net")


def _bytes(inputs: Tensor | Mapping[str, Tensor]) -> int:
    values = [inputs] if isinstance(inputs, Tensor) else list(inputs.values())
    return sum(value.nbytes for value in values)
