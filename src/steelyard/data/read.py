"""From a path to data: which reader a file or folder needs."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path

from steelyard.core.errors import DataError
from steelyard.data.files import ARRAY_SUFFIXES, TABLE_SUFFIXES, list_folder, require_file, suffix_of
from steelyard.data.folders import read_image_folder
from steelyard.data.kinds import Column
from steelyard.data.npz import read_npz
from steelyard.data.parquet_images import image_column_of, read_parquet_images
from steelyard.data.raw import SPLIT_NAMES, Raw
from steelyard.data.tabular import part_of
from steelyard.data.understood import read_understood

Columns = Mapping[str, Column]


def read_path(
    path: Path,
    target: str | None = None,
    kind: str = "auto",
    *,
    drop: Collection[str] = (),
    like: Columns | None = None,
) -> Raw:
    """Data from a file or a folder.

    A file is a table (.csv, .tsv, also with .gz; .parquet), a Parquet of encoded images, or an `.npz`. A folder holds one such
    file; or `train.*` and, where there are such splits, `test.*` and `valid.*`; or images as `class/name.png`.

    Args:
        path: of either.
        target: column of classes.
        kind: "tables" reads a Parquet file with a column of bytes as a table; everything else goes by the data.
        drop: columns of a table that are left out later, so that nothing is looked for in them.
        like: how columns are written in the table that these rows belong to (`Raw.columns` of the training rows); None to
            find it out.

    Raises:
        SteelyardError: anything that keeps the data from being read, in one sentence.
    """
    if path.is_dir():
        return _read_folder(path, target, kind, drop, like)
    return _reader_of(path, kind, drop, like)(path, target)


def _read_folder(folder: Path, target: str | None, kind: str, drop: Collection[str], like: Columns | None) -> Raw:
    entries = list_folder(folder)
    files = [entry for entry in entries if entry.is_file() and suffix_of(entry) in (*TABLE_SUFFIXES, *ARRAY_SUFFIXES)]
    if not files:
        return read_image_folder(folder)
    splits: dict[str, Path] = {}
    for file in files:
        split = SPLIT_NAMES.get(file.name.split(".")[0].lower())
        if split is not None:
            if split in splits:
                raise DataError(
                    f"{folder} has two files for the {split} rows, {splits[split].name} and {file.name}: remove one"
                )
            splits[split] = file
    if "train" not in splits and len(files) == 1:
        splits = {"train": files[0]}
    if "train" not in splits:
        raise DataError(f"{folder} has several data files ({', '.join(file.name for file in files[:8])}): give one of them")
    train = read_path(splits["train"], target, kind, drop=drop, like=like)
    for other in ("valid", "test"):
        if other in splits:
            known = train.columns if like is None else like
            train = with_split(train, read_path(splits[other], target, kind, drop=drop, like=known or None), other)
    return replace(train, name=folder.name or str(folder))


def with_split(train: Raw, other: Raw, split: str) -> Raw:
    """The data with the rows of `other` as a further split.

    Raises:
        DataError: the data have that split already, or the two are of different kinds.
    """
    if split in train.parts:
        raise DataError(f"'{train.name}' has a {split} split already, so a separate {split} file cannot be given")
    if other.kind != train.kind:
        raise DataError(f"the {split} rows ('{other.name}', {other.kind}) should be {train.kind}, as the training rows are")
    return replace(train, parts={**train.parts, split: other.parts["train"]}, notes=(*train.notes, *other.notes))


def _reader_of(path: Path, kind: str, drop: Collection[str], like: Columns | None) -> Callable[[Path, str | None], Raw]:
    suffix = suffix_of(path)
    require_file(path)
    if suffix in ARRAY_SUFFIXES:
        return lambda file, _: read_npz(file)
    if suffix not in TABLE_SUFFIXES:
        known = " ".join((*TABLE_SUFFIXES, *ARRAY_SUFFIXES))
        raise DataError(f"cannot tell what {path} is from its ending; known endings: {known}, or a folder of images")
    if kind != "tables" and image_column_of(path) is not None:
        return _read_images
    return partial(_read_table, drop=drop, like=like)


def _read_images(path: Path, target: str | None) -> Raw:
    part, class_names, column = read_parquet_images(path, target)
    return Raw(path.stem, "images", {"train": part}, class_names, target=f"column '{column}'")


def _read_table(path: Path, target: str | None, *, drop: Collection[str], like: Columns | None) -> Raw:
    as_is = {*drop, *(() if target is None else (target,))}
    table = read_understood(path, as_is=as_is, like=like)
    part = part_of(table.frame, target, str(path))
    return Raw(path.stem, "tables", {"train": part}, target=f"column '{target}'", notes=table.notes, columns=table.columns)
