"""Examples with several labels each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from steelyard.core.errors import ArgumentError, DataError, UnknownName
from steelyard.core.seeds import derive
from steelyard.core.task import Task
from steelyard.data.encoded import ImageFiles
from steelyard.data.files import IMAGE_SUFFIXES, TABLE_SUFFIXES, list_folder, require_file, suffix_of
from steelyard.data.label_sets import WAYS, check_labels, indicator, label_columns, lists
from steelyard.data.memory import as_array, is_frame, read_memory
from steelyard.data.raw import SPLIT_NAMES, SPLITS, Part, Raw
from steelyard.data.stratify import stratify
from steelyard.data.table_file import TableFile
from steelyard.data.tabular import read_table, tidy
from steelyard.problems._settings import ProblemSettings
from steelyard.tasks.multi_label import MultiLabelTask, example_classes
from steelyard.tasks.multi_label.sources import label_counts
from steelyard.tasks.multi_label.task import class_names

USED = (
    "target", "test", "valid_fraction", "test_fraction", "seed", "drop", "missing", "model", "model_settings", "resize",
    "max_rows", "residence", "workers",
)  # fmt: skip
FEWEST = 4
"""Examples from which something can be learnt and judged at all."""


@dataclass(frozen=True)
class Labelled:
    """Data whose labels have been taken out.

    Attributes:
        raw: the rest.
        labels: `[N, L]` by part, NaN where not known.
        names: of the labels.
    """

    raw: Raw
    labels: Mapping[str, Tensor]
    names: tuple[str, ...]


def multi_label(
    data: Any, settings: ProblemSettings, *, labels: str = "", prefix: str = "", separator: str = "", images: str = ""
) -> Task:
    """Examples with several labels each: columns of 0 and 1, a column of lists, or an array Y [N, L].

    The data are a table (a row an example), an `.npz` with X and Y `[N, L]`, (X, Y) in Python, or a folder of images with a
    table of their labels. A label is 1 where it is present, 0 where it is absent, and empty (NaN) where that is not known.
    Held-out examples are cut by iterative stratification.

    Args:
        data: a path, (X, Y), a DataFrame, or a mapping from "train", "valid" and "test" to one of these.
        settings: how the data become a problem; `target` names a column of lists ("cat;dog"), instead of label columns.
        labels: the label columns, `a;b;c`; with `target` all labels that there are; for an array their names.
        prefix: what the label columns begin with, instead of their names.
        separator: between the labels of a list; by default the first of `;`, `|`, `,` and blank that occurs.
        images: the data are a folder with images and one table, of which this is the column of file names.

    Raises:
        SteelyardError: labels other than 0 and 1, a label without positive or negative training examples, and anything else
            that keeps the data from being learnt from.

    Reference:
        Sechidis, Tsoumakas, Vlahavas: On the stratification of multi-label data, ECML PKDD 2011 (the splits).
    """
    settings.refuse_others("multi-label data", USED)
    named = tuple(name.strip() for name in labels.split(";") if name.strip())
    if separator and settings.target is None:
        raise ArgumentError("separator", "given with --target, the column of lists", repr(separator))
    if images:
        return _task(_of_images(data, settings, images, named, prefix, separator), settings)
    _refuse_pictures(data)
    if _is_arrays(data):
        found = _of_arrays(data, settings, named, prefix)
    else:
        found = _of_file(data, settings, named, prefix, separator)
    return _task(found, settings)


def _is_arrays(data: Any) -> bool:
    """Is this (X, Y), or a mapping to such?"""
    first = next(iter(data.values()), None) if isinstance(data, Mapping) else data
    return isinstance(first, tuple | list) and len(first) == 2 and not isinstance(first[0], str)


def _of_arrays(data: Any, settings: ProblemSettings, named: tuple[str, ...], prefix: str) -> Labelled:
    """(X, Y) in memory."""
    if settings.target is not None or prefix:
        raise ArgumentError("target", "left out, as Y is given", repr(settings.target or prefix))
    given = data if isinstance(data, Mapping) else {"train": data}
    bare = {split: (X, np.zeros(len(Y), dtype=np.int64)) for split, (X, Y) in given.items()}
    raw = read_memory(bare if isinstance(data, Mapping) else bare["train"])
    if settings.test is not None:
        raise ArgumentError("test", "left out for arrays: give {'train': (X, Y), 'test': (X, Y)}", type(settings.test).__name__)
    values = {SPLIT_NAMES[str(split).lower()]: Y for split, (_, Y) in given.items()}
    columns = [str(name) for name in values["train"].columns] if is_frame(values["train"]) else []
    return _with_arrays(raw, values, named or tuple(columns))


def _with_arrays(raw: Raw, values: Mapping[str, Any], named: tuple[str, ...]) -> Labelled:
    arrays = {split: as_array(Y) if np.ndim(Y) == 2 else np.asarray(Y) for split, Y in values.items()}
    width = arrays["train"].shape[1] if arrays["train"].ndim == 2 else 0
    if width == 0:
        raise DataError(
            f"Y should be 0 and 1 of shape [N, L], a column a label; found shape {list(arrays['train'].shape)}: for one class "
            "an example use --task auto"
        )
    if named and len(named) != width:
        raise ArgumentError("labels", f"a name for each of the {width} columns of Y", f"{len(named)} names")
    names = named or tuple(f"label {number}" for number in range(width))
    labels = {split: indicator(Y, names, f"Y of the {split} examples") for split, Y in arrays.items()}
    return Labelled(raw, labels, names)


def _of_file(data: Any, settings: ProblemSettings, named: tuple[str, ...], prefix: str, separator: str) -> Labelled:
    """A file, a folder of files, or DataFrames."""
    from steelyard.problems._load import read_raw

    target = settings.target or (named[0] if named else _first_label(data, prefix) if prefix else None)
    if target is None and _is_table(data):
        raise ArgumentError("labels", WAYS, "neither")
    raw = read_raw(data, settings.replace(target=target) if target is not None else settings)
    if not is_frame(raw.parts["train"].inputs):
        if prefix or settings.target is not None:
            raise ArgumentError("prefix" if prefix else "target", "left out, as the data have no named columns", prefix)
        return _with_arrays(raw, {split: part.labels for split, part in raw.parts.items()}, named)
    frames = {split: _whole(part, target) for split, part in raw.parts.items()}
    frames, labels, names = _split_off(frames, settings, named, prefix, separator)
    parts = {split: Part(frame, np.zeros(len(frame), dtype=np.int64)) for split, frame in frames.items()}
    return Labelled(replace(raw, parts=parts, target="the labels"), labels, names)


def _is_table(data: Any) -> bool:
    """Is this a table, in memory or in a file, or a folder of such?"""
    if isinstance(data, Mapping) or is_frame(data):
        return is_frame(data) or any(is_frame(own) for own in data.values())
    path = Path(data) if isinstance(data, str | Path) else None
    if path is not None and path.is_dir():
        return any(suffix_of(entry) in TABLE_SUFFIXES for entry in list_folder(path))
    return path is not None and path.is_file() and suffix_of(path) in TABLE_SUFFIXES


def _first_label(data: Any, prefix: str) -> str:
    """The first label column, found out before the data are read."""
    if isinstance(data, Mapping) or is_frame(data):
        frame = next(iter(data.values())) if isinstance(data, Mapping) else data
        return label_columns(frame, (), prefix)[0]
    path = Path(data)
    if path.is_dir():
        tables = [entry for entry in list_folder(path) if suffix_of(entry) in TABLE_SUFFIXES]
        trains = [entry for entry in tables if SPLIT_NAMES.get(entry.name.split(".")[0].lower()) == "train"]
        path = (trains or tables or [path])[0]
    columns = TableFile(require_file(path), like={}).columns
    found = next((name for name in columns if name.startswith(prefix)), None)
    if found is None:
        raise DataError(f"no column begins with '{prefix}'; the columns are: {', '.join(columns[:12])}")
    return found


def _whole(part: Part, target: str | None) -> Any:
    """The table with the column that was taken for the target back in it, the first."""
    if target is None:
        return part.inputs
    frame = part.inputs.copy()
    frame.insert(0, target, part.labels)
    return frame


def _split_off(
    frames: Mapping[str, Any], settings: ProblemSettings, named: tuple[str, ...], prefix: str, separator: str
) -> tuple[dict[str, Any], dict[str, Tensor], tuple[str, ...]]:
    """Tables without their labels, and the labels."""
    target = settings.target
    if target is not None:
        if prefix:
            raise ArgumentError("prefix", f"left out, as '{target}' holds lists of labels", repr(prefix))
        if target not in frames["train"].columns:
            raise UnknownName("column", target, list(frames["train"].columns))
        labels, names = {}, named
        for split in sorted(frames, key=lambda one: one != "train"):
            what = f"column '{target}' of the {split} examples"
            labels[split], names = lists(frames[split][target], separator or None, names or None, what)
        return {split: frame.drop(columns=target) for split, frame in frames.items()}, labels, names
    columns = label_columns(frames["train"], named, prefix)
    labels = {}
    for split, frame in frames.items():
        absent = [name for name in columns if name not in frame.columns]
        if absent:
            raise DataError(f"the {split} examples have no label column '{absent[0]}', which the training examples have")
        labels[split] = indicator(frame[columns].to_numpy(), columns, f"the {split} examples")
    return {split: frame.drop(columns=columns) for split, frame in frames.items()}, labels, tuple(columns)


def _of_images(
    data: Any, settings: ProblemSettings, column: str, named: tuple[str, ...], prefix: str, separator: str
) -> Labelled:
    """A folder of images with a table that names them."""
    if not isinstance(data, str | Path) or not Path(data).is_dir():
        raise DataError(f"images={column} needs a folder with images and a table of their labels; found {data!r:.60}")
    if settings.test is not None:
        raise ArgumentError("test", "left out for a folder of images", repr(settings.test))
    folder = Path(data)
    frame, paths = _pictures(folder, column)
    frames, labels, names = _split_off({"train": frame.drop(columns=column)}, settings, named, prefix, separator)
    others = list(frames["train"].columns)
    notes = (f"the columns {', '.join(others[:8])} are no labels and are not used: images alone are",) if others else ()
    part = Part(ImageFiles(paths), np.zeros(len(paths), dtype=np.int64))
    return Labelled(Raw(folder.name or str(folder), "images", {"train": part}, target="the labels", notes=notes), labels, names)


def _pictures(folder: Path, column: str) -> tuple[Any, list[Path]]:
    """The table of labels in a folder, and the image that each of its rows is about."""
    tables = [entry for entry in list_folder(folder) if suffix_of(entry) in TABLE_SUFFIXES]
    if len(tables) != 1:
        raise DataError(f"{folder} should hold one table of labels beside its images; found {len(tables)}")
    frame = tidy(read_table(tables[0]), str(tables[0]))
    if column not in frame.columns:
        raise UnknownName("column", column, list(frame.columns))
    paths = [folder / str(name) for name in frame[column]]
    for path in paths:
        if path.suffix.lower() not in IMAGE_SUFFIXES:
            raise DataError(f"column '{column}' of {tables[0]} names '{path.name}', which is no image file")
        require_file(path)
    return frame, paths


def _refuse_pictures(data: Any) -> None:
    """Refuse a folder of images with a table of their labels, where nobody says which of its columns names the images."""
    folder = Path(data) if isinstance(data, str | Path) else None
    if folder is None or not folder.is_dir():
        return
    entries = list_folder(folder)
    tables = [entry for entry in entries if suffix_of(entry) in TABLE_SUFFIXES]
    inside = (inner for entry in entries for inner in (list_folder(entry) if entry.is_dir() else [entry]))
    if not any(path.suffix.lower() in IMAGE_SUFFIXES for path in inside) or len(tables) > 1:
        return
    if not tables:
        raise DataError(
            f"{folder} holds images and no table of their labels: put a CSV or Parquet file beside them with a column of file "
            "names and the labels, and say images=COLUMN"
        )
    frame = read_table(tables[0]).head()
    is_image = frame.map(lambda value: Path(str(value)).suffix.lower() in IMAGE_SUFFIXES).all()
    naming = [str(name) for name in frame.columns[is_image]]
    if naming:
        found = f"nothing, and '{naming[0]}' looks like it: --task 'multi-label(images={naming[0]},...)'"
        raise ArgumentError("images", f"the column of {tables[0]} that names the image of each row", found)


def files_beside(data: Any, *, images: str = "", **_: Any) -> list[Path]:
    """Images that the table of a folder names outside of this folder."""
    if not images or not isinstance(data, str | Path) or not Path(data).is_dir():
        return []
    home = Path(data).resolve()
    return [path for path in _pictures(Path(data), images)[1] if not path.resolve().is_relative_to(home)]


def _task(found: Labelled, settings: ProblemSettings) -> MultiLabelTask:
    """Cut the splits and build the task."""
    from steelyard.problems._arrange import Arranged
    from steelyard.problems._load import built, prepared

    raw, part, rows = prepared(found.raw, settings), dict[str, str](), dict[str, Tensor]()
    notes = list(raw.notes)
    for split, values in found.labels.items():
        part[split], rows[split] = split, torch.arange(len(values))
    if len(rows["train"]) < FEWEST:
        raise DataError(f"'{raw.name}' has {len(rows['train'])} training examples: give at least {FEWEST}")
    train, seed = found.labels["train"], settings.seed
    if "test" not in rows:
        rows["train"], rows["test"] = _cut(train, rows["train"], settings.test_fraction, derive(seed, "test"))
        part["test"] = "train"
    if settings.max_rows is not None and settings.max_rows < len(rows["train"]):
        before = len(rows["train"])
        rows["train"], _ = _cut(train, rows["train"], 1 - settings.max_rows / before, derive(seed, "max_rows"))
        notes.append(f"{len(rows['train'])} of {before} training examples are used (max_rows={settings.max_rows})")
    if "valid" not in rows and settings.valid_fraction > 0:
        rows["train"], rows["valid"] = _cut(train, rows["train"], settings.valid_fraction, derive(seed, "valid"))
        part["valid"] = "train"
    order: list[str] = [split for split in SPLITS if split in rows and len(rows[split])]
    labels = {split: found.labels[part[split]][rows[split]] for split in order}
    check_labels(labels["train"], found.names, "the training examples")
    notes += _coverage(labels, found.names)
    counts = label_counts(labels["train"])
    target = {split: example_classes(values, counts) for split, values in labels.items()}
    arranged = Arranged(
        tuple(class_names(found.names)), {s: part[s] for s in order}, {s: rows[s] for s in order}, target, tuple(notes)
    )
    inner = built(raw, arranged, settings)
    return MultiLabelTask(inner, labels, found.names, scores_a_label=not isinstance(settings.model, str))


def _cut(labels: Tensor, rows: Tensor, share: float, seed: int) -> tuple[Tensor, Tensor]:
    """Rows that stay, and rows that are held out."""
    kept, held = stratify(labels[rows], (1 - share, share), seed=seed)
    return rows[kept], rows[held]


def _coverage(labels: Mapping[str, Tensor], names: tuple[str, ...]) -> list[str]:
    """Notes on labels that a split lacks, and on labels that are not known."""
    notes = []
    for split, values in labels.items():
        lacking = [name for name, n in zip(names, (values == 1).sum(0).tolist(), strict=True) if n == 0]
        if lacking and split != "train":
            shown = ", ".join(f"'{name}'" for name in lacking[:8]) + (", ..." if len(lacking) > 8 else "")
            notes.append(f"{len(lacking)} of {len(names)} labels have no positive {split} examples: {shown}")
    missing = float(torch.cat(list(labels.values())).isnan().double().mean())
    if missing > 0:
        notes.append(f"{missing:.1%} of the labels are not known: they are neither learnt from nor judged")
    return notes
