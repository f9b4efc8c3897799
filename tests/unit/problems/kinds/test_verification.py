"""Pictures to verify, from folders, archives, arrays and by name."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from click.testing import CliRunner
from identities import vectors
from PIL import Image

from steelyard.cli import cli
from steelyard.core.errors import ArgumentError, DataError, UnknownName
from steelyard.data.faces import drawn_faces
from steelyard.problems import load
from steelyard.problems._kinds.verification import Some


def pictures(folder: Path, identities: int = 12, count: int = 5) -> Path:
    faces = drawn_faces(identities, count, size=12)
    for number, (image, name, group) in enumerate(zip(*faces, strict=True)):
        place = folder / str(group) / str(name)
        place.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(place / f"{number}.png")
    return folder


def test_folders_and_archives_are_the_same(tmp_path):
    folder = pictures(tmp_path / "faces")
    with zipfile.ZipFile(tmp_path / "faces.zip", "w") as archive:
        for file in sorted(folder.rglob("*.png")):
            archive.write(file, file.relative_to(tmp_path))
    made = [load(str(path), task="verification(groups=folder, pairs=60)") for path in (folder, tmp_path / "faces.zip")]
    for task in made:
        assert task.class_names == made[0].class_names and task.group_names == ("bare", "masked")
        assert task.describe()["features"] == "1x12x12 pixels"
        assert sum(map(len, task.splits.values())) == 30
        assert torch.equal(task._unseen.inputs, made[0]._unseen.inputs)
    seen = {name.rpartition("/")[2] for name in made[0].class_names}
    assert len(seen) == 6  # the other six are judged


def test_arrays_and_groups_by_table(tmp_path):
    X, y, groups = vectors()
    np.savez(tmp_path / "v.npz", X=X, y=y, groups=groups)
    pd.DataFrame({"identity": sorted(set(y)), "group": ["a", "b"] * 8}).to_csv(tmp_path / "g.csv", index=False)
    one = load(str(tmp_path / "v.npz"), task="verification(pairs=50)")
    two = load((X, y), task=f"verification(pairs=50, groups={tmp_path / 'g.csv'})")
    assert one.class_names == two.class_names and one.group_names == two.group_names == ("a", "b")
    assert one.context["groups"].tolist() == two.context["groups"].tolist()
    assert load((torch.from_numpy(X), y), task="verification(pairs=50)").describe()["features"] == "6 numbers"


def test_imbalance_of_identities_and_of_groups():
    made = load("drawn-faces", task="verification(group_factor=4, pairs=100)", factor=3.0)
    groups = made.describe()["groups"]
    assert (groups["bare"]["training_identities"], groups["masked"]["training_identities"]) == (20, 5)
    assert made.describe()["imbalance_factor"] > 2
    assert any("group_factor=4" in note for note in made.describe()["notes"])
    within = load("drawn-faces", task="verification(impostors=group, pairs=100)")
    assert bool((within.pairs.group >= 0).all())


def test_identities_of_one_picture_are_left_out():
    X, y, _ = vectors()
    y = y.copy()
    y[-1] = "alone"
    made = load((X, y), task="verification(pairs=50)")
    assert "1 of 17 identities have fewer than 2 pictures" in made.describe()["notes"][0]
    some = Some(type("E", (), {"read": lambda self, row: bytes([row]), "name": lambda self, row: str(row)})(), np.array([4, 2]))
    assert (some.read(1), some.name(0), len(some)) == (b"\2", "4", 2)


X, Y, G = vectors()


@pytest.mark.parametrize(
    ("data", "words", "settings", "error", "says"),
    [
        ((X, np.arange(len(X))), "", {}, DataError, "no pairs of one identity"),
        ((X[:24], Y[:24]), "", {}, DataError, "verification needs at least 6"),
        ((X[:40], Y[:40]), "", {}, DataError, "at least 4 identities"),
        ((X[:8], Y[:8]), "", {}, DataError, "verification needs at least 6"),
        ((X, Y, G[:5]), "", {}, DataError, "groups has 5 entries"),
        ((X, Y, np.arange(len(X))), "", {}, DataError, "identity 'id 00' is in two groups"),
        ((X, Y), "groups=folder", {}, DataError, "group/identity/name.png"),
        ((X, Y), "group_factor=3", {}, ArgumentError, "`group_factor`"),
        ((X, Y), "impostors=group", {}, ArgumentError, "`impostors`"),
        ((X, Y), "impostors=none", {}, ArgumentError, "impostors"),
        ((X, Y), "unseen=1", {}, ArgumentError, "`unseen`"),
        ((X, Y), "min_images=1", {}, ArgumentError, "`min_images`"),
        ((X, Y), "pairs=1", {}, ArgumentError, "`pairs`"),
        ((X, Y), "", {"target": "y"}, ArgumentError, "`target`"),
        ((X, Y), "", {"resize": 8}, ArgumentError, "`resize`"),
        ((X * np.nan, Y), "", {}, DataError, "missing"),
        ("drawn-face", "", {}, UnknownName, "'drawn-faces'"),
        ("none.npz", "", {}, DataError, "there is no file"),
        (7, "", {}, ArgumentError, "`data`"),
    ],
)
def test_wrong_inputs_are_one_sentence(data, words, settings, error, says):
    with pytest.raises(error, match=says):
        load(data, task=f"verification({words})" if words else "verification", **settings)


def test_files_that_cannot_be_used(tmp_path):
    (tmp_path / "t.csv").write_text("identity,colour\na,1\n")
    with pytest.raises(DataError, match="neither a folder or zip archive"):
        load(str(tmp_path / "t.csv"), task="verification")
    with pytest.raises(UnknownName, match="column 'group'"):
        load((X, Y), task=f"verification(groups={tmp_path / 't.csv'})")
    (tmp_path / "t.csv").write_text("identity,group\na,1\n")
    with pytest.raises(DataError, match="says no group of identity 'id 00'"):
        load((X, Y), task=f"verification(groups={tmp_path / 't.csv'})")
    np.savez(tmp_path / "x.npz", X=X)
    with pytest.raises(DataError, match="no array 'y'"):
        load(str(tmp_path / "x.npz"), task="verification")


def test_a_comparison_from_the_command_line(tmp_path, monkeypatch):
    np.savez(tmp_path / "faces.npz", X=X, y=Y, groups=G)
    monkeypatch.chdir(tmp_path)
    command = (
        "compare faces.npz --task verification(pairs=100) --methods ce,arcface --seeds 1 --epochs 2 --no-report --jobs 1 "
        "--out out --device cpu"
    )
    result = CliRunner().invoke(cli, command.split())
    assert result.exit_code == 0, result.output
    board = json.loads((tmp_path / "out" / "leaderboard.json").read_text())
    assert board["metric"] == "verification_accuracy"
    assert 0 < board["rows"][0]["metrics"]["worst_group_tar"]["mean"] <= 1
