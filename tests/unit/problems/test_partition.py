from __future__ import annotations

import json
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from steelyard.core.errors import ArgumentError, DataError, UnknownName
from steelyard.problems import ProblemSettings, load
from steelyard.problems._partition import Partition, parse_split


def table(rows: int = 200) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    return pd.DataFrame(
        {
            "row": rng.permutation(rows) * 3 + 0.5,
            "when": (pd.Timestamp("2024-01-01") + pd.to_timedelta(rng.integers(0, 60, rows), unit="D")).strftime("%d.%m.%Y"),
            "client": rng.integers(0, 30, rows),
            "y": rng.choice(["good", "bad"], rows, p=[0.8, 0.2]),
        }
    )


def rows_of(frame: pd.DataFrame, task: Any) -> dict[str, pd.DataFrame]:
    """The table's rows in each split, found by the first feature, which is different in each."""
    encoded = task.encode(frame)
    encoded = encoded if isinstance(encoded, torch.Tensor) else encoded["numeric"]
    place = {value: i for i, value in enumerate(encoded[:, 0].tolist())}
    return {
        split: frame.iloc[[place[value] for value in source.inputs[:, 0].tolist()]] for split, source in task.splits.items()
    }


@pytest.mark.parametrize("split", ["time:when", "keep-time:when"])
def test_later_rows_test_what_earlier_ones_teach(split: str) -> None:
    frame = table()
    task = load(frame, target="y", split=split)
    frame = frame.assign(when=pd.to_datetime(frame["when"], format="%d.%m.%Y"))
    parts = {name: part["when"] for name, part in rows_of(frame, task).items()}
    assert parts["train"].max() < parts["valid"].min() <= parts["valid"].max() < parts["test"].min()
    told = task.describe()
    assert told["split"] == {"rule": "time", "column": "when"} and any("split by time" in note for note in told["notes"])
    assert ("when" in task.encoder.columns()) == (split == "keep-time:when")
    assert abs(told["rows"]["test"] / 200 - 0.25) < 0.03


def test_rows_of_a_group_stay_together() -> None:
    frame = table()
    task = load(frame, target="y", split="group:client", drop=("client", "when"))
    parts = {name: set(part["client"]) for name, part in rows_of(frame, task).items()}
    assert not parts["train"] & parts["valid"] and not (parts["train"] | parts["valid"]) & parts["test"]
    told = task.describe()["split"]
    assert told["groups"] == {name: len(clients) for name, clients in parts.items()} and task.encoder.columns() == ["row"]
    shares = [len(part) / 200 for part in rows_of(frame, task).values()]
    assert shares == pytest.approx([0.675, 0.075, 0.25], abs=0.05)


def test_max_rows_tails_and_noise_keep_time_and_groups_apart() -> None:
    frame = table(600)
    settings = {"max_rows": 300, "factor": 3, "noise": 0.1}
    parts = rows_of(frame, load(frame, target="y", split="group:client", drop="when", **settings))
    assert not set(parts["train"]["client"]) & set(parts["valid"]["client"])
    parts = rows_of(frame, load(frame, target="y", split="time:when", **settings))
    when = {name: pd.to_datetime(part["when"], format="%d.%m.%Y") for name, part in parts.items()}
    assert when["train"].max() < when["valid"].min() and when["valid"].max() < when["test"].min()


def test_given_test_rows_that_share_groups_are_noted() -> None:
    frame = table()
    notes = load(frame.iloc[:150], target="y", split="group:client", test=frame.iloc[150:]).describe()["notes"]
    assert any("share a 'client' with training data" in note for note in notes)


def test_what_cannot_be_split_so() -> None:
    frame = table()
    with pytest.raises(UnknownName, match="did you mean 'client'"):
        load(frame, target="y", split="group:clent")
    with pytest.raises(ArgumentError, match="another column than the target"):
        load(frame, target="y", split="group:y")
    with pytest.raises(ArgumentError, match="no named columns"):
        load("digits", split="time:x")
    with pytest.raises(ArgumentError, match="come with validation and test rows"):
        load({"train": frame, "valid": frame, "test": frame}, target="y", split="time:when")
    late = frame.assign(n=np.arange(200), y=np.where(np.arange(200) < 180, "good", "bad"))
    with pytest.raises(DataError, match=r"class 'bad' would have no training rows: .* by column 'n'"):
        load(late, target="y", split="time:n")


@pytest.mark.parametrize("text", ["time", "time:", "days:x", "", 3, None, "Random"])
def test_words_that_are_no_split(text: Any) -> None:
    with pytest.raises(ArgumentError, match="split"):
        ProblemSettings(split=text)
    with pytest.raises(ArgumentError):
        parse_split(text)


def test_a_random_split_leaves_no_trace_in_the_settings() -> None:
    """Runs are found by the hash of their settings: those from before there were other splits keep theirs."""
    assert "split" not in ProblemSettings().to_json()
    written = ProblemSettings(split="time:a:b").to_json()
    assert written["split"] == "time:a:b"
    assert ProblemSettings(**json.loads(json.dumps(written))).split == "time:a:b"
    assert Partition().facts({}, {}) == ({}, [])
