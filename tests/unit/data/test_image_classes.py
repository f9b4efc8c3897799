"""Images by the folder that holds them, in folders and archives."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import pytest
from PIL import Image

from steelyard.core.errors import DataError
from steelyard.data.encoded import decode
from steelyard.data.image_classes import has_image_classes, read_image_classes


def png(value: int) -> bytes:
    buffer = io.BytesIO()
    Image.new("L", (4, 4), value).save(buffer, "PNG")
    return buffer.getvalue()


def archive(path: Path, members: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w") as file:
        for name, content in members.items():
            file.writestr(name, content)
    return path


def folder(path: Path, members: dict[str, bytes]) -> Path:
    for name, content in members.items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_bytes(content)
    return path


def labels(path: Path, split: str = "train") -> list[str]:
    return [str(label) for label in read_image_classes(path).parts[split].labels]


def test_an_archive_and_its_unpacked_folder_are_the_same_classes(tmp_path):
    members = {f"top/Greek/character0{c}/{i}.png": png(c * 10 + i) for c in (1, 2) for i in range(2)}
    packed = archive(tmp_path / "small.zip", members)
    unpacked = folder(tmp_path / "out", members) / "top"
    assert has_image_classes(packed)
    assert has_image_classes(unpacked)
    expected = ["Greek/character01"] * 2 + ["Greek/character02"] * 2
    assert labels(packed) == labels(unpacked) == expected
    one, other = (decode(read_image_classes(path).parts["train"].inputs).pixels for path in (packed, unpacked))
    assert one.equal(other)


def test_a_class_in_two_archives_is_one_class_and_a_repeated_image_counts_once(tmp_path):
    members = {"Greek/alpha/1.png": png(1), "Greek/alpha/2.png": png(2), "Latin/a/1.png": png(3)}
    archive(tmp_path / "a.zip", {f"small1/{name}": content for name, content in members.items()})
    archive(tmp_path / "b.zip", {"small2/Greek/alpha/1.png": png(1), "small2/Tagalog/a/1.png": png(4)})
    raw = read_image_classes(tmp_path)
    assert [str(label) for label in raw.parts["train"].labels] == ["Greek/alpha", "Greek/alpha", "Latin/a", "Tagalog/a"]
    assert raw.notes == ("1 images are in the archives twice, with the same class, name and content, and are used once",)


def test_two_images_of_one_name_are_refused(tmp_path):
    archive(tmp_path / "a.zip", {"t/g/alpha/1.png": png(1)})
    archive(tmp_path / "b.zip", {"t/g/alpha/1.png": png(2)})
    with pytest.raises(DataError, match=r"two different images are called g/alpha/1\.png"):
        read_image_classes(tmp_path)


def test_folders_of_splits_are_splits(tmp_path):
    folder(tmp_path, {"train/a/1.png": png(1), "val/b/1.png": png(2), "test/c/d/1.png": png(3)})
    assert {split: labels(tmp_path, split) for split in ("train", "valid", "test")} == {
        "train": ["a"],
        "valid": ["b"],
        "test": ["c/d"],
    }


@pytest.mark.parametrize(
    ("members", "said"),
    [
        ({"notes.txt": b"x", "a/readme.txt": b"x"}, "no images in class folders"),
        ({"1.png": png(1), "a/1.png": png(1)}, "is not in a class folder"),
        ({"train/1.png": png(1), "train/a/1.png": png(1)}, "is not in a class folder of its split"),
        ({"train/a/1.png": png(1), "other/a/1.png": png(1)}, "only be valid and test folders"),
    ],
)
def test_what_is_no_such_folder_is_said_in_a_sentence(tmp_path, members, said):
    with pytest.raises(DataError, match=said):
        read_image_classes(folder(tmp_path, members))


def test_broken_archives_are_named(tmp_path):
    (tmp_path / "x.zip").write_bytes(b"PK not an archive")
    with pytest.raises(DataError, match=r"cannot read the archive .*x\.zip"):
        read_image_classes(tmp_path / "x.zip")
    with pytest.raises(DataError, match="put it into one"):
        read_image_classes(archive(tmp_path / "y.zip", {"1.png": png(1)}))
