from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from steelyard.core.errors import CombinationError, DataError
from steelyard.core.fit import fit
from steelyard.core.measure import predict_logits
from steelyard.core.regime import Regime
from steelyard.core.rows import Batch
from steelyard.core.task import Part, TaskView
from steelyard.data.clouds import Cloud
from steelyard.settings import resolve_method
from steelyard.tasks.points.making import Protocol, point_task
from steelyard.tasks.points.samples import Cutting
from steelyard.tasks.points.task import PointTask

REGIME = Regime(epochs=2, batch_size=4, optimizer="adamw", lr=1e-2)


def tiny(seed: int = 0) -> Cloud:
    """Nine clumps: lines are wood, balls are leaf; some points have no label."""
    draw = np.random.default_rng(seed)
    parts, labels = [], []
    for clump in range(9):
        at = np.array([5.0 * (clump % 3), 5.0 * (clump // 3), 0.0])
        parts += [at + np.array([0, 0, 1.0]) * draw.random((12, 1)) * 2, at + [0, 0, 2] + 0.3 * draw.normal(size=(48, 3))]
        labels += [np.full(12, 1), np.full(48, 2)]
    label = np.concatenate(labels)
    label[::50] = 0
    return Cloud(np.concatenate(parts) + np.array([286_500, 4_649_776, 0]), {"label": label}, "tiny")


def make(model="point-mlp", **changes) -> PointTask:
    settings = {"classes": ("1:wood", "2:leaf"), "cutting": Cutting(size=32), "valid_fraction": 0.2, **changes}
    return point_task("tiny", [tiny()], Protocol(**settings), model=model)


@pytest.fixture(scope="module")
def task() -> PointTask:
    return make()


def test_classes_are_counted_in_points(task: PointTask) -> None:
    cloud = tiny()
    told = task.describe()
    every = np.array([told["counts"][split] for split in ("train", "valid", "test")])
    assert every.sum(0).tolist() == [(cloud.columns["label"] == v).sum() for v in (1, 2)]
    assert task.counts.tolist() == told["counts"]["train"]
    assert told["rows"]["test"] == every[2].sum()
    assert told["positive"] == "leaf; negative: wood"
    assert any("11 points have no label" in note for note in told["notes"])


def test_a_prediction_for_every_labelled_point_in_their_order(task: PointTask) -> None:
    source = task.splits["test"]
    logits, target = predict_logits(task, task.model(), source)
    assert len(logits) == len(target) == task.describe()["rows"]["test"]
    for _, inputs in source.stream([torch.arange(len(source))]):
        asked = inputs["asked"]
        point, label = inputs["point"][asked], inputs["label"][asked]
    assert sorted(point.tolist()) == list(range(len(target)))
    assert torch.equal(target[point], label)


def test_rows_are_the_points_that_are_asked_for(task: PointTask) -> None:
    source = task.splits["train"]
    index = torch.tensor([2, 0])
    (_, inputs) = next(iter(source.stream([index])))
    rows = task.forward(task.model(), Batch(inputs, source.target[index], index))
    assert len(rows.logits) == len(rows.target) == len(rows.index) == int(inputs["asked"].sum())
    assert torch.equal(rows.target, inputs["label"][inputs["asked"]])
    mixed = task.forward(task.model(), Batch(inputs, source.target[index], index, share=torch.tensor([1.0, 0.0])))
    assert mixed.share.sum() == inputs["asked"][0].sum()


def test_fewer_training_samples_are_counted_anew(task: PointTask) -> None:
    view = TaskView(task)
    part = Part(view.train, torch.tensor([0, 1]))
    smaller = view.on(part)
    (_, inputs) = next(iter(view.train.stream([torch.tensor([0, 1])])))
    assert smaller.counts.tolist() == torch.bincount(inputs["label"][inputs["asked"]], minlength=2).tolist()
    assert "test" not in smaller.splits


@pytest.mark.parametrize(
    "method",
    [
        "ce",
        "posthoc-la",
        "soul",
        "ldam-drw",
        "balanced-sampling",
        "class-balanced",
        "l2rw(meta_rows=2)",
        "cdb",
        "crt(head_epochs=1)",
    ],
)
def test_methods_made_for_rows_work_on_points(task: PointTask, method: str) -> None:
    fitted = fit(task, resolve_method(method), REGIME, device="cpu")
    found = task.further_metrics(fitted.model, "test", torch.device("cpu"))
    assert tuple(found) == task.own_metrics == ("leaf_recall", "leaf_specificity", "leaf_g_mean", "leaf_mcc", "leaf_auroc")
    assert all(0 <= value <= 1 for name, value in found.items() if name != "leaf_mcc")


def test_what_needs_whole_inputs_is_refused_in_a_sentence(task: PointTask) -> None:
    for method, said in (("mixup", "mixed"), ("joint-ssl", "views"), ("curvenet", "several rows")):
        with pytest.raises(CombinationError, match=said):
            fit(task, resolve_method(method), REGIME, device="cpu")


def test_a_turn_about_the_vertical_keeps_heights_and_distances(task: PointTask) -> None:
    (_, inputs) = next(iter(task.splits["train"].stream([torch.arange(3)])))
    turned = task.load(inputs, augment="strong", generator=torch.Generator().manual_seed(0))["xyz"]
    before = inputs["xyz"]
    assert not torch.allclose(turned, before, atol=1e-2)
    torch.testing.assert_close(turned[..., 2], before[..., 2])
    torch.testing.assert_close(torch.cdist(turned, turned), torch.cdist(before, before), atol=1e-3, rtol=1e-3)
    assert task.load(inputs, augment="rotate", generator=None) is inputs
    with pytest.raises(DataError, match="crop"):
        task.load(inputs, augment="crop", generator=None)


class Own(nn.Module):
    def __init__(self, outputs: int = 2, rows: bool = False) -> None:
        super().__init__()
        self.layer, self.rows = nn.Linear(12, outputs), rows

    def forward(self, xyz: Tensor, features: Tensor, asked: Tensor) -> Tensor:
        logits: Tensor = self.layer(features)
        return logits[asked] if self.rows else logits


def test_a_network_of_ones_own_may_give_sets_or_rows() -> None:
    for rows in (False, True):
        task = make(Own(rows=rows))
        assert len(predict_logits(task, task.model(), task.splits["test"])[0]) == task.describe()["rows"]["test"]
    wrong = make(Own(outputs=3))
    with pytest.raises(DataError, match=r"logits \[B, n, 2\]"):
        predict_logits(wrong, wrong.model(), wrong.splits["test"])


def test_the_picture_shows_test_points_where_they_are_with_their_own_labels() -> None:
    judged = tiny(seed=1)
    settings = Protocol(classes=("1:wood", "2:leaf"), cutting=Cutting(size=32), valid_fraction=0.2)
    task = point_task("two", [tiny()], settings, test=[judged], model="point-mlp")
    logits, target = predict_logits(task, task.model(), task.splits["test"])
    picture = task.figures(torch.softmax(logits, 1).numpy(), target.numpy())["cloud"]
    assert picture["title"] == "A test cloud: tiny"
    assert picture["decided"] == logits.argmax(1).tolist()
    label = judged.columns["label"]
    labelled = judged.xyz[label > 0]
    assert picture["whole"] == len(picture["xyz"]) == len(labelled)
    local = (labelled - labelled.min(0)).round(2).tolist()
    known = {tuple(point): value for point, value in zip(local, label[label > 0] - 1, strict=True)}
    assert [known[tuple(point)] for point in picture["xyz"]] == picture["true"]


def test_a_task_without_coordinates_has_no_picture() -> None:
    task = make()
    task.shown = None
    assert task.figures(np.ones((3, 2)), np.zeros(3, int)) == {}
