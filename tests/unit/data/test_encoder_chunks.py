"""The encoder's treatments beyond the defaults, from tables in memory and in chunks."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from steelyard.core.errors import ArgumentError, DataError
from steelyard.data.encoder import TableEncoder
from steelyard.data.table_file import TableFile


def table(rows: int, seed: int = 0) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    words = np.array(["the", "customer", "paid", "late", "never", "called", "again", "about", "a", "loan"])
    frame = pd.DataFrame(
        {
            "x": np.where(rng.random(rows) < 0.2, np.nan, rng.lognormal(3, 2, rows)),
            "zeros": np.where(rng.random(rows) < 0.7, 0.0, rng.normal(size=rows)),
            "flag": rng.random(rows) < 0.3,
            "when": pd.Timestamp("2023-01-01") + pd.to_timedelta(rng.integers(0, 20_000, rows), unit="h"),
            "city": rng.choice(["Ulm", "Bonn", "Trier"], rows, p=[0.7, 0.28, 0.02]),
            "text": [" ".join(rng.choice(words, 6)) for _ in range(rows)],
            "empty": np.full(rows, np.nan),
        }
    )
    frame.loc[rng.random(rows) < 0.1, ["city", "when"]] = None
    return frame


def chunks(frame: pd.DataFrame, rows: int) -> Iterator[pd.DataFrame]:
    return (frame.iloc[start : start + rows] for start in range(0, len(frame), rows))


TREATMENTS = (
    {"missing": "median"},
    {"missing": "indicator", "numeric": "quantile", "dates": "parts", "text": "hash", "least": 5},
    {"missing": "indicator", "text": "drop"},
)


@pytest.mark.parametrize("treatment", TREATMENTS)
@settings(max_examples=8)
@given(st.integers(1, 130), st.integers(0, 3))
def test_chunks_teach_what_the_whole_table_does(treatment: dict[str, Any], rows: int, seed: int) -> None:
    frame = table(120, seed)
    kinds = {"text": "text"}
    whole = TableEncoder.fit(frame, kinds=kinds, **treatment)
    parts = TableEncoder.fit_chunks(chunks(frame, rows), kinds=kinds, **treatment)
    assert [column for column in parts.numeric if column.name != "text"] == [
        column for column in whole.numeric if column.name != "text"
    ]
    assert parts.categorical == whole.categorical and parts.notes == whole.notes
    ours, theirs = parts.encode(frame), whole.encode(frame)
    assert torch.allclose(ours["numeric"], theirs["numeric"], atol=1e-5)
    assert ours["numeric"].shape == (len(frame), whole.width) and ours["numeric"].isfinite().all()


@pytest.mark.parametrize("treatment", TREATMENTS)
def test_an_encoder_survives_json_to_the_last_bit(treatment: dict[str, Any]) -> None:
    frame = table(150)
    encoder = TableEncoder.fit(frame, **treatment)
    again = TableEncoder.from_json(json.loads(json.dumps(encoder.to_json(), allow_nan=False)))
    assert again == encoder
    one, two = encoder.encode(table(40, 1), onehot=True), again.encode(table(40, 1), onehot=True)
    assert torch.equal(one, two)


def test_a_sample_gives_exact_means_and_nearly_exact_quantiles() -> None:
    frame = table(6000)[["x", "zeros", "city"]]
    whole = TableEncoder.fit(frame, missing="median", numeric="quantile")
    parts = TableEncoder.fit_chunks(chunks(frame, 700), missing="median", numeric="quantile", sample=1500)
    assert (
        TableEncoder.fit_chunks(chunks(frame, 91), missing="median", numeric="quantile", sample=1500)
        .encode(frame)["numeric"]
        .allclose(parts.encode(frame)["numeric"], atol=1e-6)
    )
    assert parts.categorical == whole.categorical
    for ours, theirs in zip(parts.numeric, whole.numeric, strict=True):
        known = np.where(frame[ours.name].isna(), ours.fill, frame[ours.name])
        assert ours.mean == pytest.approx(known.mean(), rel=1e-9) and ours.std == pytest.approx(known.std(), rel=1e-9)
        assert (ours.quantiles[0], ours.quantiles[-1]) == (theirs.quantiles[0], theirs.quantiles[-1])
    ranks = frame["x"].rank(pct=True).dropna()
    median = (frame["x"] <= parts.numeric[0].fill).sum() / len(ranks)
    assert abs(median - 0.5) < 4 * 0.5 / np.sqrt(1200)  # 4 standard deviations of the rank of a sample's median


def test_indicators_are_only_where_training_rows_lack_values() -> None:
    train = pd.DataFrame({"a": [1.0, np.nan, 3.0], "b": [1.0, 2.0, 3.0], "c": ["u", None, "v"], "d": ["u", "v", "v"]})
    encoder = TableEncoder.fit(train, missing="indicator")
    assert encoder.width == 3 and encoder.cardinalities == (3, 2)
    got = encoder.encode(pd.DataFrame({"a": [np.nan], "b": [np.nan], "c": [None], "d": [None]}))
    assert got["numeric"].tolist()[0] == [0.0, 1.0, 0.0] and got["categorical"].tolist() == [[3, 0]]


def test_rare_and_unseen_categories_share_number_zero() -> None:
    encoder = TableEncoder.fit(pd.DataFrame({"c": ["a"] * 5 + ["b"] * 2 + ["c"], "n": range(8)}), least=2)
    new = pd.DataFrame({"c": ["a", "c", "z", "b"], "n": [1, 2, 3, 4]})
    assert encoder.encode(new)["categorical"][:, 0].tolist() == [1, 0, 0, 2]
    assert encoder.unseen(new) == {"c": 2} and encoder.unseen(new.iloc[:1]) == {}


def test_kinds_say_what_types_cannot() -> None:
    frame = pd.DataFrame({"zip": [1, 2, 2, 3], "text": ["a", "b", "c", "d"]})
    encoder = TableEncoder.fit(frame, kinds={"zip": "category", "text": "text"}, text="hash")
    assert encoder.categorical[0].levels == ("1", "2", "3") and encoder.width == 64
    assert TableEncoder.fit(frame, kinds={"text": "text"}, text="drop").notes == (
        "column 'text' was left out: it holds free text",
    )


def test_from_a_file_to_tensors(tmp_path: Any) -> None:
    """What is learnt from the chunks of a file is what is learnt from the table that it was made of."""
    frame = table(400).drop(columns="empty")
    frame.to_csv(tmp_path / "t.csv", index=False)
    file = TableFile(tmp_path / "t.csv")
    treatment = TREATMENTS[1]
    encoder = TableEncoder.fit_chunks(file.chunks(rows=90), kinds=file.kinds, **treatment)
    whole = TableEncoder.fit(frame, **treatment)
    read = next(file.chunks())
    assert torch.allclose(encoder.encode(read)["numeric"], whole.encode(frame)["numeric"], atol=1e-5)
    assert torch.equal(encoder.encode(read)["categorical"], whole.encode(frame)["categorical"])


def test_rows_that_do_not_fit_are_told_why() -> None:
    encoder = TableEncoder.fit(pd.DataFrame({"income": [1.0, 2.0], "age": [1, 2]}))
    with pytest.raises(DataError, match=r"no column 'income', which .* should 'incme' be called that\?"):
        encoder.encode(pd.DataFrame({"incme": [1.0], "age": [1]}))
    with pytest.raises(DataError, match=r"no column 'income' \(and 1 more\)"):
        encoder.encode(pd.DataFrame({"z": [1.0]}))
    with pytest.raises(DataError, match="such as 'high'"):
        encoder.encode(pd.DataFrame({"income": ["high"], "age": [1]}))


def test_what_chunks_refuse() -> None:
    good = pd.DataFrame({"a": [1.0, 2.0]})
    with pytest.raises(DataError, match=r"column 'a' has 1 missing values .* training rows"):
        TableEncoder.fit_chunks([good, pd.DataFrame({"a": [np.nan, 1.0]})])
    with pytest.raises(DataError, match="from 2 on have other columns"):
        TableEncoder.fit_chunks([good, pd.DataFrame({"b": [1.0]})])
    with pytest.raises(DataError, match="no training rows"):
        TableEncoder.fit_chunks([])
    with pytest.raises(DataError, match="has text where the training rows have numbers, such as 'x'"):
        TableEncoder.fit_chunks([good, pd.DataFrame({"a": ["x"]})])
    for changes in ({"numeric": "rank"}, {"dates": "days"}, {"text": "words"}, {"least": 0}, {"sample": 0}):
        with pytest.raises(ArgumentError, match=next(iter(changes))):
            TableEncoder.fit_chunks([good], **changes)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "change", [{"version": 2}, {"numeric": None}, {"categorical": [{"type": "number"}]}, {"notes": "x"}, {"left_out": None}]
)
def test_damaged_descriptions(change: dict[str, Any]) -> None:
    written = TableEncoder.fit(pd.DataFrame({"a": [1.0, 2.0], "c": ["a", "b"]})).to_json()
    with pytest.raises(DataError, match=r"damaged|no description"):
        TableEncoder.from_json(written | change)
    with pytest.raises(DataError, match="damaged at 'categorical'"):
        TableEncoder.from_json(written | {"categorical": written["numeric"]})
    with pytest.raises(DataError, match="damaged at 'numeric'"):
        TableEncoder.from_json(written | {"numeric": written["categorical"]})
