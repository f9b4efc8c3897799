from __future__ import annotations

import datetime

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from steelyard.data.dates import FORMATS, ISO, DateFormats, parse_dates

TIMES = st.datetimes(datetime.datetime(1970, 1, 1), datetime.datetime(2038, 1, 1)).map(lambda time: time.replace(microsecond=0))


@settings(max_examples=30)
@given(st.sampled_from(FORMATS[1:]), st.lists(TIMES, min_size=1, max_size=5), st.booleans())
def test_what_was_written_in_a_format_is_read_back(how: str, times: list[datetime.datetime], together: bool) -> None:
    text = pd.Series([time.strftime(how) for time in times], dtype="str")
    formats = DateFormats()
    for chunk in [text] if together else [text.iloc[i : i + 1] for i in range(len(text))]:
        formats.add(chunk)
    assert how in formats.left
    wanted = [datetime.datetime.strptime(value, how) for value in text]
    assert parse_dates(text, how).dt.to_pydatetime().tolist() == wanted


@pytest.mark.parametrize(
    ("text", "read"),
    [
        ("2024-03-31", "2024-03-31"),
        ("2024-03-31 12:30", "2024-03-31 12:30"),
        ("2024-03-31T12:30:01.5+02:00", "2024-03-31 10:30:01.5"),
        ("9999-12-31", "9999-12-31"),
        ("0001-01-01", "0001-01-01"),
    ],
)
def test_iso(text: str, read: str) -> None:
    formats = DateFormats()
    formats.add(pd.Series([text]))
    assert ISO in formats.left
    assert parse_dates(pd.Series([text]), ISO).iloc[0] == pd.Timestamp(read)


@pytest.mark.parametrize("text", ["2024", "2024-13-01", "2024-02-30", "12", "12.5", "1-2", "a 1", "192.168.0.1", "12:30", ""])
def test_what_is_no_date(text: str) -> None:
    formats = DateFormats()
    formats.add(pd.Series([text or "2024-01-01"]))
    formats.add(pd.Series([text]))
    assert formats.left == ()


def test_missing_dates_stay_missing() -> None:
    assert parse_dates(pd.Series([None, "2024-01-01"], dtype="str"), ISO).isna().tolist() == [True, False]
