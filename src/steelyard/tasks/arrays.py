"""Any model on tensors, mappings of tensors, or torch datasets: inputs reach the model as they are."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import torch

from steelyard.core.errors import ArgumentError
from steelyard.core.task import Source
from steelyard.tasks.about import ModelledTask
from steelyard.tasks.models import Model, builder


class ArrayTask(ModelledTask):
    """Rows whose inputs need no preparation.

    Args:
        name: shown in tables.
        class_names: labels of class 0, 1, ...
        splits: sources; "train", and where they exist "valid" and "test".
        model: a module or a function that makes one (see `builder`); "auto" and names work for inputs `[N, d]`, which go to an
            MLP, and, by name, for inputs `[N, C, H, W]`.
        notes: sentences about the data.

    Raises:
        ArgumentError: "auto" for inputs for which there is no usual model.

    Example:
        >>> import torch
        >>> from steelyard.data import ResidentSource
        >>> source = ResidentSource(torch.zeros(4, 5), torch.tensor([0, 1, 1, 1]))
        >>> ArrayTask("mine", ["no", "yes"], {"train": source}, model=torch.nn.Linear(5, 2)).describe()["counts"]
        {'train': [1, 3]}
    """

    def __init__(
        self,
        name: str,
        class_names: Iterable[str],
        splits: Mapping[str, Source],
        *,
        model: Model = "auto",
        model_settings: Mapping[str, Any] | None = None,
        notes: Iterable[str] = (),
    ) -> None:
        names = tuple(class_names)
        shape = shape_of(splits["train"]) if "train" in splits else ()
        if isinstance(model, str) and model == "auto":
            if len(shape) != 1:
                found = f"inputs of shape {['N', *shape]}" if shape else "inputs of no fixed shape"
                images = ", unless they are images (--task images)" if len(shape) in (2, 3) else ""
                expected = f"a torch.nn.Module or a function that makes one, for such inputs{images}"
                raise ArgumentError("model", expected, f"'auto' for {found}")
            model = "mlp"
        build = builder(model, num_classes=len(names), input_shape=shape, settings=model_settings)
        words = "x".join(str(size) for size in shape) + " numbers" if shape else "as the dataset gives them"
        super().__init__(name, names, splits, build, kind="arrays", features=words, notes=notes)
        self._ours = isinstance(model, str)

    def load(self, inputs: Any, *, augment: str, generator: torch.Generator | None) -> Any:
        """Inputs as they are; whole numbers as float32 for a model by name, which takes nothing else."""
        loaded = super().load(inputs, augment=augment, generator=generator)
        if self._ours and isinstance(loaded, torch.Tensor) and not loaded.is_floating_point():
            return loaded.float()
        return loaded


def shape_of(source: Source) -> tuple[int, ...]:
    """Shape of one input, read from the first row; () where inputs are several tensors or none."""
    for _, inputs in source.stream([torch.zeros(1, dtype=torch.int64)]):
        if isinstance(inputs, torch.Tensor):
            return tuple(inputs.shape[1:])
    return ()
