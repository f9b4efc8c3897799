from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.spatial.distance import pdist

from steelyard.core.errors import ArgumentError, DataError
from steelyard.diagnosis.prepare import prepare, within


def rows(n: int = 30, d: int = 4) -> tuple[np.ndarray, np.ndarray]:
    return np.random.default_rng(0).normal(size=(n, d)), np.arange(n) % 3


@pytest.mark.parametrize(("n", "d"), [(30, 4), (12, 40)])
def test_distances_between_scaled_rows_are_kept(n: int, d: int) -> None:
    X, y = rows(n, d)
    found = prepare(X, y)
    assert found.rows.shape == (n, min(d, n - 1))
    np.testing.assert_allclose(pdist(found.rows), pdist(X / X.std(0)), rtol=1e-8)
    assert found.dim == d


def test_columns_that_say_nothing_are_left_out() -> None:
    X, y = rows()
    more = np.column_stack([X, np.full(30, 7.0), X[:, 1], -3 * X[:, 2] + 5])
    found = prepare(more, y)
    assert (found.columns, found.constant, found.duplicate, found.dim) == (7, 1, 2, 4)
    np.testing.assert_allclose(pdist(found.rows), pdist(prepare(X, y).rows))


def test_columns_that_others_determine_do_not_count() -> None:
    rng = np.random.default_rng(0)
    one_hot = np.eye(4)[rng.integers(0, 4, 60)]
    found = prepare(np.column_stack([one_hot, rng.normal(size=60)]), np.arange(60) % 2)
    assert (found.dim, found.rows.shape[1]) == (4, 4)


def test_units_do_not_matter_and_huge_numbers_do_not_overflow() -> None:
    X, y = rows()
    plain, scaled = prepare(X, y), prepare(X * [1e200, 1e-200, 3, -1] + [0, 0, 100, 1], y)
    np.testing.assert_allclose(pdist(scaled.rows), pdist(plain.rows), rtol=1e-9)


def test_labels_of_every_kind() -> None:
    X, y = rows()
    for labels in (
        y,
        y.astype(float),
        np.array(["c", "a", "b"])[y],
        np.array(["c", "a", "b"], dtype=object)[y],
        torch.tensor(y),
        y[:, None],
    ):
        found = prepare(X, labels)
        assert found.counts.tolist() == [10, 10, 10]
        assert list(found.labels) == sorted(found.labels)
    assert prepare(pd.DataFrame(X), pd.Series(y)).dim == 4
    assert prepare(torch.tensor(X, dtype=torch.bfloat16), y > 0).labels == (False, True)


def test_within() -> None:
    X, y = rows()
    found = within(X, y, 4)
    for c in range(3):
        np.testing.assert_allclose(found.means[c], X[y == c].mean(0))
    assert np.isnan(found.means[3]).all()
    assert found.dof == 27
    np.testing.assert_allclose(found.covariance(), sum((10 - 1) * np.cov(X[y == c].T) for c in range(3)) / 27)


def bad(where: tuple[int, int], value: float) -> np.ndarray:
    X = rows()[0]
    X[where] = value
    return X


@pytest.mark.parametrize(
    ("X", "y", "error", "says"),
    [
        (bad((3, 2), np.nan), rows()[1], DataError, "1 columns .*column 2"),
        (bad((3, 1), np.inf), rows()[1], DataError, "infinite"),
        (rows()[0], np.zeros(30), DataError, "one class only"),
        (rows()[0], np.arange(30), DataError, "every class .* one row"),
        (np.ones((30, 2)), rows()[1], DataError, "no column"),
        (rows()[0], np.where(rows()[1] == 0, np.nan, 1.0), DataError, "missing in 10 rows"),
        (rows()[0], np.array([None, "a", "b"] * 10, dtype=object), DataError, "missing in 10 rows"),
        (rows()[0], np.array([1, "a", 2.5] * 10, dtype=object), ArgumentError, "`y`"),
        (rows()[0], rows()[1][:-1], ArgumentError, "`X` should be one row for each"),
        (rows()[0][:, 0], rows()[1], ArgumentError, "`X`"),
        (rows()[0][:0], rows()[1][:0], ArgumentError, "`X`"),
        (np.array([["a", "b"]] * 30), rows()[1], ArgumentError, "encode categories"),
        (rows()[0], np.zeros((30, 2)), ArgumentError, "`y`"),
    ],
)
def test_errors_say_what_to_do(X: np.ndarray, y: np.ndarray, error: type[Exception], says: str) -> None:
    with pytest.raises(error, match=says):
        prepare(X, y)


def test_numbers_in_an_object_array_are_numbers() -> None:
    X, y = rows()
    np.testing.assert_allclose(prepare(X.astype(object), y).rows, prepare(X, y).rows)
