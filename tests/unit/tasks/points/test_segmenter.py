from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from steelyard.core.errors import ArgumentError, DataError
from steelyard.data.clouds import Cloud, forest
from steelyard.decisions import Adjusted, LogitShift
from steelyard.tasks.points.making import Protocol, point_task
from steelyard.tasks.points.samples import Cutting
from steelyard.tasks.points.segmenter import NOT_ASKED, Segmenter
from steelyard.tasks.points.task import PointTask

CLASSES = ("0:ground", "1:wood", "2:leaf")


@pytest.fixture(scope="module")
def task() -> PointTask:
    cloud = forest(6, points_per_tree=150)
    protocol = Protocol(classes=CLASSES, cutting=Cutting(size=64), radii=(0.4,), valid_fraction=0.0, group="islands")
    return point_task("forest", [cloud], protocol, model="point-mlp")


@pytest.fixture(scope="module")
def segmenter(task: PointTask) -> Segmenter:
    torch.manual_seed(0)
    return Segmenter.of(task, task.model())


def test_every_point_is_labelled(segmenter: Segmenter) -> None:
    cloud = forest(2, points_per_tree=200, seed=3)
    ground = cloud.columns["label"] == 0
    found = segmenter.segment(cloud, left_out=ground)
    assert np.array_equal(found.classes == -1, ground)
    np.testing.assert_allclose(found.proba[~ground].sum(1), 1, atol=1e-5)
    assert np.isnan(found.proba[ground]).all()
    columns = segmenter.labelled(cloud, found).columns
    assert {*columns["predicted_label"].tolist()} <= {1, 2, NOT_ASKED}
    assert np.array_equal(columns["predicted_label"] == NOT_ASKED, ground)
    assert np.array_equal(columns["probability_leaf"][~ground] > 0.5, columns["predicted_label"][~ground] == 2)
    assert columns["tree"] is cloud.columns["tree"]


@pytest.mark.parametrize("points", [1, 2, 70])
def test_few_points_copies_and_strays(segmenter: Segmenter, points: int) -> None:
    draw = np.random.default_rng(0)
    for xyz in (draw.random((points, 3)), np.ones((points, 3)), draw.random((points, 3)) * 500):
        found = segmenter.segment(Cloud(xyz + np.array([286_500, 4_649_776, 0])))
        assert (found.classes >= 0).all()
        assert np.isfinite(found.proba).all()


def test_a_point_alone_has_the_same_label_wherever_the_cloud_lies(segmenter: Segmenter) -> None:
    cloud = forest(2, points_per_tree=200, seed=3)
    moved = Cloud(cloud.xyz - np.floor(cloud.xyz.min(0)))
    np.testing.assert_allclose(segmenter.segment(cloud.take(slice(None))).proba, segmenter.segment(moved).proba, atol=1e-3)


def test_votes_are_averaged(segmenter: Segmenter) -> None:
    cloud = forest(1, points_per_tree=300, seed=3)
    one, three = (segmenter.segment(cloud, votes=votes).proba for votes in (1, 3))
    np.testing.assert_allclose(three.sum(1), 1, atol=1e-5)
    np.testing.assert_allclose(one, three, atol=1e-5)  # of a network that looks at each point alone every vote is the same
    with pytest.raises(ArgumentError, match="votes"):
        segmenter.segment(cloud, votes=0)


def test_a_shift_of_the_scores_is_kept(task: PointTask) -> None:
    model = task.model()
    plain, shifted = Segmenter.of(task, model), Segmenter.of(task, Adjusted(model, LogitShift(task.counts)))
    cloud = forest(1, points_per_tree=200, seed=3)
    more = shifted.segment(cloud).proba[:, 0] - plain.segment(cloud).proba[:, 0]
    assert (more > 0).all()  # wood is the rarer class
    tensors, recipe = shifted.state()
    again = Segmenter.from_state(recipe, tensors)
    np.testing.assert_allclose(again.segment(cloud).proba, shifted.segment(cloud).proba, atol=1e-6)
    with pytest.raises(ArgumentError, match="shifted scores"):
        Segmenter.of(task, Adjusted(model, nn.Softmax(1)))


def test_agrees_with_the_task_on_its_own_trees() -> None:
    """The same samples by the same recipe: the pipeline at prediction is that of training."""
    cloud = forest(4, points_per_tree=150, seed=2)
    protocol = Protocol(classes=CLASSES, cutting=Cutting(size=64), radii=(0.4,), valid_fraction=0.0)
    task = point_task("forest", [forest(4, points_per_tree=150)], protocol, test=[cloud])
    torch.manual_seed(0)
    model = task.model().eval()
    with torch.no_grad():
        logits, target = task.predict(model, task.splits["test"])
    found = Segmenter.of(task, model).segment(cloud, left_out=cloud.columns["label"] == 0)
    expected = torch.softmax(logits, 1).numpy()
    kept = found.classes >= 0
    order = np.lexsort(expected.T), np.lexsort(found.proba[kept].T)
    np.testing.assert_allclose(found.proba[kept][order[1]], expected[order[0]], atol=1e-5)
    assert len(target) == kept.sum()


def test_missing_coordinates_are_refused(segmenter: Segmenter) -> None:
    with pytest.raises(DataError, match="missing or infinite"):
        segmenter.segment(Cloud(np.array([[0.0, np.nan, 0.0]])))


def test_labels_that_are_words_are_numbered(task: PointTask) -> None:
    recipe = {**task.facts["recipe"], "values": ["wood", "leaf"]}
    assert Segmenter(task.model(), recipe).values.tolist() == [0, 1]
