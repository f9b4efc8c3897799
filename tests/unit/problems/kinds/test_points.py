from __future__ import annotations

from pathlib import Path

import pytest

from steelyard.core.errors import ArgumentError, DataError, UnknownName
from steelyard.data.clouds import Cloud, forest, write_cloud
from steelyard.problems import ProblemSettings, kinds, load
from steelyard.problems._kinds.points import points

TASK = "points(classes=(0:ground,1:wood,2:leaf),sample=64,radii=(0.4,))"


@pytest.fixture(scope="module")
def cloud() -> Cloud:
    return forest(6, points_per_tree=150)


def test_files_folders_and_clouds_are_the_same_problem(cloud: Cloud, tmp_path: Path) -> None:
    assert "points" in kinds()
    path = write_cloud(tmp_path / "forest.ply", cloud)
    counts = [load(data, task=TASK).describe()["counts"] for data in (cloud, [cloud], str(path), str(tmp_path))]
    assert counts[1:] == counts[:1] * 3


def test_the_settings_of_the_problem_and_of_the_kind(cloud: Cloud) -> None:
    task = load(cloud, task=TASK.replace("sample=64", "sample=32,group=tree,positive=wood"), model="point-mlp(hidden=(8,))",
                target="label", seed=4, test_fraction=0.4)  # fmt: skip
    assert task.own_metrics[0] == "wood_recall"
    assert task.model().get_submodule("head").in_features == 8
    told = task.describe()["rows"]
    assert told["test"] > told["train"] / 3
    assert load(cloud, task=TASK, test=forest(2, points_per_tree=150, seed=9)).describe()["rows"]["test"] > 100


@pytest.mark.parametrize(
    ("settings", "error", "said"),
    [
        ({"factor": 10.0}, ArgumentError, "factor"),
        ({"drop": ("x",)}, ArgumentError, "drop"),
        ({"model": "resnet32"}, UnknownName, "pointnet2"),
        ({"target": "species"}, DataError, "no column 'species'"),
        ({"test": "nowhere.laz"}, DataError, "no file nowhere.laz"),
        ({"task": "points(radius=1)"}, UnknownName, "'radii'"),
        ({"task": "points(sample=3)"}, ArgumentError, "sample"),
        ({"task": "points(group=plot)"}, DataError, "no column 'plot'"),
    ],
)
def test_what_is_wrong_is_said(cloud: Cloud, settings, error, said) -> None:
    with pytest.raises(error, match=said):
        load(cloud, **{"task": TASK, **settings})


def test_data_that_are_no_clouds() -> None:
    with pytest.raises(DataError, match="found dict"):
        points({}, ProblemSettings())
    with pytest.raises(DataError, match="no file"):
        load("nowhere", task="points")
