"""From whatever a user has to a task."""

from __future__ import annotations

import importlib
import os
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from steelyard.core.errors import ArgumentError, DataError, UnknownName, nearest
from steelyard.core.task import Source, Task
from steelyard.data.encoded import DecodedOnDemand, decode
from steelyard.data.encoder import refuse_infinite, refuse_missing
from steelyard.data.memory import check_array, is_frame, read_memory
from steelyard.data.raw import Part, Raw
from steelyard.data.read import read_path, with_split
from steelyard.data.resident import ResidentSource
from steelyard.data.scale import is_resident
from steelyard.data.streamed import ArrayRows, StreamedSource
from steelyard.data.tabular import drop_columns, giveaways, identifiers
from steelyard.problems._arrange import Arranged, arrange
from steelyard.problems._catalogue import names
from steelyard.problems._kinds import maker
from steelyard.problems._model import model_of, with_own_model
from steelyard.problems._partition import Partition, partition_of, shared_groups, without_column
from steelyard.problems._settings import ProblemSettings
from steelyard.tasks import ArrayTask, ImageTask, TableTask
from steelyard.tasks.about import ModelledTask


def load(data: Any, settings: ProblemSettings | None = None, **changes: Any) -> Task:
    """Make a task of data.

    Args:
        data: the name of a built-in problem ("digits"); `module:function` of your own that returns a task or data; a path (see
            `steelyard.data.read.read_path`); (X, y); a pandas DataFrame with a target column; a torch Dataset; a mapping from
            "train", "valid", "test" to one of these; or a task, which is returned as it is.
        settings: how the data become a problem; None for the defaults.
        **changes: single settings, by the names of `ProblemSettings`.

    Raises:
        SteelyardError: anything that keeps the data from being learnt from, in one sentence.

    Example:
        >>> task = load("blobs", factor=10)
        >>> task.num_classes, sorted(task.splits)
        (4, ['test', 'train', 'valid'])
    """
    settings = with_own_model((settings or ProblemSettings()).replace(**changes))
    if isinstance(data, Task):
        if settings != ProblemSettings():
            raise ArgumentError("settings", "none, as the data are a task, which has its own splits and model", "some")
        return data
    make = maker(settings.task)
    if make is not None:
        return make(data, settings)
    if isinstance(data, Raw):
        return assemble(data, settings)
    if isinstance(data, str):
        function = _function_named(data)
        if function is not None:
            made = function(settings)
            return made if isinstance(made, Task) else load(made, settings)
    return assemble(_read(data, settings), settings)


def _with_test(raw: Raw, settings: ProblemSettings) -> Raw:
    """The data with the separate test rows that the settings name."""
    if settings.test is None:
        return raw
    if isinstance(settings.test, str) and not Path(settings.test).exists():
        raise DataError(f"there is no file or folder {settings.test} to take test rows from")
    test = _read(settings.test, settings, like=raw)
    if "test" in test.parts:  # a folder with its own splits: its test rows are meant
        test = replace(test, parts={"train": test.parts["test"]})
    return with_split(raw, test, "test")


def assemble(raw: Raw, settings: ProblemSettings) -> Task:
    """Split raw data and build the task for its kind.

    Raises:
        SteelyardError: the data cannot be learnt from.
    """
    raw = _as_kind(_with_test(raw, settings), settings.task)
    partition = partition_of(raw, settings.split, settings.seed)
    raw = prepared(raw, settings, partition)
    if settings.target is not None and settings.target != raw.target and f"'{settings.target}'" not in raw.target:
        unused = f"the target '{settings.target}' was not looked for, as these data come with their labels"
        raw = replace(raw, notes=(*raw.notes, unused))
    arranged = arrange(raw, settings, partition)
    task = built(raw, arranged, settings)
    task.facts, task.noise_transition = dict(arranged.facts), arranged.transition
    return task


def prepared(raw: Raw, settings: ProblemSettings, partition: Partition | None = None) -> Raw:
    """Raw data without columns that are no features, and with nothing that their kind has no use for.

    Raises:
        SteelyardError: a setting, a column or a value that cannot be used.
    """
    partition = partition or Partition(seed=settings.seed)
    if raw.kind == "tables":
        raw = replace(without_column(raw, partition), notes=(*raw.notes, *shared_groups(raw, partition)))
        gone = () if partition.rule == "keep-time" else (partition.column,)
        raw = _without_columns(raw, settings.replace(drop=tuple(name for name in settings.drop if name not in gone)))
    elif settings.drop:
        raise ArgumentError("drop", "empty, as the data are no table", ", ".join(settings.drop))
    elif settings.missing != "error":
        raise ArgumentError("missing", "left out, as the data are no table", repr(settings.missing))
    if raw.kind != "images" and settings.resize is not None:
        raise ArgumentError("resize", "left out, as the data are no images", settings.resize)
    return raw


def built(raw: Raw, arranged: Arranged, settings: ProblemSettings) -> ModelledTask:
    """The task of prepared data whose rows have been arranged."""
    build = {"images": _images, "tables": _tables, "arrays": _arrays}[raw.kind]
    return build(raw, arranged, settings)


def read_raw(data: Any, settings: ProblemSettings) -> Raw:
    """The data as read, with the separate test rows that the settings name.

    Raises:
        SteelyardError: anything that keeps the data from being read, in one sentence.
    """
    if isinstance(data, str):
        function = _function_named(data)
        if function is not None:
            data = function(settings)
    if isinstance(data, Task):
        raise ArgumentError("data", "data that a task can be made of, for this kind of task", "a task")
    return _with_test(data if isinstance(data, Raw) else _read(data, settings), settings)


def _read(data: Any, settings: ProblemSettings, like: Raw | None = None) -> Raw:
    """The data as read; files of tables as those of `like` are."""
    if isinstance(data, str | os.PathLike):
        path = Path(data)
        if isinstance(data, str) and not path.exists():
            _refuse_unknown(data, path)
        known = like.columns if like is not None and like.columns else None
        return read_path(path, settings.target, settings.task, drop=settings.drop, like=known)
    return read_memory(data, settings.target)


def _function_named(name: str) -> Callable[[ProblemSettings], Any] | None:
    """The function of a built-in problem, or of the user's own code; None for a path."""
    if name in names():
        module = name.replace("-", "_")
        function: Callable[[ProblemSettings], Any] = getattr(importlib.import_module(f"steelyard.problems.{module}"), module)
        return function
    left, colon, right = name.partition(":")
    if colon and right.isidentifier() and all(part.isidentifier() for part in left.split(".")) and not Path(name).exists():
        from steelyard.settings.names import resolve

        own = resolve("problem", name)
        return lambda settings: own()
    return None


def _refuse_unknown(name: str, path: Path) -> None:
    if path.suffix or len(path.parts) > 1:
        raise DataError(f"there is no file or folder {name}")
    if nearest(name, names()):
        raise UnknownName("data set", name, names())
    raise DataError(f"'{name}' is neither a file or folder nor a built-in data set ({', '.join(names())})")


def _as_kind(raw: Raw, task: str) -> Raw:
    """The data as the kind that was asked for, where that is possible."""
    if task in ("auto", raw.kind):
        return raw
    inputs = {split: part.inputs for split, part in raw.parts.items()}
    arrays = all(isinstance(values, np.ndarray | Tensor) for values in inputs.values())
    if not arrays:
        raise ArgumentError("task", f"'auto' or '{raw.kind}' for these data", repr(task))
    if task == "tables":
        inputs = {split: values.reshape(len(values), -1) for split, values in inputs.items()}
    if task == "images" and any(values.ndim not in (3, 4) for values in inputs.values()):
        raise ArgumentError(
            "task", f"'auto' or '{raw.kind}', as images are [N, H, W], [N, C, H, W] or [N, H, W, C]", "'images'"
        )
    return replace(raw, kind=task, parts={split: replace(part, inputs=inputs[split]) for split, part in raw.parts.items()})


def _without_columns(raw: Raw, settings: ProblemSettings) -> Raw:
    """The table without dropped and identifier-like columns, with values checked on all rows."""
    frames = {split: _frame(part.inputs) for split, part in raw.parts.items()}
    for split, frame in frames.items():
        refuse = [name for name in settings.drop if split == "train" or name in frame.columns]
        frames[split] = drop_columns(frame, refuse, settings.target)
    found = identifiers(frames["train"])
    notes = [f"column '{name}' was left out: {why}" for name, why in found.items()]
    features = [name for name in frames["train"].columns if name not in found]
    if not features:
        raise DataError(f"no feature columns are left to learn from beside {raw.target}")
    for split, frame in frames.items():
        absent = [name for name in features if name not in frame.columns]
        if absent:
            raise DataError(f"the {split} rows have no column '{absent[0]}', which the training rows have")
        frames[split] = frame[features]
        refuse_infinite(frames[split], split)
        if settings.missing == "error":
            refuse_missing(frames[split], split)
    parts = {split: replace(part, inputs=frames[split]) for split, part in raw.parts.items()}
    return replace(raw, parts=parts, notes=(*raw.notes, *notes))


def _frame(inputs: Any) -> Any:
    import pandas as pd

    if is_frame(inputs):
        return inputs
    values = inputs.cpu().numpy() if isinstance(inputs, Tensor) else inputs
    if values.dtype.kind not in "biuf":
        raise DataError(f"X should hold numbers; found dtype {values.dtype}")
    return pd.DataFrame(values, columns=[f"x{i}" for i in range(values.shape[1])])


def _tables(raw: Raw, arranged: Arranged, settings: ProblemSettings) -> TableTask:
    frames = {split: raw.parts[part].inputs.iloc[arranged.rows[split].numpy()] for split, part in arranged.part.items()}
    notes = [
        f"column '{name}' tells the class exactly, so every method will look perfect: leave it out with --drop {name} "
        "unless it is known before the class is"
        for name in giveaways(frames["train"], arranged.target["train"].numpy())
    ]
    return TableTask.of(
        raw.name,
        arranged.class_names,
        frames,
        arranged.target,
        missing=settings.missing,
        residence=settings.residence,
        notes=(*arranged.notes, *notes),
        **model_of(settings),
    )


def _images(raw: Raw, arranged: Arranged, settings: ProblemSettings) -> ImageTask:
    if isinstance(raw.parts["train"].inputs, np.ndarray | Tensor):
        if settings.resize is not None:
            raise ArgumentError("resize", "none, as these images are arrays and of one size already", settings.resize)
        parts = {split: replace(part, inputs=_channels_first(part.inputs, split)) for split, part in raw.parts.items()}
        splits = _array_sources(parts, arranged, settings)
    else:
        splits = _encoded_sources(raw.parts, arranged, settings)
    return ImageTask(raw.name, arranged.class_names, splits, notes=arranged.notes, **model_of(settings))


def _arrays(raw: Raw, arranged: Arranged, settings: ProblemSettings) -> ArrayTask:
    for split, part in raw.parts.items():
        values = part.inputs if isinstance(part.inputs, Mapping) else {"X": part.inputs}
        for name, array in values.items():
            if isinstance(array, np.ndarray | Tensor):
                check_array(array, f"{name} of the {split} rows")
    splits = _array_sources(raw.parts, arranged, settings)
    return ArrayTask(raw.name, arranged.class_names, splits, notes=arranged.notes, **model_of(settings))


def _array_sources(parts: Mapping[str, Part], arranged: Arranged, settings: ProblemSettings) -> dict[str, Source]:
    """Sources of arrays, tensors, mappings of tensors, and datasets."""
    shapes = {split: _row_shapes(held.inputs) for split, held in parts.items()}
    for split, shape in shapes.items():
        if shape != shapes["train"]:
            raise DataError(
                f"inputs of {split} rows have shape {shape} and those of training rows {shapes['train']}: they should be alike"
            )
    size = sum(_row_bytes(parts[part].inputs) * len(arranged.rows[split]) for split, part in arranged.part.items())
    splits: dict[str, Source] = {}
    for split, part in arranged.part.items():
        inputs, rows, target = parts[part].inputs, arranged.rows[split], arranged.target[split]
        if isinstance(inputs, Dataset):
            splits[split] = StreamedSource(inputs, target, rows=rows, workers=settings.workers, seed=settings.seed)
        elif is_resident(size, settings.residence):
            splits[split] = ResidentSource(_take(inputs, rows), target)
        else:
            splits[split] = StreamedSource(ArrayRows(inputs), target, rows=rows, workers=settings.workers)
    return splits


def _encoded_sources(parts: Mapping[str, Part], arranged: Arranged, settings: ProblemSettings) -> dict[str, Source]:
    """Sources of encoded images: all decoded now, or each when it is needed."""
    train = parts["train"].inputs
    sample = decode(train, arranged.rows["train"][:256].tolist(), size=settings.resize)
    rows = sum(len(chosen) for chosen in arranged.rows.values())
    if is_resident(sample.pixels[0].nbytes * rows, settings.residence):
        decoded = {
            split: decode(parts[part].inputs, arranged.rows[split].tolist(), size=settings.resize)
            for split, part in arranged.part.items()
        }
        _refuse_sizes({split: tuple(images.pixels.shape[2:]) for split, images in decoded.items()})
        channels = 1 if all(images.grey for images in decoded.values()) else 3
        return {
            split: ResidentSource(images.pixels[:, :channels].contiguous(), arranged.target[split])
            for split, images in decoded.items()
        }
    return {
        split: StreamedSource(
            DecodedOnDemand(parts[part].inputs, size=settings.resize, grey=sample.grey),
            arranged.target[split],
            rows=arranged.rows[split],
            workers=settings.workers,
        )
        for split, part in arranged.part.items()
    }


def _refuse_sizes(sizes: Mapping[str, tuple[int, ...]]) -> None:
    for split, size in sizes.items():
        if size != sizes["train"]:
            raise DataError(
                f"the {split} images are {size[1]}x{size[0]} and the training images {sizes['train'][1]}x{sizes['train'][0]} "
                "pixels: make them one size with --resize PIXELS (in Python resize=...)"
            )


def _channels_first(images: Any, split: str) -> Tensor:
    """Images as a tensor `[N, C, H, W]`, uint8 or floats in [0, 1]."""
    check_array(images, f"the {split} images")
    values = torch.as_tensor(images)
    if 0 in values.shape:
        raise DataError(f"the {split} images have no pixels (shape {list(values.shape)})")
    if values.ndim == 3:
        values = values.unsqueeze(1)
    if values.shape[1] not in (1, 3) and values.shape[3] in (1, 3):
        values = values.permute(0, 3, 1, 2)
    if values.dtype == torch.uint8:
        return values
    values = values.float()
    low, high = float(values.min()), float(values.max())
    if low < 0 or high > 1:
        raise DataError(f"the {split} images should be uint8, or floats in [0, 1]; found values from {low:g} to {high:g}")
    return values


def _take(inputs: Any, rows: Tensor) -> Any:
    if isinstance(inputs, Mapping):
        return {name: _take(values, rows) for name, values in inputs.items()}
    if isinstance(inputs, Tensor):
        return _single(inputs[rows.to(inputs.device)])
    return _single(torch.from_numpy(np.ascontiguousarray(inputs[rows.numpy()])))


def _single(values: Tensor) -> Tensor:
    """Doubles as float32, in which models are; truth values as numbers; integers as torch knows them well."""
    if values.dtype in (torch.uint16, torch.uint32, torch.uint64):  # of which torch can do little
        return values.to(torch.int64)
    return values.float() if values.dtype in (torch.float64, torch.float16, torch.bool) else values


def _row_shapes(inputs: Any) -> Any:
    """Shape of a row `[...]`, or of each part of one; of a dataset nothing is known."""
    if isinstance(inputs, Mapping):
        return {str(name): _row_shapes(values) for name, values in inputs.items()}
    return None if isinstance(inputs, Dataset) else list(inputs.shape[1:])


def _row_bytes(inputs: Any) -> int:
    if isinstance(inputs, Mapping):
        return sum(_row_bytes(values) for values in inputs.values())
    return 0 if isinstance(inputs, Dataset) else int(inputs[:1].nbytes)
