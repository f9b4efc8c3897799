from __future__ import annotations

import numpy as np
import pytest

from steelyard.core.errors import ArgumentError
from steelyard.diagnosis import recall_at, taxonomy
from steelyard.diagnosis.expected import expected, recalls_of, worst_of


def gaussian(counts: tuple[int, ...], dim: int = 6, delta: float = 2.0, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    draw = np.random.default_rng(seed)
    y = np.repeat(np.arange(len(counts)), counts)
    means = delta / np.sqrt(2) * np.eye(len(counts), dim)  # any two are delta apart
    return draw.normal(size=(len(y), dim)) + means[y], y


def test_at_its_own_counts_it_is_the_taxonomy() -> None:
    X, y = gaussian((600, 60))
    found = taxonomy(X, y)
    lines = expected(found, [600, 60])
    assert lines is not None
    assert recalls_of(lines) == pytest.approx([one.recall for one in found.classes], abs=1e-9)
    assert lines[1].lost.prior == pytest.approx(found.pair.lost.prior, abs=1e-9)
    assert lines[1].delta_interval == found.pair.delta_interval


def test_two_classes_follow_the_closed_form_at_any_counts() -> None:
    X, y = gaussian((500, 500))
    found = taxonomy(X, y)
    lines = expected(found, [900, 100])
    assert lines is not None
    assert lines[1].recall == pytest.approx(float(recall_at(9, 1000 / 6, found.delta)), abs=2e-3)
    assert lines[1].eta == pytest.approx(9)
    assert lines[0].eta == pytest.approx(1 / 9)


def test_separability_from_balanced_rows_predicts_a_skewed_draw() -> None:
    X, y = gaussian((3000, 3000, 3000), seed=1)
    lines = expected(taxonomy(X, y), [800, 80, 20])
    assert lines is not None
    recalls = []
    for seed in range(8):
        train, labels = gaussian((800, 80, 20), seed=10 + seed)
        recalls.append(lda_recalls(train, labels, X, y))
    for line, recall in zip(lines, np.mean(recalls, axis=0), strict=True):
        assert line.recall_bounds[0] - 0.02 < recall < line.recall_bounds[1] + 0.02
        assert line.recall == pytest.approx(recall, abs=0.1)
    assert worst_of(lines).label == 2


def lda_recalls(X: np.ndarray, y: np.ndarray, rows: np.ndarray, classes: np.ndarray) -> list[float]:
    from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

    said = LinearDiscriminantAnalysis(solver="lsqr").fit(X, y).predict(rows)
    return [float((said[classes == c] == c).mean()) for c in range(3)]


def test_a_class_that_was_never_trained_on_counts_as_one_row() -> None:
    lines = expected(taxonomy(*gaussian((200, 200, 200))), [500, 50, 0])
    assert lines is not None
    assert lines[2].rows == 0
    assert lines[2].eta == pytest.approx(500)


def test_nothing_is_said_where_distances_cannot_be_known() -> None:
    wide = taxonomy(*gaussian((20, 20), dim=60))
    assert expected(wide, [20, 20]) is None
    known = taxonomy(*gaussian((200, 200)))
    assert expected(known, [5, 2]) is None  # fewer rows than features
    with pytest.raises(ArgumentError, match="one a class"):
        expected(known, [5, 2, 1])
