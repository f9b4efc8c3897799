from __future__ import annotations

import datetime as dt

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from steelyard.core.errors import DataError
from steelyard.data.columns import DateColumn, NumericColumn, TimeColumn, as_days, as_numbers
from steelyard.data.encoder import TableEncoder
from steelyard.data.splits import by_time
from steelyard.data.table_file import TableFile
from steelyard.data.times import CLOCK, CLOCK_12, DTYPE, TimeFormats, as_seconds, as_times, is_times, parse_times


def seconds(time: dt.time) -> float:
    return time.hour * 3600 + time.minute * 60 + time.second + time.microsecond / 1e6


@given(st.lists(st.times() | st.none(), min_size=1, max_size=6), st.sampled_from(["object", DTYPE, "time64[ns][pyarrow]"]))
def test_every_type_of_time_gives_its_seconds(times: list[dt.time | None], dtype: str) -> None:
    column = pd.Series(times, dtype="object").astype(dtype)
    wanted = [np.nan if time is None else seconds(time) for time in times]
    np.testing.assert_allclose(as_seconds(column, "x"), wanted, atol=1e-9)
    if any(time is not None for time in times):
        assert is_times(column) and str(as_times(column).dtype) == DTYPE


@given(st.lists(st.times(), min_size=1, max_size=6), st.sampled_from(["%H:%M:%S.%f", "%H:%M:%S", "%I:%M:%S %p", "%I:%M%p"]))
def test_what_was_written_is_read_back(times: list[dt.time], how: str) -> None:
    text = pd.Series([time.strftime(how) for time in times], dtype="str")
    formats = TimeFormats()
    formats.add(text)
    assert formats.left == ((CLOCK_12,) if "%p" in how else (CLOCK,))
    wanted = [dt.datetime.strptime(value, how).time() for value in text]
    assert parse_times(text, formats.left[0]).tolist() == wanted
    np.testing.assert_allclose(as_seconds(text, "x"), [seconds(time) for time in wanted])


@pytest.mark.parametrize("text", ["24:00", "12:60", "1:5", "125:00", "12", "12:30:61", "a:b", "13:00 pm", "12:30 h", ""])
def test_what_is_no_time(text: str) -> None:
    formats = TimeFormats()
    formats.add(pd.Series(["12:30"]))
    formats.add(pd.Series([text]))
    assert formats.left == ()
    with pytest.raises(DataError, match="column 'x' has something else where the training rows have times of day"):
        as_seconds(pd.Series([text]), "x")


def test_times_dates_and_numbers_are_not_mistaken_for_each_other() -> None:
    times, number = pd.Series([dt.time(1, 2)]), NumericColumn("x", 0.0, 0.0, 1.0)
    for column in (pd.Series([3.0]), pd.Series(pd.to_datetime(["2024-01-01"]))):
        with pytest.raises(DataError, match="times of day, such as"):
            TimeColumn(number).features(column)
    with pytest.raises(DataError, match="has times of day where the training rows have numbers"):
        number.features(times)
    with pytest.raises(DataError, match="has times of day where the training rows have dates"):
        DateColumn(number).features(times)
    with pytest.raises(DataError, match="has times of day where the training rows have dates"):
        as_days(times, "x")


def test_a_time_is_its_seconds_and_a_place_on_the_circle_of_the_day() -> None:
    train = pd.DataFrame({"at": [dt.time(0), dt.time(6), dt.time(12), None], "b": [1.0, 2.0, 3.0, 4.0]})
    encoder = TableEncoder.fit(train, missing="indicator", dates="parts")
    found = np.asarray(encoder.encode(train))
    np.testing.assert_allclose(found[:, 2:4], [[0, 1], [1, 0], [0, -1], [0, 0]], atol=1e-6)
    assert found[:, 1].tolist() == [0, 0, 0, 1]
    assert found[1, 0] - found[0, 0] == pytest.approx(found[2, 0] - found[1, 0]) and found[2, 0] > found[0, 0]
    assert TableEncoder.from_json(encoder.to_json()) == encoder
    assert TableEncoder.fit(train[["at"]].iloc[:3]).width == 1
    text = train.assign(at=["00:00", "6:00", "12:00:00", None])
    np.testing.assert_array_equal(np.asarray(encoder.encode(text)), found)


def test_durations_are_days_whatever_holds_them() -> None:
    spans = [dt.timedelta(hours=36), None]
    for column in (pd.Series(spans, dtype=object), pd.Series(spans), pd.Series(spans).astype(pd.ArrowDtype(pa.duration("s")))):
        np.testing.assert_array_equal(as_numbers(column, "x"), [1.5, np.nan])
    frame = pd.DataFrame({"x": pd.Series([dt.timedelta(1), dt.timedelta(3)], dtype=object)})
    assert np.asarray(TableEncoder.fit(frame).encode(frame)).tolist() == [[-1.0], [1.0]]


@pytest.mark.parametrize("kind", [pa.time32("s"), pa.time32("ms"), pa.time64("us"), pa.time64("ns")])
def test_times_of_parquet_and_text_files_are_the_same(kind: pa.DataType, tmp_path) -> None:
    import pyarrow.parquet as pq

    times = [dt.time(13, 45), None, dt.time(7, 5, 9)]
    pq.write_table(pa.table({"at": pa.array(times).cast(kind), "b": [1, 2, 3]}), tmp_path / "x.parquet")
    (tmp_path / "x.csv").write_text("at,b\n13:45:00,1\n,2\n7:05:09,3\n")
    for name in ("x.parquet", "x.csv"):
        file = TableFile(tmp_path / name)
        assert file.kinds == {"at": "time", "b": "number"} and file.dtypes["at"] == DTYPE
        for other in ("x.parquet", "x.csv"):
            chunks = list(TableFile(tmp_path / other, like=file.schema()).chunks(rows=2))
            assert [value for chunk in chunks for value in chunk["at"].astype(object).where(chunk["at"].notna(), None)] == times
    (tmp_path / "bad.csv").write_text("at,b\nsoon,1\n")
    with pytest.raises(DataError, match=r"column 'at' has values that are no times of day.*such as 'soon'"):
        list(TableFile(tmp_path / "bad.csv", like=file.schema()).chunks())


def test_rows_can_be_put_in_the_order_of_their_times() -> None:
    cut = by_time(pd.Series([dt.time(hour) for hour in (9, 1, 5, 3)]), (0.5, 0.0, 0.5))
    assert (cut.train.tolist(), cut.test.tolist()) == ([1, 3], [0, 2])
