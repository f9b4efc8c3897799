"""The multi-label task."""

import math

import numpy as np
import pytest
import torch
from label_sets import NAMES, task
from sklearn.metrics import average_precision_score, f1_score, recall_score
from torch import nn

from steelyard.core.errors import CombinationError, DataError
from steelyard.core.fit import fit
from steelyard.core.measure import predict_proba
from steelyard.core.regime import Regime
from steelyard.core.rows import LABEL_SETS, Batch
from steelyard.core.task import TaskView
from steelyard.methods.ce import ce
from steelyard.tasks.multi_label import MultiLabelTask
from steelyard.tasks.multi_label import task as module
from steelyard.tasks.multi_label.sources import labels_of

CPU = torch.device("cpu")


def batch_of(made, rows=8):
    index, inputs = next(iter(made.splits["train"].stream([torch.arange(rows)])))
    return Batch(made.load(inputs, augment="none", generator=None), made.splits["train"].target[index], index)


def test_classes_are_labels_with_their_states_and_counts_follow_the_training_rows():
    made = task(missing=0.2)
    labels = labels_of(made.splits["train"])
    assert made.class_names == tuple(f"{name}: {state}" for name in NAMES for state in ("no", "yes"))
    assert made.counts[1::2].tolist() == (labels == 1).sum(0).tolist()
    rest, reserved = TaskView(made).reserve(3)
    both = rest.counts + torch.stack([(labels_of(reserved) == 0).sum(0), (labels_of(reserved) == 1).sum(0)], 1).flatten()
    assert bool((both >= made.counts).all()) and bool((rest.counts <= made.counts).all())
    assert made.describe()["labels_not_known"] == pytest.approx(float(labels.isnan().double().mean()))


def test_prediction_is_a_row_for_each_known_label():
    made = task(missing=0.3)
    model = made.model()
    proba, target = predict_proba(made, model, "test", "cpu")
    labels = labels_of(made.splits["test"])
    known = ~labels.isnan()
    assert len(target) == int(known.sum())
    odds = made.predict_log_odds(model, made.splits["test"])
    np.testing.assert_allclose(proba[np.arange(len(target)), target | 1], odds.sigmoid()[known].numpy(), atol=1e-6)
    np.testing.assert_array_equal(target & 1, labels[known].numpy())
    assert proba.sum(1) == pytest.approx(1)


def test_own_metrics_are_those_of_scikit_learn():
    made = task()
    fitted = fit(made, ce, Regime(epochs=5, batch_size=32, lr=0.05), device="cpu")
    found = made.further_metrics(fitted.model, "test", CPU)
    assert set(found) == set(made.own_metrics)
    proba = made.predict_log_odds(fitted.model, made.splits["test"]).sigmoid().numpy()
    truth = labels_of(made.splits["test"]).numpy().astype(int)
    assert found["map"] == pytest.approx(average_precision_score(truth, proba, average="macro"))
    decided = (proba >= 0.5).astype(int)
    assert found["micro_f1"] == pytest.approx(f1_score(truth, decided, average="micro"))
    assert found["label_f1"] == pytest.approx(f1_score(truth, decided, average="macro", zero_division=0))
    assert found["label_recall"] == pytest.approx(recall_score(truth, decided, average="macro"))
    recalls = recall_score(truth, decided, average=None)
    assert found["many_label_recall"] == pytest.approx(recalls[0])  # thirds of the labels by training examples
    assert found["few_label_recall"] == pytest.approx(recalls[2])


def test_without_validation_rows_nothing_is_tuned():
    made = task()
    del made.splits["valid"]
    found = made.further_metrics(made.model(), "test", CPU)
    assert math.isnan(found["tuned_label_f1"]) and not math.isnan(found["label_f1"])


def test_a_network_of_the_users_may_have_a_score_a_label_or_a_pair():
    for outputs in (3, 6):
        made = task(model=lambda outputs=outputs: nn.Linear(6, outputs))
        fitted = fit(made, ce, Regime(epochs=2, batch_size=32, lr=0.05), device="cpu")
        assert made.predict_log_odds(fitted.model, made.splits["test"]).shape == (60, 3)
    wrong = task(model=lambda: nn.Linear(6, 4))
    with pytest.raises(DataError, match=r"\[N, 3\], a score a label of 'pets', or \[N, 6\]"):
        fit(wrong, ce, Regime(epochs=1, batch_size=32), device="cpu")


def test_rows_carry_the_features_of_their_example():
    made = task()
    model = made.model().eval()
    rows = made.forward(model, batch_of(made))
    assert rows.features.shape == (24, rows.features.shape[1])
    assert torch.equal(rows.features[0], rows.features[2]) and not torch.equal(rows.features[0], rows.features[3])
    assert rows.index is None


def test_what_a_transform_adds_to_rows_is_refused():
    made = task()
    with pytest.raises(CombinationError, match="'views'"):
        made.forward(made.model(), batch_of(made).replace(extra={"views": 2}))


def test_too_many_labels_are_refused_before_memory_is(monkeypatch):
    made = task()
    monkeypatch.setattr(module, "MOST_ENTRIES", 60 * 3 * 6)
    with pytest.raises(
        DataError, match="a batch of 30 examples with 3 labels has too many scores: set batch_size to 15 or less"
    ):
        made.forward(made.model(), batch_of(made, 30))
    assert made.predict(made.model().eval(), made.splits["test"])[0].shape == (180, 6)  # in smaller batches
    monkeypatch.setattr(module, "MOST_ENTRIES", 59 * 3 * 6)
    labels = {name: labels_of(source) for name, source in made.splits.items()}
    with pytest.raises(DataError, match=r"60 test examples with 3 labels.*at most 59 test examples"):
        MultiLabelTask(made.inner, labels, NAMES)


def test_load_prepares_inputs_and_leaves_labels():
    made = task()
    given = {"inputs": torch.arange(12).reshape(2, 6), LABEL_SETS: torch.tensor([[1.0, 0, 0], [0, 1, 1]])}
    loaded = made.load(given, augment="none", generator=None)
    assert loaded["inputs"].dtype == torch.float32 and torch.equal(loaded[LABEL_SETS], given[LABEL_SETS])
