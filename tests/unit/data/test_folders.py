from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from steelyard.core.errors import DataError
from steelyard.data.folders import read_image_folder


def pictures(folder: Path, names: tuple[str, ...] = ("cat", "dog"), each: int = 3) -> Path:
    for name in names:
        (folder / name).mkdir(parents=True, exist_ok=True)
        for i in range(each):
            Image.new("RGB", (4, 4), (i, 0, 0)).save(folder / name / f"{i}.png")
    return folder


def test_folders_are_classes(tmp_path: Path) -> None:
    raw = read_image_folder(pictures(tmp_path / "zoo"))
    assert (raw.name, raw.kind, list(raw.parts)) == ("zoo", "images", ["train"])
    assert Counter(raw.parts["train"].labels) == {"cat": 3, "dog": 3}
    assert raw.parts["train"].inputs.name(0).endswith("zoo/cat/0.png")


@pytest.mark.parametrize("valid", ["valid", "val", "Validation"])
def test_splits_have_folders_of_their_own(tmp_path: Path, valid: str) -> None:
    for split in ("train", valid, "test"):
        pictures(tmp_path / split)
    assert {split: len(part) for split, part in read_image_folder(tmp_path).parts.items()} == {
        "train": 6,
        "valid": 6,
        "test": 6,
    }


def test_images_may_lie_deeper_and_behind_links(tmp_path: Path) -> None:
    pictures(tmp_path / "zoo")
    pictures(tmp_path / "zoo" / "cat", ("wild",))
    pictures(tmp_path / "elsewhere", ("bird",))
    (tmp_path / "zoo" / "bird").symlink_to(tmp_path / "elsewhere" / "bird")
    (tmp_path / "zoo" / "dog" / "again.png").symlink_to(tmp_path / "zoo" / "dog" / "0.png")
    assert Counter(read_image_folder(tmp_path / "zoo").parts["train"].labels) == {"bird": 3, "cat": 6, "dog": 4}


def test_what_systems_leave_behind_does_not_count(tmp_path: Path) -> None:
    pictures(tmp_path)
    for place in (tmp_path, tmp_path / "cat"):
        for name in (".DS_Store", "Thumbs.db", "desktop.ini"):
            (place / name).write_text("x")
    assert len(read_image_folder(tmp_path).parts["train"]) == 6


def text_in_class(folder: Path) -> None:
    (folder / "cat" / "notes.txt").write_text("hello")


def text_beside_classes(folder: Path) -> None:
    (folder / "notes.txt").write_text("hello")


def empty_image(folder: Path) -> None:
    (folder / "cat" / "9.png").touch()


def empty_class(folder: Path) -> None:
    (folder / "bird").mkdir()


def link_to_nowhere(folder: Path) -> None:
    (folder / "cat" / "9.png").symlink_to(folder / "none.png")


def link_to_above(folder: Path) -> None:
    (folder / "cat" / "all").symlink_to(folder)


def links_in_a_ring(folder: Path) -> None:
    (folder / "cat" / "dogs").symlink_to(folder / "dog")
    (folder / "dog" / "cats").symlink_to(folder / "cat")


def two_valid_folders(folder: Path) -> None:
    for split in ("train", "val", "valid"):
        pictures(folder / split)
    for name in ("cat", "dog"):
        for image in (folder / name).iterdir():
            image.unlink()
        (folder / name).rmdir()


def train_beside_classes(folder: Path) -> None:
    pictures(folder / "train")


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (text_in_class, "cat/notes.txt is not an image .*: move it out"),
        (text_beside_classes, "notes.txt is not in a class folder: move it out"),
        (empty_image, r"cat/9.png is empty \(0 bytes\), not an image"),
        (empty_class, "the class folder .*bird has no images"),
        (link_to_nowhere, "cannot read .*9.png"),
        (link_to_above, "all contains itself through a symbolic link"),
        (links_in_a_ring, "contains itself through a symbolic link"),
        (two_valid_folders, "two folders of one split, val and valid"),
        (train_beside_classes, r"both train/ and other folders \(cat, dog\)"),
    ],
)
def test_spoilt_folders(tmp_path: Path, spoil: Callable[[Path], None], message: str) -> None:
    spoil(pictures(tmp_path))
    with pytest.raises(DataError, match=message):
        read_image_folder(tmp_path)


def test_folders_without_classes(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no class folders \(expected class/name.png\); found nothing"):
        read_image_folder(tmp_path)
    Image.fromarray(np.zeros((4, 4), np.uint8)).save(tmp_path / "a.png")
    with pytest.raises(DataError, match="found 1 images directly in it"):
        read_image_folder(tmp_path)
