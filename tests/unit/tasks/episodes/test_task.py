"""Episodes as a task: rows, ranks, what is fresh and what is fixed."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from ending import Bomb, Interrupt
from torch import nn

from steelyard.core.errors import CheckpointError, CombinationError, DataError
from steelyard.core.fit import fit
from steelyard.core.measure import further_metrics, predict_logits
from steelyard.core.regime import Regime
from steelyard.core.rows import Batch
from steelyard.core.task import TaskView
from steelyard.data import Shots
from steelyard.nets.episodic import Episode, ProtoNet, Rebalance
from steelyard.settings import resolve_method
from steelyard.tasks.episodes import Classes, EpisodeTask, Plan
from steelyard.tasks.episodes.parts import Labelled
from steelyard.tasks.models import Builder

WAY, QUERIES, D = 3, 2, 4
COUNTS = {"train": 5, "valid": 3, "test": 6}
REGIME = Regime(epochs=2, batch_size=2, lr=0.05)


def backbone() -> nn.Module:
    return nn.Sequential(nn.Linear(D, 8), nn.ReLU(), nn.Linear(8, 8))


def classes(noise: float = 0.3) -> Classes:
    drawn = torch.Generator().manual_seed(0)
    target = torch.arange(12).repeat_interleave(10)
    inputs = torch.randn(12, D, generator=drawn)[target] + noise * torch.randn(120, D, generator=drawn)
    of = {"train": tuple(range(5)), "valid": (5, 6, 7), "test": (8, 9, 10, 11)}
    return Classes(inputs, target, tuple("abcdefghijkl"), of)


def task(profile: str = "linear", training: str = "standard", **changes) -> EpisodeTask:
    plan = Plan(WAY, Shots(profile, 1, 5), QUERIES, training, COUNTS)
    return EpisodeTask("tiny", changes.get("classes", classes()), plan, Builder("tiny", backbone))


def loaded(made: EpisodeTask, split: str, generator: torch.Generator | None = None, rows: int = 2):
    _, inputs = next(iter(made.splits[split].stream([torch.arange(rows)])))
    return made.load(inputs, augment="none", generator=generator)


def test_a_row_of_the_loss_is_a_query_and_classes_are_ranks_of_support():
    made = task()
    episodes = loaded(made, "test")
    batch = Batch(episodes, torch.zeros(2).long(), torch.arange(2))
    rows = made.forward(ProtoNet(nn.Identity()), batch)
    assert rows.logits.shape == (2 * WAY * QUERIES, WAY)
    assert rows.index is not None
    assert rows.index.tolist() == [0] * 6 + [1] * 6
    assert rows.features is not None
    assert rows.extra["support_counts"].tolist() == [[5, 3, 1]] * 12
    for number, episode in enumerate(episodes):
        order = episode.counts.sort(descending=True, stable=True).indices
        own = rows.target[number * 6 : number * 6 + 6]
        # queries come grouped by label: the label of rank r is order[r]
        assert order[own].tolist() == [0, 0, 1, 1, 2, 2]
        plain = ProtoNet(nn.Identity())(episode).logits
        assert torch.equal(rows.logits[number * 6 : number * 6 + 6], plain[:, order])
        assert episode.answers is None


def test_training_draws_fresh_episodes_and_evaluation_does_not():
    made = task()
    fixed = [loaded(made, "train")[0].support for _ in range(2)]
    assert torch.equal(*fixed)
    stream = torch.Generator().manual_seed(3)
    first, second = loaded(made, "train", stream)[0], loaded(made, "train", stream)[0]
    assert not torch.equal(first.support, second.support)
    assert first.answers is not None
    again = loaded(made, "train", torch.Generator().manual_seed(3))[0]
    assert torch.equal(first.support, again.support)


def test_classes_are_disjoint_between_splits():
    made = task(classes=classes(noise=0.0))
    seen = {}
    for split in ("train", "valid", "test"):
        held = torch.cat([torch.cat([episode.support, episode.query]) for episode in loaded(made, split, rows=3)])
        seen[split] = {tuple(row.tolist()) for row in held}
    assert not seen["train"] & seen["test"]
    assert not seen["train"] & seen["valid"]
    assert not seen["valid"] & seen["test"]


def test_inputs_are_normalised_by_those_of_training_classes():
    made = task()
    own = classes()
    train = own.inputs[own.rows("train")]
    taken = made.examples.take(torch.arange(3), torch.device("cpu"))
    assert torch.allclose(taken, (own.inputs[:3] - train.mean(0)) / train.std(0, unbiased=False), atol=1e-5)
    pixels = torch.randint(0, 256, (120, 1, 6, 6), generator=torch.Generator().manual_seed(0)).to(torch.uint8)
    images = task(classes=Classes(pixels, own.target, own.names, own.of))
    black = images.examples.black(torch.device("cpu"))
    assert black is not None
    assert torch.allclose(black, -images.examples.mean / images.examples.std)
    assert task().examples.black(torch.device("cpu")) is None


def test_training_episodes_are_standard_random_or_the_same():
    shots = {}
    for training in ("standard", "random-shot", "same"):
        made = task("step" if training == "same" else "linear", training)
        stream = torch.Generator().manual_seed(0)
        shots[training] = [e.counts.tolist() for _ in range(10) for e in loaded(made, "train", stream)]
    assert all(counts == [3, 3, 3] for counts in shots["standard"])
    assert {n for counts in shots["random-shot"] for n in counts} == {1, 2, 3, 4, 5}
    assert all(sorted(counts) == [1, 5, 5] for counts in shots["same"])


def test_counts_are_support_examples_by_rank():
    assert task().counts.tolist() == [15, 15, 15]
    assert task("linear", "same").counts.tolist() == [25, 15, 5]
    random = task("linear", "random-shot").counts
    assert bool((random.diff() <= 0).all())
    facts = task().describe()
    assert facts["imbalance_factor"] == 5
    assert facts["rows"] == {"train": 30, "valid": 18, "test": 36}
    assert facts["counts"]["test"] == [12, 12, 12]
    assert facts["classes"] == {"train": 5, "valid": 3, "test": 4}
    assert task().class_names == ("rank 1 (5 shots)", "rank 2 (3 shots)", "rank 3 (1 shot)")


def test_all_methods_and_seeds_are_judged_on_the_same_episodes():
    made, other = task(), task()
    one, two = (predict_logits(t, ProtoNet(nn.Identity()), t.splits["test"]) for t in (made, other))
    assert torch.equal(one[0], two[0])
    for profile in ("balanced", "linear", "step"):  # and under every profile of support on the same queries
        assert all(
            torch.equal(a.query, b.query) for a, b in zip(loaded(task(profile), "test"), loaded(made, "test"), strict=True)
        )


def test_numbers_of_its_own():
    made = task()
    fitted = fit(made, resolve_method("ce"), REGIME, device="cpu")
    logits, target = predict_logits(made, fitted.model, made.splits["test"])
    found = further_metrics(made, fitted.model, "test", "cpu")
    assert set(found) == set(made.own_metrics)
    assert list(found)[-3:] == ["recall_1_shots", "recall_3_shots", "recall_5_shots"]
    right = logits.argmax(1) == target
    each = right.double().reshape(6, -1).mean(1)
    assert found["episode_accuracy"] == pytest.approx(float(each.mean()))
    half = 1.96 * float(each.std()) / 6**0.5
    assert found["episode_accuracy_low"] == pytest.approx(float(each.mean()) - half)
    assert found["rarest_recall"] == found["recall_1_shots"] == pytest.approx(float(right[target == 2].double().mean()))
    assert found["recall_5_shots"] == pytest.approx(float(right[target == 0].double().mean()))
    with torch.no_grad():
        next(fitted.model.parameters()).zero_()
    assert further_metrics(made, fitted.model, "test", "cpu") != found  # what was predicted before is not taken for this


def test_an_interrupted_run_goes_on_bit_for_bit(tmp_path):
    whole = fit(task(training="random-shot"), resolve_method("ce"), REGIME, device="cpu")
    again = {"regime": REGIME, "device": "cpu", "folder": tmp_path, "checkpoint_seconds": 0.0}
    with pytest.raises(Interrupt):
        fit(task(training="random-shot"), resolve_method("ce"), listeners=[Bomb(3)], **again)
    resumed = fit(task(training="random-shot"), resolve_method("ce"), **again)
    assert all(torch.equal(a, b) for a, b in zip(whole.model.parameters(), resumed.model.parameters(), strict=True))
    with pytest.raises(CheckpointError, match="another run"):  # other data are noticed
        fit(task(training="random-shot", classes=classes(noise=0.2)), resolve_method("ce"), **again)


def test_methods_of_a_seed_meet_the_same_episodes_and_first_weights():
    ce, la = (fit(task(), resolve_method(name), REGIME, device="cpu") for name in ("ce", "protonet"))
    assert all(torch.equal(a, b) for a, b in zip(ce.model.parameters(), la.model.parameters(), strict=True))
    assert ce.history[0]["train_loss"] == la.history[0]["train_loss"]


def test_batches_of_images_have_training_classes():
    made = task()
    view = TaskView(made)
    other = view.on(view.context["images"])
    assert other.counts.tolist() == [10] * 5
    batch = loaded(other, "train", torch.Generator().manual_seed(0))
    assert isinstance(batch, Labelled)
    assert len(batch.inputs) == 2 * WAY * (QUERIES + 3)
    assert set(batch.target.tolist()) <= set(range(5))
    sweep = view.on(view.context["every_image"])
    source = sweep.splits["train"]
    taken = [
        sweep.load(inputs, augment="none", generator=None).target
        for _, inputs in source.stream(torch.split(torch.arange(len(source)), 1))
    ]
    assert torch.bincount(torch.cat(taken)).tolist() == [10] * 5


def test_any_wrapper_of_a_learner_is_given_whole_episodes():
    made = task()
    learner = ProtoNet(nn.Identity(), Rebalance("ros"))
    batch = Batch(loaded(made, "test"), torch.zeros(2).long(), torch.arange(2))
    assert torch.equal(made.forward(nn.Sequential(learner), batch).logits, made.forward(learner, batch).logits)


def test_what_cannot_be_mixed_or_drawn_is_said():
    made = task()
    batch = Batch(loaded(made, "test"), torch.zeros(2).long(), torch.arange(2), share=torch.ones(2))
    with pytest.raises(CombinationError, match="cannot be mixed"):
        made.forward(ProtoNet(nn.Identity()), batch)
    with pytest.raises(DataError, match="augmentation 'crop-flip'"):
        made.load({}, augment="crop-flip", generator=None)
    few = classes()
    with pytest.raises(DataError, match="3-way episodes need at least 3 test classes; there are 2"):
        task(classes=Classes(few.inputs, few.target, few.names, {"train": (0, 1, 2), "test": (3, 4)}))
    with pytest.raises(DataError, match="3 support and 2 query examples of a class, and the train class 'b' has 3"):
        task(classes=Classes(few.inputs[::3], few.target[::3], few.names, few.of))
    assert isinstance(loaded(made, "test")[0], Episode)


def test_its_pictures_are_the_audit_of_its_support_and_what_was_decided() -> None:
    made = task()
    proba = np.eye(WAY)[np.zeros(COUNTS["test"] * WAY * QUERIES, dtype=int)]
    found = made.figures(proba, np.zeros(len(proba), dtype=int))
    assert list(found) == ["bias audit", "decided ranks"]
    means = [name.split("(")[1].split()[0] for name in made.class_names]  # linear support: the same in all episodes
    assert [one["name"].split()[0] for one in found["bias audit"]["panels"][0]["series"]] == means
    assert found["decided ranks"]["categories"] == list(made.class_names)
    assert found["decided ranks"]["panels"][0]["series"][0]["values"] == [1, 0, 0]
