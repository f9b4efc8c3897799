"""`steelyard diagnose` as a user runs it, on files as they come."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner
from loans import loans, written

from steelyard.cli import cli
from steelyard.core.errors import SteelyardError


def steelyard(*arguments: object) -> str:
    """The command in this process; what it printed."""
    result = CliRunner().invoke(cli, [str(argument) for argument in arguments], catch_exceptions=False, standalone_mode=False)
    if isinstance(result.return_value, SteelyardError):
        raise result.return_value
    return result.output


def test_one_command_from_a_file_to_advice(tmp_path: Path) -> None:
    data = written(loans(600, share=0.1), tmp_path / "loans.csv")
    command = [sys.executable, "-m", "steelyard", "diagnose", data.name, "--target", "defaulted", "--out", "found"]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "COLUMNS": "400"}
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    assert {path.name for path in (tmp_path / "found").iterdir()} == {"diagnosis.json", "report.html"}
    facts = json.loads((tmp_path / "found" / "diagnosis.json").read_text())
    assert facts["command"].startswith("steelyard diagnose loans.csv --target defaulted")
    assert facts["classes"][0]["name"] == "yes"
    assert facts["data"]["eta"] == pytest.approx(9)
    assert f"1. {facts['advice']['methods'][0]['method']}: " in done.stdout
    assert "client_id" in done.stdout
    # The same again is written over it.
    assert "report: " in steelyard("diagnose", data, "--target", "defaulted", "--out", tmp_path / "found")


def test_json_is_all_that_is_printed(tmp_path: Path) -> None:
    data = written(loans(300), tmp_path / "loans.parquet")
    facts = json.loads(steelyard("diagnose", data, "--target", "defaulted", "--json", "--drop", "branch,opened"))
    assert {line["name"] for line in facts["data"]["columns"]} == {"client_id", "income", "city", "noise"}


def test_a_built_in_set_with_a_long_tail() -> None:
    said = steelyard("diagnose", "digits", "--factor", "20", "--max-rows", "300")
    assert "eta" in said
    assert "10 classes" in said


@pytest.mark.parametrize(("factor", "first"), [(1, "ce"), (20, "mixup-bs")])
def test_advice_follows_the_data(tmp_path: Path, factor: int, first: str) -> None:
    rng = np.random.default_rng(0)
    y = np.repeat([0, 1], [400, 400 // factor])
    X = rng.normal(size=(y.size, 8))
    X[y == 1, 0] += 2
    np.savez(tmp_path / "e.npz", X=X, y=y)
    assert f"1. {first}: " in steelyard("diagnose", tmp_path / "e.npz")
    assert "1. ce: " in steelyard("diagnose", tmp_path / "e.npz", "--metric", "accuracy")


def hostile(name: str) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    few = np.where(np.arange(120) % 10, "a", "b")
    words = np.array(["good", "bad", "slow", "fast", "cheap", "dear", "kind", "rude"])
    frames = {
        "wide": pd.DataFrame(rng.normal(size=(40, 3000))).rename(columns="x{}".format).assign(y=["a", "a", "a", "b"] * 10),
        "two rows a class": pd.DataFrame({"u": rng.normal(size=12), "v": rng.normal(size=12), "y": [*"abcdef"] * 2}),
        "text": pd.DataFrame({"t": [" ".join(rng.choice(words, 12)) for _ in range(120)], "y": few}),
        "constant and missing": pd.DataFrame(
            {"k": 1.0, "m": np.where(rng.random(120) < 0.9, np.nan, 2.0), "u": rng.random(120)}
        ).assign(y=few),
        "identical": pd.DataFrame({"u": np.tile(rng.normal(size=60), 2), "y": np.repeat(["a", "b"], 60)}),
        "apart": pd.DataFrame({"u": np.where(few == "a", 0.0, 1.0), "v": rng.normal(size=120), "y": few}),
    }
    return frames[name]


@pytest.mark.parametrize("name", ["wide", "two rows a class", "text", "constant and missing", "identical", "apart"])
def test_hard_data_are_answered(tmp_path: Path, name: str) -> None:
    data = written(hostile(name), tmp_path / "hard.csv")
    said = steelyard("diagnose", data, "--target", "y", "--out", tmp_path / "found")
    assert "1. " in said
    facts = json.loads((tmp_path / "found" / "diagnosis.json").read_text())
    assert facts["classes"]


@pytest.mark.parametrize(
    ("frame", "said"),
    [
        (pd.DataFrame({"u": [1.5, 2.5] * 20, "y": "a"}), "one class only"),
        (pd.DataFrame({"u": 1.0, "y": [0, 1] * 20}), "no column of `X` varies"),
        (pd.DataFrame({"u": np.arange(30.0) ** 1.5, "y": np.arange(30)}), "looks like an identifier"),
    ],
)
def test_data_that_cannot_be_diagnosed_are_one_sentence(tmp_path: Path, frame: pd.DataFrame, said: str) -> None:
    data = written(frame, tmp_path / "bad.csv")
    with pytest.raises(SteelyardError, match=said) as caught:
        steelyard("diagnose", data, "--target", "y", "--out", tmp_path / "found")
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "found").exists()
