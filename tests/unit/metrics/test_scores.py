"""The one call: every metric by its name, and the sentences that go with them."""

from __future__ import annotations

import ast
import json
from pathlib import Path

import numpy as np
import pytest
import torch

from steelyard import metrics
from steelyard.bench.records import to_plain
from steelyard.core.counts import group_classes
from steelyard.core.errors import ArgumentError

NAMES = [
    *("accuracy", "balanced_accuracy", "macro_f1", "g_mean", "mcc", "worst_recall"),
    *("many_recall", "medium_recall", "few_recall"),
    *("auroc", "auprc", "ece", "classwise_ece", "brier", "log_loss", "zero_recall_classes"),
]


def problem(classes: int = 3, rows: int = 90) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    truth = np.arange(rows) % classes
    logits = rng.normal(size=(rows, classes)) + 1.5 * np.eye(classes)[truth]
    proba = np.exp(logits)
    return proba / proba.sum(1, keepdims=True), truth


def test_every_name_and_only_those() -> None:
    scores = metrics.evaluate(*problem())
    assert list(scores.values) == NAMES == list(metrics.METRICS)
    assert set(scores.per_class) == {"recall", "precision", "f1", "recall_low", "recall_high", "support"}
    assert set(NAMES) > metrics.LOWER_IS_BETTER


def test_values_are_those_of_the_functions() -> None:
    proba, truth = problem()
    values = metrics.evaluate(proba, truth).values
    for name in set(NAMES) - {"many_recall", "medium_recall", "few_recall"}:
        assert values[name] == getattr(metrics, name)(proba, truth), name


def test_tensors_and_arrays_give_the_same() -> None:
    proba, truth = problem()
    one, other = metrics.evaluate(torch.from_numpy(proba), torch.from_numpy(truth)), metrics.evaluate(proba, truth)
    assert repr(one.record()) == repr(other.record())


def test_groups_are_training_classes_and_carry_their_rule() -> None:
    proba, truth = problem()
    counts = [500, 60, 5]
    for groups in (group_classes(counts), {"rule": group_classes(counts).rule, "many": [0], "medium": [1], "few": [2]}):
        scores = metrics.evaluate(proba, truth, counts, groups)
        assert [scores.values[f"{name}_recall"] for name in ("many", "medium", "few")] == scores.per_class["recall"]
        assert "many / medium / few: training rows > 100 / 20 to 100 / < 20" in scores.notes
    empty = metrics.evaluate(proba, truth, groups=group_classes([500, 200, 5], "thresholds"))
    assert np.isnan(empty.values["medium_recall"])
    assert "no rows in this split for medium: recall is undefined there, not 0" in empty.notes
    assert any("without `groups`" in note for note in metrics.evaluate(proba, truth).notes)


def test_several_absent_classes_are_named_together() -> None:
    proba, truth = problem(8)
    kept = ~np.isin(truth, [3, 7])
    scores = metrics.evaluate(proba[kept], truth[kept])
    assert scores.absent == (3, 7)
    assert scores.notes[0] == "classes 3, 7 have no rows in this split and are left out of averages over classes"


def test_zero_recall_is_explained_and_else_the_null_of_the_worst_recall_is_given() -> None:
    proba, truth = problem()
    assert any("biased down" in note for note in metrics.evaluate(proba, truth).notes)
    blind = np.tile([0.5, 0.3, 0.2], (len(truth), 1))
    notes = metrics.evaluate(blind, truth).notes
    assert "G-mean and worst-class recall are 0 because 2 classes have recall 0" in notes


def test_the_record_is_json_with_null_for_the_undefined() -> None:
    proba, truth = problem(4)
    record = metrics.evaluate(proba[truth != 1], truth[truth != 1]).record()
    again = json.loads(json.dumps(to_plain(record), allow_nan=False))
    assert again["per_class"]["recall"][1] is None
    assert again["metrics"]["few_recall"] is None
    assert again["confusion"][1] == [0, 0, 0, 0]


@pytest.mark.parametrize(
    ("named", "settings"),
    [
        ("class_counts", {"class_counts": [5, 5]}),
        ("groups", {"groups": {"many": [0], "few": [3]}}),
        ("bins", {"bins": 0}),
    ],
)
def test_bad_settings_are_refused(named: str, settings: dict[str, object]) -> None:
    with pytest.raises(ArgumentError, match=f"`{named}`"):
        metrics.evaluate(*problem(), **settings)  # type: ignore[arg-type]


def test_nothing_here_imports_torch() -> None:
    for path in Path(metrics.__file__).parent.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            assert not [name for name in names if name.split(".")[0] == "torch"], path.name
