from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from steelyard.core.errors import ArgumentError, DataError, SteelyardError
from steelyard.diagnosis.sources import WIDE, _most, array_source, of_all, read_array_source, read_table_source, sample


def written(path: Path, **columns: object) -> Path:
    pd.DataFrame(columns).to_csv(path, index=False)
    return path


def test_a_table_becomes_numbers_without_gaps(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    age = rng.normal(40, 10, 300)
    age[::7] = np.nan
    words = [" ".join(rng.choice(["good", "bad", "slow", "fast", "cheap", "dear"], 12)) for _ in range(300)]
    path = written(
        tmp_path / "t.csv", client_id=rng.permutation(300), age=age, empty=[None] * 300, city=rng.choice(["a", "b"], 300),
        seen=pd.date_range("2024-01-01", periods=300), review=words, y=np.where(np.arange(300) % 10, "no", "yes"),
    )  # fmt: skip
    found = read_table_source(path, "y")
    assert found.X.shape == (300, 1 + 2 + 5 + 64)  # a date: days, and two for month and weekday each
    assert np.isfinite(found.X).all()
    assert found.class_names == ("no", "yes")
    assert found.counts == (270, 30)
    used = {line["name"]: line["used"] for line in found.columns}
    assert used == {"client_id": False, "age": True, "empty": False, "city": True, "seen": True, "review": True}
    assert next(line["missing"] for line in found.columns if line["name"] == "age") == 43 / 300
    # The order of numbers is kept, and a gap is the median.
    known = ~np.isnan(age)
    np.testing.assert_array_equal(np.argsort(found.X[known, 0]), np.argsort(age[known].astype(np.float32)))
    assert (found.X[~known, 0] == 0).all()


def test_numbers_far_from_zero_keep_what_tells_them_apart(tmp_path: Path) -> None:
    y = np.arange(40) % 2
    path = written(tmp_path / "t.csv", when=1.7e12 + y, big=np.where(y, 1e300, -1e300), y=y)
    found = read_table_source(path, "y")
    assert np.isfinite(found.X).all()
    for column in found.X.T:
        assert set(column[y == 0]).isdisjoint(column[y == 1])


def test_rows_without_a_label_are_left_out(tmp_path: Path) -> None:
    path = written(tmp_path / "t.csv", a=np.arange(30) ** 1.5, y=[None, None, *("ab" * 14)])
    found = read_table_source(path, "y")
    assert len(found.y) == 28
    assert found.X[:, 0].argmin() == 0
    assert any("2 of 30 rows have no label" in note for note in found.notes)


def test_a_sample_keeps_two_rows_of_each_class_and_says_so(tmp_path: Path) -> None:
    y = np.repeat([0, 1, 2], [5000, 40, 2])
    rng = np.random.default_rng(0)
    path = written(tmp_path / "t.csv", a=rng.normal(size=y.size) + y, b=rng.normal(size=y.size), y=y)
    found = read_table_source(path, "y", max_rows=500)
    assert np.bincount(found.y).tolist() == pytest.approx([496, 4, 2], abs=1)
    assert found.counts == (5000, 40, 2)
    assert any("--max-rows" in note for note in found.notes)
    again = read_table_source(path, "y", max_rows=500)
    np.testing.assert_array_equal(found.X, again.X)
    assert abs(found.X[found.y == 2, 0].mean() - found.X[found.y == 0, 0].mean()) > 0.2  # rows and labels still go together


def test_wide_data_are_measured_on_fewer_rows() -> None:
    assert [_most(100_000, width, None) for width in (10, 300, 1000, WIDE, WIDE + 1)] == [
        100_000,
        100_000,
        30_000,
        10_000,
        WIDE,
    ]
    assert _most(100_000, 50_000, 100) == 100_000
    assert _most(500, 50_000, None) == 500


def test_a_sample_is_ascending_and_without_repetition() -> None:
    y = np.repeat([0, 1], [900, 3])
    rows = sample(y, 100, 0)
    assert (np.diff(rows) > 0).all()
    assert (y[rows] == 1).sum() == 2
    np.testing.assert_array_equal(sample(y, 10_000, 0), np.arange(903))


def test_features_are_drawn_by_chance(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(50, 30)), np.arange(50) % 2
    found = array_source("x", X, y, features=10)
    assert found.X.shape == (50, 10)
    assert any("10 of 30 features" in note for note in found.notes)
    assert not np.array_equal(found.X, array_source("x", X, y, features=10, seed=1).X)


def test_arrays_of_a_file(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    X = rng.normal(size=(20, 3, 4))
    X[0, 0, 0] = np.nan
    np.savez(tmp_path / "e.npz", X=X, y=np.repeat(["b", "a"], 10), X_test=X, y_test=np.repeat(["b", "a"], 10))
    found = read_array_source(tmp_path / "e.npz")
    assert found.X.shape == (20, 12)
    assert found.class_names == ("a", "b")
    assert found.y[:10].tolist() == [1] * 10
    assert any("test rows" in note for note in found.notes)
    assert any("1 missing" in note for note in found.notes)


def test_rows_drawn_beforehand_have_the_counts_of_all() -> None:
    y = np.repeat([0, 1], [90, 10])
    rows = sample(y, 30, 0)
    found = of_all(array_source("x", np.arange(100.0)[rows, None], y[rows]), y)
    assert found.counts == (90, 10)
    assert any("30 of 100" in note for note in found.notes)


@pytest.mark.parametrize(
    ("columns", "said"),
    [
        ({"a": [1, 2, 3] * 5, "y": [1] * 15}, "one class only"),
        ({"a": [1, 2, 3] * 5, "y": [None] * 15}, "no row has a label"),
        ({"a": [1, 2, 3] * 50, "y": list(np.linspace(0, 1, 150))}, "measurement"),
        ({"a": [None] * 40, "y": [0, 1] * 20}, "no feature column can be measured"),
        ({"id": list(range(40)), "y": [0, 1] * 20}, "no feature columns are left"),
        ({"city": [f"c{i // 2}" for i in range(2000)], "y": [0, 1] * 1000}, "no category has 10 rows"),
    ],
)
def test_what_cannot_be_measured_is_one_sentence(tmp_path: Path, columns: dict[str, list], said: str) -> None:
    path = written(tmp_path / "t.csv", **columns)
    with pytest.raises(DataError, match=said) as caught:
        read_table_source(path, "y")
    assert "\n" not in str(caught.value)


def test_settings_out_of_range_are_refused() -> None:
    X, y = np.ones((4, 2)), [0, 0, 1, 1]
    with pytest.raises(ArgumentError, match="max_rows"):
        array_source("x", X, y, max_rows=1)
    with pytest.raises(ArgumentError, match="features"):
        array_source("x", X, y, features=0)
    with pytest.raises(SteelyardError, match="numbers"):
        array_source("x", np.array([["a"], ["b"]]), [0, 1])
