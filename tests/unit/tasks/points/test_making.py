from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from steelyard.core.errors import ArgumentError, DataError, UnknownName
from steelyard.data.clouds import Cloud, forest
from steelyard.tasks.points.geometry import geometric_features
from steelyard.tasks.points.making import Protocol, point_task
from steelyard.tasks.points.samples import Cutting

CLASSES = ("0:ground", "1:wood", "2:leaf")
SMALL = {"classes": CLASSES, "cutting": Cutting(size=64), "radii": (0.4,), "valid_fraction": 0.15}


@pytest.fixture(scope="module")
def cloud() -> Cloud:
    return forest(9, points_per_tree=150)


def sample_of(task, split: str) -> dict[str, torch.Tensor]:
    source = task.splits[split]
    return next(iter(source.stream([torch.arange(len(source))])))[1]


def test_no_tree_is_in_two_splits(cloud: Cloud) -> None:
    """Trees stand apart, so features of a training point are those of its own tree alone: found by their values."""
    task = point_task("forest", [cloud], Protocol(**SMALL))
    above = cloud.take(cloud.columns["label"] > 0)
    features = geometric_features(above.xyz, (0.4,), grain=0.1)
    tree_of = {tuple(values): int(tree) for values, tree in zip(features.round(6).tolist(), above.columns["tree"], strict=True)}
    trees = {}
    for split in ("train", "valid", "test"):
        inputs = sample_of(task, split)
        rows = inputs["features"][inputs["asked"]].numpy().round(6).tolist()
        trees[split] = {tree_of[tuple(values)] for values in rows if tuple(values) != (0.333333, 0.0, 1.0, 0.0)}
    # Degenerate neighbourhoods (two points) may have the numbers of another tree's; whole trees dominate.
    assert sum(map(len, trees.values())) <= 9 + 3
    assert len(trees["train"]) > len(trees["test"]) > 0


def test_the_same_settings_give_the_same_task(cloud: Cloud) -> None:
    one, again = (point_task("forest", [cloud], Protocol(**SMALL)) for _ in range(2))
    other = point_task("forest", [cloud], Protocol(**SMALL, seed=1))
    assert torch.equal(sample_of(one, "train")["xyz"], sample_of(again, "train")["xyz"])
    assert one.describe() == again.describe()
    assert one.describe()["counts"] != other.describe()["counts"]


def test_samplers_balance_by_what_a_sample_has_more_than_its_share_of(cloud: Cloud) -> None:
    task = point_task("forest", [cloud], Protocol(**SMALL))
    inputs = sample_of(task, "train")
    label, asked = inputs["label"], inputs["asked"]
    wood = ((label == 0) & asked).sum(1) / asked.sum(1)
    share = task.counts[0] / task.counts.sum()
    assert torch.equal(task.splits["train"].target == 0, wood >= share)


def test_separate_test_clouds_and_several_clouds(cloud: Cloud) -> None:
    test = forest(2, points_per_tree=150, seed=7)
    task = point_task("forest", [cloud, forest(4, points_per_tree=150, seed=1)], Protocol(**SMALL), test=[test])
    assert task.describe()["counts"]["test"] == [int((test.columns["label"] == v).sum()) for v in (1, 2)]
    none = point_task("forest", [cloud], Protocol(**{**SMALL, "valid_fraction": 0.0}), test=[test])
    assert set(none.splits) == {"train", "test"}


def test_the_ground_can_stay(cloud: Cloud) -> None:
    task = point_task("forest", [cloud], Protocol(**{**SMALL, "ignore": (), "group": "tiles"}))
    assert task.class_names == ("ground", "wood", "leaf")
    assert task.own_metrics[0] == "leaf_recall"
    assert "ground and wood" in task.describe()["positive"]


def test_where_too_few_parts_hang_together_there_are_tiles(cloud: Cloud) -> None:
    """One large stand of trees and three twigs far off: no deal of the four parts gives every split of every class."""
    draw = np.random.default_rng(0)
    stand = draw.uniform(0, 20, (4000, 3)) * [1, 1, 0.2]
    twigs = np.array([[100.0, 0, 0], [200, 0, 0], [300, 0, 0]])
    label = np.append(1 + (draw.random(4000) < 0.8), [1, 1, 1])
    scan = Cloud(np.concatenate([stand, twigs]), {"label": label})
    known = {**SMALL, "classes": ("1:wood", "2:leaf")}
    assert "by tiles of 5 m" in " ".join(point_task("x", [scan], Protocol(**known)).notes)
    with pytest.raises(DataError, match="no deal of 4 groups"):
        point_task("x", [scan], Protocol(**known, group="islands"))


def test_the_recipe_is_json(cloud: Cloud) -> None:
    recipe = point_task("forest", [cloud], Protocol(**SMALL), model="point-mlp").facts["recipe"]
    assert json.loads(json.dumps(recipe)) == recipe
    assert (recipe["values"], recipe["classes"], recipe["model"]) == (["1", "2"], ["wood", "leaf"], "point-mlp")


def test_what_cannot_be_learnt_from(cloud: Cloud) -> None:
    missing = Cloud(np.where(np.arange(len(cloud))[:, None] == 5, np.nan, cloud.xyz), cloud.columns, "scan")
    for clouds, protocol, error, said in (
        ([missing], Protocol(**SMALL), DataError, "1 of the .* first is point 6"),
        ([Cloud(cloud.xyz)], Protocol(**SMALL), DataError, "no labels"),
        ([cloud.take(np.arange(1))], Protocol(**SMALL), DataError, "two are needed|no labels"),
        ([cloud], Protocol(**{**SMALL, "positive": "bark"}), UnknownName, "bark"),
        ([cloud], Protocol(**{**SMALL, "radii": ()}), ArgumentError, "radii"),
        ([cloud], Protocol(**{**SMALL, "classes": ("1:wood", "9:rock")}), DataError, "no point has the label 9"),
    ):
        with pytest.raises(error, match=said):
            point_task("x", clouds, protocol)
