"""Images whose class is the folder that holds them directly, in folders or zip archives: many small classes, as in Omniglot."""

from __future__ import annotations

import os
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from steelyard.core.errors import DataError
from steelyard.data.encoded import ImageFiles
from steelyard.data.files import IMAGE_SUFFIXES, list_folder, require_file
from steelyard.data.raw import SPLIT_NAMES, SPLITS, Part, Raw


@dataclass(frozen=True)
class ImagesInZips:
    """Images in zip archives, held as they are encoded.

    Attributes:
        contents: the bytes of each image `[N]`.
        names: what to call it in messages `[N]`.
    """

    contents: Sequence[bytes]
    names: Sequence[str]

    def __len__(self) -> int:
        return len(self.contents)

    def read(self, row: int) -> bytes:
        """The bytes of an image."""
        return self.contents[row]

    def name(self, row: int) -> str:
        """Archive and member."""
        return self.names[row]


@dataclass(frozen=True)
class _Found:
    """An image: its class, its file's name, where it is, and its bytes where they come from an archive."""

    label: str
    file: str
    where: str
    content: bytes | None = None


def has_image_classes(path: Path) -> bool:
    """Is it a zip archive, or a folder with archives or folders in it?"""
    if path.is_file():
        return path.suffix.lower() == ".zip"
    return path.is_dir() and any(entry.is_dir() or entry.suffix.lower() == ".zip" for entry in list_folder(path))


def read_image_classes(path: Path) -> Raw:
    """Images by the folder that holds them: a zip archive, a folder of archives, or a folder of (nested) class folders.

    Class names are paths: `Greek/character01`. A top folder that all of an archive is in is no part of the name. A class that
    is in several archives is one class; an image that is in several of them with the same name and content counts once.
    Folders called train, valid and test at the top are splits.

    Args:
        path: of the archive or folder.

    Raises:
        DataError: no images, an unreadable archive, an image outside a class folder, or two images of one name.

    Example:
        >>> import tempfile
        >>> folder = Path(tempfile.mkdtemp())
        >>> for name in ("a/one", "b/one"):
        ...     (folder / name).mkdir(parents=True)
        ...     _ = (folder / name / "1.png").write_bytes(b"png")
        >>> read_image_classes(folder).parts["train"].labels.tolist()
        ['a/one', 'b/one']
    """
    if path.is_dir():
        found, archives = list(_in_folder(path)), [p for p in list_folder(path) if p.suffix.lower() == ".zip"]
    else:
        found, archives = [], [require_file(path)]
    found += [image for archive in archives for image in _in_zip(archive)]
    if not found:
        raise DataError(f"{path} has no images in class folders (expected class/name.png, also inside .zip archives)")
    kept, repeated = _once(found)
    notes = [f"{repeated} images are in the archives twice, with the same class, name and content, and are used once"]
    splits = _by_split(kept)
    parts = {
        split: Part(_encoded(images), np.array([i.label for i in images], dtype=object)) for split, images in splits.items()
    }
    name = path.stem if path.is_file() else path.name
    return Raw(name or str(path), "images", parts, target=f"the folders of {path}", notes=tuple(notes if repeated else ()))


def _in_folder(root: Path) -> Iterator[_Found]:
    for folder, inside, files in os.walk(root):
        inside[:] = sorted(name for name in inside if not name.startswith("."))
        for name in sorted(files):
            file = Path(folder) / name
            if name.startswith(".") or file.suffix.lower() not in IMAGE_SUFFIXES:
                continue
            if Path(folder) == root:
                raise DataError(f"{file} is not in a class folder: move it out of {root}")
            yield _Found(Path(folder).relative_to(root).as_posix(), name, str(file))


def _in_zip(path: Path) -> list[_Found]:
    try:
        with zipfile.ZipFile(path) as archive:
            members = [PurePosixPath(n) for n in sorted(archive.namelist()) if not n.endswith("/") and _is_image(n)]
            tops = {member.parts[0] for member in members}
            cut = 1 if len(tops) == 1 and all(len(member.parts) > 2 for member in members) else 0
            loose = [member for member in members if len(member.parts) < 2]
            if loose:
                raise DataError(f"{path}: {loose[0]} is not in a class folder: put it into one")
            return [_Found("/".join(m.parts[cut:-1]), m.name, f"{path}: {m}", archive.read(m.as_posix())) for m in members]
    except (zipfile.BadZipFile, OSError, NotImplementedError, RuntimeError) as error:
        raise DataError(f"cannot read the archive {path} ({error})") from None


def _is_image(name: str) -> bool:
    path = PurePosixPath(name)
    return path.suffix.lower() in IMAGE_SUFFIXES and not any(part.startswith((".", "__MACOSX")) for part in path.parts)


def _once(found: list[_Found]) -> tuple[list[_Found], int]:
    """The images without those that are there twice, sorted by class and name, and how many were left out."""
    kept: dict[tuple[str, str], _Found] = {}
    for image in found:
        before = kept.setdefault((image.label, image.file), image)
        if before is not image and before.content != image.content:
            raise DataError(f"two different images are called {image.label}/{image.file}: {before.where} and {image.where}")
    return [kept[key] for key in sorted(kept)], len(found) - len(kept)


def _by_split(images: list[_Found]) -> dict[str, list[_Found]]:
    """Images of each split: by the top folder where one of them is called train, else all in "train"."""
    tops = {image.label.partition("/")[0] for image in images}
    named = {top: SPLIT_NAMES[top.lower()] for top in tops if top.lower() in SPLIT_NAMES}
    if "train" not in named.values():
        return {"train": images}
    if len(named) < len(tops) or len(set(named.values())) < len(named):
        raise DataError(f"beside train there should only be valid and test folders; found: {', '.join(sorted(tops))}")
    splits: dict[str, list[_Found]] = {split: [] for split in SPLITS if split in named.values()}
    for image in images:
        top, _, rest = image.label.partition("/")
        if not rest:
            raise DataError(f"{image.where} is not in a class folder of its split: move it into one")
        splits[named[top]].append(_Found(rest, image.file, image.where, image.content))
    return splits


def _encoded(images: list[_Found]) -> Any:
    if all(image.content is None for image in images):
        return ImageFiles([Path(image.where) for image in images])
    contents = [Path(image.where).read_bytes() if image.content is None else image.content for image in images]
    return ImagesInZips(contents, [image.where for image in images])
