from __future__ import annotations

import json
import sys

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from steelyard.core.errors import ArgumentError
from steelyard.diagnosis.duplicates import duplicates


def rows(n: int = 500, d: int = 8, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n, d)) * np.arange(1, d + 1), rng.integers(0, 3, n)


def test_planted_copies_are_found_exactly() -> None:
    X, y = rows()
    X[100:110], y[100:110] = X[:10], y[:10]  # same label
    X[200:204], y[200:204] = X[20:24], (y[20:24] + 1) % 3  # other label
    X[300] = X[200]  # a third one
    found = duplicates(X, y).exact
    assert (found.groups, found.rows) == (14, 29)
    assert (found.across_classes, found.rows_across_classes) == (4, 9)
    assert found.examples[0] == (20, 200, 300)
    assert (found.across_splits, found.test_rows_across_splits) == (0, 0)
    assert sum(share * (y == label).sum() for label, share in found.by_class.items()) == pytest.approx(9)


def test_copies_in_test_rows() -> None:
    X, y = rows()
    test, labels = rows(100, seed=1)
    test[:7], labels[:7] = X[50:57], y[50:57]
    test[7] = test[8]
    found = duplicates(X, y, test=(test, labels))
    assert found.rows == 600
    assert (found.exact.groups, found.exact.across_splits, found.exact.test_rows_across_splits) == (8, 7, 7)
    assert (50, 500) in found.exact.examples


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_exact_sets_against_comparing_all_rows(data: st.DataObject) -> None:
    n, d = data.draw(st.integers(1, 25)), data.draw(st.integers(1, 3))
    value = st.sampled_from([0.0, -0.0, 1.0, np.nan, np.inf, -1e300])
    X = np.array(data.draw(st.lists(st.lists(value, min_size=d, max_size=d), min_size=n, max_size=n)))
    y = np.array(data.draw(st.lists(st.integers(0, 2), min_size=n, max_size=n)))
    found = duplicates(X, y, near=None, examples=100).exact
    seen: dict[tuple[object, ...], list[int]] = {}
    for row in range(n):
        seen.setdefault(tuple("nan" if np.isnan(one) else one + 0.0 for one in X[row].tolist()), []).append(row)
    sets = [tuple(one) for one in seen.values() if len(one) > 1]
    assert sorted(one[:10] for one in sets) == sorted(found.examples)
    assert found.across_classes == sum(len(set(y[list(one)])) > 1 for one in sets)


def test_near_copies_are_found_and_no_others() -> None:
    X, y = rows(1500, 10)
    y[:] = 0
    scale = X.std(0)
    rng = np.random.default_rng(5)
    X[700:720] = X[100:120] + scale * 1e-3 * rng.normal(size=(20, 10))
    X[720], y[720] = X[700], 1
    found = duplicates(X, y)
    assert found.exact.groups == 1
    assert found.near is not None
    assert (found.near.groups, found.near.rows) == (20, 41)
    assert found.near.across_classes == 1
    assert found.near.examples[0] == (100, 700, 720)
    assert found.expected < 1e-3


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("d", [6, 30, 200])
def test_no_alarm_where_nothing_was_copied(d: int, seed: int) -> None:
    X, y = rows(800, d, seed)
    found = duplicates(X, y)
    assert found.near is not None
    assert (found.exact.groups, found.near.groups) == (0, 0)


def test_near_rows_against_all_distances() -> None:
    """In two dimensions rows come close by chance, which is said."""
    X, y = rows(2000, 2)
    found = duplicates(X, y, near=0.3)
    scaled = (X - X.mean(0)) / X.std(0)
    distance = np.linalg.norm(scaled[:, None] - scaled, axis=2)
    np.fill_diagonal(distance, np.inf)
    assert found.near is not None
    assert found.near.rows == (distance.min(1) < found.distance).sum()
    assert found.usual == pytest.approx(np.median(distance.min(1)), rel=0.15)
    pairs = (distance < found.distance).sum() / 2
    assert 0.5 < pairs / found.expected < 2


def test_rows_without_a_usual_distance() -> None:
    constant = duplicates(np.ones((30, 4)), [0] * 15 + [1] * 15)
    assert constant.near is None
    assert (constant.exact.groups, constant.exact.rows_across_classes) == (1, 30)
    assert json.loads(constant.to_json())["usual"] is None
    assert duplicates(np.ones((1, 1)), [0]).exact.groups == 0


def test_whole_numbers_do_not_come_near() -> None:
    X = np.random.default_rng(0).integers(0, 2, size=(5000, 8))
    found = duplicates(X, X[:, 0])
    assert found.exact.groups == 256
    assert found.exact.across_classes == 0
    assert found.near is not None
    assert found.near.groups == 0


def test_images_and_any_type_of_number() -> None:
    images = torch.randint(0, 256, (60, 3, 4, 4), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    images[7] = images[40]
    labels = torch.arange(60) % 2
    assert duplicates(images, labels).exact.examples == ((7, 40),)
    assert duplicates(images.float(), labels).exact.examples == ((7, 40),)


def test_a_large_table_in_bounded_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """Blocks of a few rows give what one block gives."""
    X, y = rows(300, 5)
    X[7], X[9] = X[200], X[201] + 1e-4
    whole = duplicates(X, y)
    monkeypatch.setattr(sys.modules[duplicates.__module__], "BLOCK", 64)
    again = duplicates(X, y)
    assert (again.exact, again.near) == (whole.exact, whole.near)
    assert (again.usual, again.expected) == pytest.approx((whole.usual, whole.expected))


def test_arguments() -> None:
    X, y = rows(20)
    with pytest.raises(ArgumentError, match="near"):
        duplicates(X, y, near=1.0)
    with pytest.raises(ArgumentError, match="one row for each"):
        duplicates(X[1:], y)
    with pytest.raises(ArgumentError, match="with 8 columns"):
        duplicates(X, y, test=(X[:, :3], y))
    with pytest.raises(ArgumentError, match="categories"):
        duplicates(np.array([["a"], ["b"]]), [0, 1])
