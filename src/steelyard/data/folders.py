"""Image folders: `class/name.png`, also below `train/`, `test/` and `valid/`."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from steelyard.core.errors import DataError
from steelyard.data.encoded import ImageFiles
from steelyard.data.files import IMAGE_SUFFIXES, list_folder
from steelyard.data.raw import SPLIT_NAMES, SPLITS, Part, Raw


def read_image_folder(folder: Path) -> Raw:
    """An image folder. Images may lie deeper inside the folder of their class.

    Raises:
        DataError: no class folders, a class without images, a file that is not an image, or an empty one.
    """
    entries = list_folder(folder)
    splits: dict[str, Path] = {}
    twice = ""
    for entry in entries:
        split = SPLIT_NAMES.get(entry.name.lower()) if entry.is_dir() else None
        if split is not None:
            twice = twice or (f"{splits[split].name} and {entry.name}" if split in splits else "")
            splits[split] = entry
    if "train" in splits:
        if twice:
            raise DataError(f"{folder} has two folders of one split, {twice}: remove one")
        others = [entry.name for entry in entries if entry.is_dir() and entry not in splits.values()]
        if others:
            raise DataError(f"{folder} has both train/ and other folders ({', '.join(others[:5])}): move them out")
        parts = {split: _read_classes(splits[split]) for split in SPLITS if split in splits}
    else:
        parts = {"train": _read_classes(folder)}
    return Raw(folder.name or str(folder), "images", parts, target=f"the image folder {folder}")


def _read_classes(folder: Path) -> Part:
    entries = list_folder(folder)
    classes = [entry for entry in entries if entry.is_dir()]
    loose = [entry for entry in entries if not entry.is_dir()]
    if not classes:
        images = sum(path.suffix.lower() in IMAGE_SUFFIXES for path in loose)
        found = f"{images} images directly in it" if images else f"{len(loose)} files" if loose else "nothing"
        raise DataError(f"{folder} has no class folders (expected class/name.png); found {found}")
    if loose:
        raise DataError(f"{loose[0]} is not in a class folder: move it out of {folder}")
    paths: list[Path] = []
    labels: list[str] = []
    for entry in classes:
        inside = _images_below(entry, frozenset({folder.resolve()}))
        if not inside:
            raise DataError(f"the class folder {entry} has no images: add some or remove it")
        paths += inside
        labels += [entry.name] * len(inside)
    return Part(ImageFiles(paths), np.array(labels, dtype=object))


def _images_below(folder: Path, above: frozenset[Path]) -> list[Path]:
    """Image files in a folder and below it, sorted; anything else there is refused. `above`: where we came through."""
    real = folder.resolve()
    if real in above:
        raise DataError(f"the folder {folder} contains itself through a symbolic link: remove the link")
    found = []
    for path in list_folder(folder):
        if path.is_dir():
            found += _images_below(path, above | {real})
            continue
        if path.suffix.lower() not in IMAGE_SUFFIXES:
            raise DataError(f"{path} is not an image (known: {' '.join(IMAGE_SUFFIXES)}): move it out of the folder")
        try:
            size = path.stat().st_size
        except OSError as error:  # a link to nowhere
            raise DataError(f"cannot read {path} ({error.strerror})") from None
        if size == 0:
            raise DataError(f"{path} is empty (0 bytes), not an image: remove or replace it")
        if not os.access(path, os.R_OK):
            raise DataError(f"cannot read {path} (no permission)")
        found.append(path)
    return sorted(found)
