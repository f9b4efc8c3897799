"""From what a user has to episodes: folders, archives, arrays, names, and everything that cannot be."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from steelyard.core.errors import SteelyardError
from steelyard.problems import load
from steelyard.problems._kinds.episodes import COLOUR_PIXELS, GREY_PIXELS
from steelyard.tasks.episodes import EpisodeTask

SMALL = "way=2,shots=1-3,queries=2,episodes=3,test_episodes=4"


def png(value: int, size: int = 6, colour: bool = False) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB" if colour else "L", (size, size), (value, 0, 9) if colour else value).save(buffer, "PNG")
    return buffer.getvalue()


def arrays(classes: int = 8, rows: int = 6, shape: tuple[int, ...] = (5,)):
    drawn = np.random.default_rng(0)
    y = np.repeat(np.arange(classes), rows)
    return drawn.normal(size=(len(y), *shape)), y


def made(data, text: str = SMALL, **changes) -> EpisodeTask:
    found = load(data, task=f"episodes({text})", **changes)
    assert isinstance(found, EpisodeTask)
    return found


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for number in range(8):
        here = tmp_path / "images" / f"alphabet{number % 2}" / f"letter{number}"
        here.mkdir(parents=True)
        for copy in range(6):
            (here / f"{copy}.png").write_bytes(png(number * 20 + copy))
    return tmp_path / "images"


def test_a_folder_and_an_archive_of_it_are_the_same_task(folder, tmp_path):
    packed = tmp_path / "packed.zip"
    with zipfile.ZipFile(packed, "w") as file:
        for path in folder.rglob("*.png"):
            file.write(path, path.relative_to(tmp_path))
    one, other = made(str(folder)), made(str(packed))
    assert one.classes.names == other.classes.names
    assert one.classes.names[0] == "alphabet0/letter0"
    assert torch.equal(one.classes.inputs, other.classes.inputs)
    assert one.classes.of == other.classes.of
    facts = one.describe()
    assert facts["classes"] == {"train": 4, "valid": 2, "test": 2}
    assert facts["features"] == "1x6x6 pixels"
    assert facts["episodes"] == {"train": 3, "valid": 1, "test": 4}


def test_large_images_are_made_the_size_of_the_literature_and_resize_says_otherwise(tmp_path):
    for number in range(4):
        for colour in (False, True):
            here = tmp_path / ("colour" if colour else "grey") / str(number)
            here.mkdir(parents=True)
            for copy in range(5):
                (here / f"{copy}.png").write_bytes(png(number + copy, 90, colour))
    text = "way=2,shots=1-2,queries=2"
    grey, colour = (made(str(tmp_path / name), text) for name in ("grey", "colour"))
    assert grey.classes.inputs.shape[1:] == (1, GREY_PIXELS, GREY_PIXELS)
    assert colour.classes.inputs.shape[1:] == (3, COLOUR_PIXELS, COLOUR_PIXELS)
    assert "images of 90x90 pixels were made 28x28" in grey.describe()["notes"][0]
    assert made(str(tmp_path / "grey"), text, resize=12).classes.inputs.shape[1:] == (1, 12, 12)


def test_arrays_files_and_names(tmp_path):
    x, y = arrays()
    np.savez(tmp_path / "vectors.npz", X=x, y=y)
    assert made(str(tmp_path / "vectors.npz")).describe()["features"] == "5 numbers"
    assert made((x, y)).describe()["features"] == "5 numbers"
    pixels = (np.abs(arrays(shape=(7, 7))[0]) * 50).clip(0, 255).astype(np.uint8)
    assert made((pixels, y)).classes.inputs.shape == (48, 1, 7, 7)
    labels = np.array([f"class {value}" for value in y])
    assert made((x, labels)).classes.names[0] == "class 0"
    digits = made("digits", "way=3,shots=1-3,queries=2,episodes=2,test_episodes=2", valid_fraction=0.0)
    assert len(digits.classes.names) == 10
    assert digits.describe()["classes"] == {"train": 7, "test": 3}


def test_given_splits_are_kept_where_their_classes_are_disjoint():
    x, y = arrays(12)
    parts = {"train": y < 4, "valid": (y >= 4) & (y < 8), "test": y >= 8}
    task = made({split: (x[own], y[own]) for split, own in parts.items()})
    assert task.classes.of == {"train": (0, 1, 2, 3), "valid": (4, 5, 6, 7), "test": (8, 9, 10, 11)}
    shared = made({"train": (x, y), "test": (x, y)})
    assert any("share classes" in note for note in shared.describe()["notes"])
    assert not set(shared.classes.of["train"]) & set(shared.classes.of["test"])


def test_the_split_belongs_to_its_seed():
    data = arrays(20)
    first, again, other = (made(data, seed=seed).classes.of for seed in (0, 0, 1))
    assert first == again != other
    assert sorted(label for own in first.values() for label in own) == list(range(20))


def test_training_classes_can_be_imbalanced():
    data = arrays(12, rows=20)
    task = made(data, f"{SMALL},images=5-20,images_profile=linear", valid_fraction=0.0)
    counts = torch.bincount(task.classes.target, minlength=12)
    train, test = list(task.classes.of["train"]), list(task.classes.of["test"])
    assert int(counts[train].min()) == 5
    assert int(counts[train].max()) == 20
    assert counts[test].tolist() == [20] * len(test)
    assert not bool((counts[train].diff() >= 0).all())  # which class is small has nothing to do with its place
    assert any("keep 5 to 20 images (linear)" in note for note in task.describe()["notes"])
    step = made(data, f"{SMALL},images=5-20,images_profile=step,images_minority=0.5", valid_fraction=0.0)
    own = torch.bincount(step.classes.target, minlength=12)[list(step.classes.of["train"])]
    assert sorted(set(own.tolist())) == [5, 20]


@pytest.mark.parametrize(
    ("text", "changes", "said"),
    [
        ("way=5,shots=1-3,queries=2", {}, "10 in all; the data have 8: lower way"),
        ("way=1", {}, "at least 2 classes"),
        ("way=2,shots=1-9,queries=10", {}, "lower shots or queries"),
        ("way=2,shots=0-3", {}, "a class without support cannot be told"),
        ("way=2,shots=3-1", {}, "LOW at most HIGH"),
        ("way=2,shots=few", {}, "LOW-HIGH, such as 1-9"),
        ("way=2,profile=lineal", {}, "profile"),
        ("way=2,profile=step,shots=1-2,minority=0.1,queries=2", {}, "both sides of the step"),
        ("way=2,shots=1-2,queries=2,minority=0.2", {}, "has no minority"),
        ("way=2,queries=0", {}, "queries"),
        ("way=2,images_profile=linear", {}, "given with images=LOW-HIGH"),
        ("way=2,images=2-9", {}, "images_profile"),
        (f"{SMALL},images=5-9,images_profile=linear", {}, "lower images"),
        (f"{SMALL},images=1-6,images_profile=linear", {}, "and the train class '"),
        (SMALL, {"factor": 10.0}, "left out, as episodes have no use for it"),
        (SMALL, {"resize": 8}, "inputs are arrays"),
        (SMALL, {"model": "conv4"}, "vectors of 5 numbers"),
        ("wya=2", {}, "did you mean 'way'"),
    ],
)
def test_what_cannot_be_is_said_in_a_sentence(text, changes, said):
    with pytest.raises(SteelyardError, match=said) as caught:
        made(arrays(), text, **changes)
    assert "\n" not in str(caught.value)


def test_other_data_are_refused(tmp_path):
    (tmp_path / "t.csv").write_text("a,b\n1,x\n2,y\n")
    with pytest.raises(SteelyardError, match=r"t\.csv is a table"):
        made(str(tmp_path / "t.csv"))
    with pytest.raises(SteelyardError, match="no file or folder"):
        made(str(tmp_path / "none.zip"))
    x, y = arrays()
    with pytest.raises(SteelyardError, match="none for test"):
        made({"train": (x[:24], y[:24]), "valid": (x[24:], y[24:])})
    x[3, 2] = np.nan
    with pytest.raises(SteelyardError, match="missing"):
        made((x, y))


def test_real_omniglot_has_each_drawing_once(shared_data):
    task = made(str(shared_data / "omniglot"), "way=5,shots=1-9,profile=linear,queries=10,episodes=2,test_episodes=2")
    facts = task.describe()
    assert sum(facts["classes"].values()) == len(task.classes.names) == 242
    assert bool((torch.bincount(task.classes.target) == 20).all())
    assert "1000 images are in the archives twice" in facts["notes"][0]
    assert task.class_names[0] == "rank 1 (9 shots)"
