"""Numbers that were worked out by hand or agreed on by several libraries; they may never move."""

from __future__ import annotations

import numpy as np
import pytest

from steelyard import metrics

CONFUSION = np.array([[90, 8, 2], [6, 12, 2], [3, 1, 1]])


def rows_of(confusion: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Decisions and true classes that give a confusion matrix."""
    truth, decided = np.indices(confusion.shape).reshape(2, -1)
    return np.repeat(decided, confusion.ravel()), np.repeat(truth, confusion.ravel())


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("accuracy", 0.824),
        ("balanced_accuracy", 0.566667),
        ("macro_f1", 0.563296),
        ("g_mean", 0.476220),
        ("mcc", 0.479311),
        ("worst_recall", 0.2),
        ("zero_recall_classes", 0),
    ],
)
def test_one_confusion_matrix_by_every_metric_of_decisions(name: str, value: float) -> None:
    decided, truth = rows_of(CONFUSION)
    assert getattr(metrics, name)(decided, truth) == pytest.approx(value, abs=5e-7)
    scores = metrics.evaluate(np.eye(3)[decided], truth)
    assert scores.values[name] == pytest.approx(value, abs=5e-7)
    assert scores.confusion.tolist() == CONFUSION.tolist()


def test_per_class_numbers_of_the_same_matrix() -> None:
    decided, truth = rows_of(CONFUSION)
    per_class = metrics.evaluate(np.eye(3)[decided], truth).per_class
    assert per_class["recall"] == pytest.approx([0.9, 0.6, 0.2])
    assert per_class["precision"] == pytest.approx([0.909091, 0.571429, 0.2], abs=5e-7)
    assert per_class["f1"] == pytest.approx([0.904523, 0.585366, 0.2], abs=5e-7)
    assert per_class["support"] == [100, 20, 5]


def test_a_class_without_rows_is_left_out_of_averages_and_named() -> None:
    decided, truth = np.array([0, 0, 2, 1, 1, 0]), np.array([0, 0, 0, 1, 1, 1])
    scores = metrics.evaluate(np.eye(3)[decided], truth)
    assert scores.absent == (2,)
    assert scores.values["balanced_accuracy"] == pytest.approx(2 / 3)
    assert scores.values["macro_f1"] == pytest.approx((2 * 2 / 6 + 2 * 2 / 5) / 2)
    assert scores.values["g_mean"] == pytest.approx(2 / 3)
    assert np.isnan(scores.per_class["recall"][2])
    assert np.isnan(scores.per_class["recall_low"][2])
    assert scores.notes[0] == "class 2 has no rows in this split and is left out of averages over classes"


def test_ece() -> None:
    confidence = np.array([0.95] * 4 + [0.65] * 2 + [0.55] * 2)
    right = np.array([1, 1, 1, 0, 1, 0, 1, 0])
    assert metrics.ece(np.stack([confidence, 1 - confidence], 1), 1 - right, bins=10) == pytest.approx(0.15)


def test_brier_is_not_halved() -> None:
    assert metrics.brier([[0.7, 0.2, 0.1], [0.1, 0.6, 0.3], [0.2, 0.3, 0.5]], [0, 1, 0]) == pytest.approx(0.46)
    assert metrics.brier([[0.1, 0.9], [0.9, 0.1]], [1, 0]) == pytest.approx(0.02)


def test_average_precision_is_stepwise_and_a_constant_gets_the_prevalence() -> None:
    score, truth = np.array([0.9, 0.8, 0.7, 0.6, 0.5]), [1, 0, 1, 0, 0]
    assert metrics.auprc(np.stack([1 - score, score], 1), truth) == pytest.approx(0.833333, abs=5e-7)
    assert metrics.auprc([[0.5, 0.5]] * 5, truth) == pytest.approx(0.4)


@pytest.mark.parametrize(
    ("right", "rows", "exact", "score"),
    [
        (0, 5, (0, 0.5218), (0, 0.4345)),
        (3, 5, (0.1466, 0.9473), (0.2307, 0.8824)),
        (70, 100, (0.6002, 0.7876), (0.6042, 0.7811)),
    ],
)
def test_intervals_of_a_recall(right: int, rows: int, exact: tuple[float, float], score: tuple[float, float]) -> None:
    assert [float(x) for x in metrics.clopper_pearson(right, rows)] == pytest.approx(exact, abs=5e-5)
    assert [float(x) for x in metrics.wilson(right, rows)] == pytest.approx(score, abs=5e-5)


def test_standard_error_of_balanced_accuracy() -> None:
    assert metrics.balanced_accuracy_error([0.95, 0.8, 0.5], [1000, 100, 10]) == pytest.approx(0.0544, abs=5e-5)


@pytest.mark.parametrize(
    ("classes", "rows", "value"), [(100, 100, 0.5821), (10, 1000, 0.6776), (1000, 50, 0.4808), (100, 5, 0.1656)]
)
def test_worst_recall_of_equal_recalls(classes: int, rows: int, value: float) -> None:
    assert metrics.worst_recall_null(0.7, [rows] * classes) == pytest.approx(value, abs=5e-5)


@pytest.mark.parametrize(("pairs", "value"), [(5, 0.0625), (6, 0.03125), (7, 0.015625), (8, 0.0078125), (10, 0.001953125)])
def test_smallest_p_of_so_many_pairs(pairs: int, value: float) -> None:
    from scipy.stats import wilcoxon

    differences = np.arange(1, pairs + 1) / 100
    assert metrics.smallest_p(pairs) == metrics.sign_flip(differences) == value
    assert wilcoxon(differences).pvalue == pytest.approx(value)


def test_friedman_and_nemenyi() -> None:
    table = [[1, 2, 3]] * 4 + [[1, 3, 2], [2, 1, 3]]
    result = metrics.friedman(table)
    assert result.ranks.tolist() == pytest.approx([17 / 6, 2, 7 / 6])
    assert (result.statistic, result.p) == pytest.approx((8.3333, 0.015504), abs=5e-5)
    assert result.pairwise[[0, 0, 1], [1, 2, 2]].tolist() == pytest.approx([0.31865, 0.01087, 0.31865], abs=5e-6)


@pytest.mark.parametrize(("methods", "value"), [(2, 0.6198), (3, 1.0481), (5, 1.9288), (10, 4.2836)])
def test_critical_difference_of_ten_data_sets(methods: int, value: float) -> None:
    assert metrics.critical_difference(methods, 10) == pytest.approx(value, abs=1e-4)
