from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from steelyard.core.errors import DataError, SteelyardError
from steelyard.data.clouds import forest
from steelyard.tasks.points.making import Protocol, point_task
from steelyard.tasks.points.samples import Cutting
from steelyard.tasks.points.segmenter import Segmenter
from steelyard.tasks.points.storing import ABOUT, TENSORS, load_segmenter, save_segmenter


@pytest.fixture(scope="module")
def segmenter() -> Segmenter:
    protocol = Protocol(
        classes=("0:ground", "1:wood", "2:leaf"), cutting=Cutting(size=64), radii=(0.4,), valid_fraction=0.0, group="islands"
    )
    task = point_task("forest", [forest(6, points_per_tree=150)], protocol, model="point-mlp")
    torch.manual_seed(0)
    return Segmenter.of(task, task.model())


def test_what_is_saved_says_the_same(segmenter: Segmenter, tmp_path: Path) -> None:
    folder = save_segmenter(segmenter, tmp_path / "m")
    loaded, words = load_segmenter(folder)
    cloud = forest(1, points_per_tree=100, seed=4)
    np.testing.assert_array_equal(loaded.segment(cloud).proba, segmenter.segment(cloud).proba)
    assert str(folder) in words
    assert sorted(path.name for path in folder.iterdir()) == [TENSORS, ABOUT]


def test_damage_is_found(segmenter: Segmenter, tmp_path: Path) -> None:
    folder = save_segmenter(segmenter, tmp_path)
    tensors, about = (folder / TENSORS).read_bytes(), (folder / ABOUT).read_text()
    flipped = bytearray(tensors)
    flipped[-3] ^= 1
    changed = json.loads(about)
    changed["recipe"]["radii"] = [0.9]
    for file, content, said in (
        (TENSORS, bytes(flipped), "damaged: model.safetensors"),
        (TENSORS, tensors[:-9], "damaged: model.safetensors"),
        (ABOUT, json.dumps(changed).encode(), "damaged: points.json"),
        (ABOUT, about.encode()[:-40], "damaged: points.json"),
        (ABOUT, b"[1]", "damaged: points.json"),
        (ABOUT, b"{}", "damaged: points.json"),
        (ABOUT, json.dumps({**json.loads(about), "format": 99}).encode(), "update steelyard"),
    ):
        (folder / TENSORS).write_bytes(tensors)
        (folder / ABOUT).write_text(about)
        (folder / file).write_bytes(content)
        with pytest.raises(DataError, match=said):
            load_segmenter(folder)
    (folder / ABOUT).write_text(about)
    (folder / TENSORS).unlink()
    with pytest.raises(DataError, match=r"not whole: cannot read model.safetensors"):
        load_segmenter(folder)


def test_folders_without_a_model_of_points(segmenter: Segmenter, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no model of points"):
        load_segmenter(tmp_path)
    (tmp_path / "comparison.json").write_text(json.dumps({"task": "images", "data": {}}))
    with pytest.raises(DataError, match="no finished run"):
        load_segmenter(tmp_path)
    run = tmp_path / "runs" / "abc"
    run.mkdir(parents=True)
    (run / "run.json").write_text(json.dumps({"method": "ce", "seed": 0}))
    with pytest.raises(DataError, match="not finished"):
        load_segmenter(run)
    (run / "result.json").write_text("{}")
    with pytest.raises(DataError, match="is of images, not of points"):
        load_segmenter(tmp_path)
    with pytest.raises(SteelyardError, match="it is a file"):
        save_segmenter(segmenter, tmp_path / "comparison.json")
    with pytest.raises(DataError, match="leave --method out"):
        load_segmenter(save_segmenter(segmenter, tmp_path / "m"), "ce")
