from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch
from loans import loans, written

from steelyard.core.errors import ArgumentError, DataError, SteelyardError, UnknownName
from steelyard.data.encoder import TableEncoder
from steelyard.estimator import reading
from steelyard.estimator.reading import FileRequest, read_for_training


def table_of(frame, tmp_path, name="loans.csv", **request):
    path = written(frame, tmp_path / name)
    return read_for_training(FileRequest(path, request.pop("target", "defaulted"), **request))


def test_rows_are_split_by_class_and_nothing_is_in_two_splits(tmp_path):
    frame = loans()
    table = table_of(frame, tmp_path)
    rows = torch.cat([table.train, table.test])
    assert rows.sort().values.tolist() == list(range(len(frame)))
    shares = [float(table.target[part].float().mean()) for part in (table.train, table.test)]
    assert shares == pytest.approx([0.2, 0.2], abs=0.01)
    assert table.counts()["test"] == [64, 16]
    assert table.class_names == ("no", "yes")
    assert table.valid is None


def test_identifiers_are_left_out_and_told(tmp_path):
    table = table_of(loans(), tmp_path)
    assert "client_id" not in table.features
    assert any("client_id" in note for note in table.notes)
    encoder = TableEncoder.fit(loans()[["city", "noise"]].assign(noise=3), constant="drop")
    lines = {line["name"]: line for line in table.columns(encoder)}
    assert [lines[name]["used"] for name in ("client_id", "noise", "city")] == [False, False, True]
    assert lines["noise"]["note"] == "it has the same value in every training row"


def test_test_rows_need_no_column_that_names_rows(tmp_path):
    other = written(loans(60, seed=1).drop(columns="client_id"), tmp_path / "test.csv")
    table = table_of(loans(), tmp_path, test=other)
    assert [len(table.train), len(table.test)] == [400, 60]


@pytest.mark.parametrize(("rule", "kept"), [("time:opened", False), ("keep-time:opened", True)])
def test_by_time_the_past_is_learnt_from(tmp_path, rule, kept):
    frame = loans()
    table = table_of(frame, tmp_path, split=rule)
    day = frame["opened"].to_numpy()
    assert day[table.train.numpy()].max() < day[table.valid.numpy()].min()
    assert day[table.valid.numpy()].max() < day[table.test.numpy()].min()
    assert ("opened" in table.features) is kept
    assert table.split == "by time (column opened)"


def test_by_group_no_group_is_in_two_splits(tmp_path):
    frame = loans()
    table = table_of(frame, tmp_path, split="group:branch")
    groups = [set(frame["branch"].to_numpy()[rows.numpy()]) for rows in (table.train, table.valid, table.test)]
    assert not (groups[0] & groups[1] or groups[0] & groups[2] or groups[1] & groups[2])
    assert "branch" not in table.features


def test_test_rows_may_come_in_a_file_of_their_own(tmp_path):
    other = written(loans(100, seed=1), tmp_path / "later.csv")
    table = table_of(loans(), tmp_path, test=other)
    assert (len(table.train), len(table.test)) == (400, 100)
    assert int(table.test.min()) == 400
    assert len(pd.concat(list(table.of(table.test)))) == 100


@pytest.mark.parametrize("name", ["loans.csv", "loans.parquet"])
def test_encoding_in_chunks_is_encoding_at_once(tmp_path, monkeypatch, name):
    frame = loans(97)
    frame["defaulted"] = frame["defaulted"] == "yes"
    whole = table_of(frame, tmp_path, name)
    assert whole._held is not None
    monkeypatch.setattr(reading, "HELD_CELLS", 0)
    monkeypatch.setattr("steelyard.data.table_file.ROWS", 10)
    chunked = table_of(frame, tmp_path, name)
    assert chunked._held is None
    encoder = TableEncoder.fit_chunks(chunked.of(chunked.train), missing="indicator", kinds=chunked.files[0].kinds)
    expected = encoder.encode(frame[chunked.features])
    for table in (whole, chunked):
        found = table.encode(encoder, onehot=False)
        assert found.keys() == expected.keys()
        for part, values in expected.items():
            torch.testing.assert_close(found[part], values, rtol=0, atol=0)
    assert chunked.classes.tolist() == [False, True]


@pytest.mark.parametrize(
    ("labels", "classes"),
    [
        (np.arange(60) % 2 + 1, [1, 2]),
        ((np.arange(60) % 3) * 1.0, [0, 1, 2]),
        (np.where(np.arange(60) % 2, "b", "a"), ["a", "b"]),
        (np.where(np.arange(60) % 2, 0.5, 1.5), [0.5, 1.5]),
    ],
)
def test_labels_keep_their_type(tmp_path, labels, classes):
    frame = pd.DataFrame({"x": np.random.default_rng(0).normal(size=60), "y": labels})
    table = table_of(frame, tmp_path, target="y")
    assert table.classes.tolist() == classes
    assert type(table.classes.tolist()[0]) is type(classes[0])


def test_a_column_that_tells_the_class_is_told(tmp_path):
    frame = loans()
    frame["status"] = np.where(frame["defaulted"] == "yes", "sold to collectors", "closed")
    notes = table_of(frame, tmp_path).notes
    assert any("column 'status' tells the class exactly" in note for note in notes)
    frame.loc[399, "status"] = "closed" if frame.loc[399, "defaulted"] == "yes" else "sold to collectors"
    frame.loc[0, "status"] = "closed" if frame.loc[0, "defaulted"] == "yes" else "sold to collectors"
    frame.loc[1, "status"] = "closed" if frame.loc[1, "defaulted"] == "yes" else "sold to collectors"
    assert not any("tells the class" in note for note in table_of(frame, tmp_path).notes)


@pytest.mark.parametrize(
    ("request_", "error", "said"),
    [
        ({"split": "time"}, ArgumentError, "time:COL"),
        ({"split": "by:day"}, ArgumentError, "split"),
        ({"split": "time:day"}, UnknownName, "day"),
        ({"split": "group:defaulted"}, ArgumentError, "other than the target"),
        ({"test_fraction": 0.0}, ArgumentError, "test_fraction"),
        ({"target": "default"}, UnknownName, "defaulted"),
        ({"target": "noise"}, DataError, "measurement"),
        ({"drop": ("client_id", "opened", "income", "city", "noise", "branch")}, DataError, "no feature columns"),
        ({"drop": ("incme",)}, UnknownName, "income"),
    ],
)
def test_what_cannot_be_done_is_one_sentence(tmp_path, request_, error, said):
    with pytest.raises(error, match=said) as caught:
        table_of(loans(60), tmp_path, **request_)
    assert isinstance(caught.value, SteelyardError)
    assert "\n" not in str(caught.value)


def test_missing_labels_are_counted(tmp_path):
    frame = loans(60)
    frame.loc[[3, 5], "defaulted"] = None
    with pytest.raises(DataError, match="2 of 60"):
        table_of(frame, tmp_path)


def test_a_file_does_not_judge_itself(tmp_path):
    path = written(loans(60), tmp_path / "loans.csv")
    with pytest.raises(ArgumentError, match="another file"):
        FileRequest(path, "defaulted", tmp_path / "." / "loans.csv")


def test_test_rows_without_the_target_are_named_by_their_file(tmp_path):
    path, other = tmp_path / "rows.csv", tmp_path / "other.csv"
    frame = pd.DataFrame({"x": range(40), "z": [i % 7 for i in range(40)], "defaulted": [i % 2 for i in range(40)]})
    frame.to_csv(path, index=False)
    frame.drop(columns="defaulted").to_csv(other, index=False)
    with pytest.raises(DataError, match=r"other\.csv.*'defaulted', which is the target"):
        read_for_training(FileRequest(path, "defaulted", test=other))
