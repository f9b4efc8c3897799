"""`steelyard fit` and `steelyard predict` as a user runs them, on files as they come."""

from __future__ import annotations

import json
import os
import re
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

QUICK = ("--method", "la", "--regime", "tables(epochs=3)", "--members", "2", "--no-importance")


def steelyard(*arguments: object) -> str:
    """The command in this process; what it printed."""
    result = CliRunner().invoke(cli, [str(argument) for argument in arguments], catch_exceptions=False, standalone_mode=False)
    if isinstance(result.return_value, SteelyardError):
        raise result.return_value
    return result.output


def scored(model: Path, data: Path, *arguments: object) -> pd.DataFrame:
    out = data.with_name("scored.parquet")
    steelyard("predict", model, data, "--out", out, *arguments)
    return pd.read_parquet(out)


def test_two_commands_from_a_file_to_decisions(tmp_path: Path) -> None:
    data = written(loans(600), tmp_path / "loans.csv")
    command = [sys.executable, "-m", "steelyard", "fit", data.name, "--target", "defaulted", *QUICK[:-1]]
    done = subprocess.run(
        command, cwd=tmp_path, capture_output=True, text=True, env=os.environ | {"OMP_NUM_THREADS": "1", "COLUMNS": "200"}
    )
    assert done.returncode == 0, done.stderr
    folder = tmp_path / "models" / "loans"
    assert {path.name for path in folder.iterdir()} == {
        "model.json",
        "model.safetensors",
        "fit.json",
        "README.md",
        "report.html",
    }
    assert "steelyard predict models/loans new.csv --out scored.parquet" in done.stdout
    facts = json.loads((folder / "fit.json").read_text())
    assert facts["importance"][0]["column"] == "income"
    assert facts["command"].startswith("steelyard fit loans.csv --target defaulted")
    new = written(loans(50, seed=9).drop(columns="defaulted"), tmp_path / "new.csv")
    rows = scored(folder, new, "--keep", "client_id")
    assert rows["client_id"].tolist() == pd.read_csv(new)["client_id"].tolist()
    assert set(rows["prediction"]) <= {"no", "yes"}
    np.testing.assert_allclose(rows["probability_no"] + rows["probability_yes"], 1)


def as_found(frame: pd.DataFrame, path: Path) -> Path:
    """A file as spreadsheets write it: byte-order mark, semicolons, decimal commas, free text, empty fields, one per cent."""
    text = frame.assign(comment=[f"note {i}: please, call again;\nor write" for i in range(len(frame))])
    text.to_csv(path, index=False, sep=";", decimal=",", encoding="utf-8-sig")
    return path


def test_a_file_as_spreadsheets_write_it(tmp_path: Path) -> None:
    frame = loans(1000, share=0.01)
    wide = pd.DataFrame(np.random.default_rng(0).normal(size=(1000, 60)), columns=[f"x{i}" for i in range(60)])
    wide = wide.mask(np.random.default_rng(1).random(wide.shape) < 0.4)
    data = as_found(pd.concat([frame, wide], axis=1), tmp_path / "loans.csv")
    said = steelyard("fit", data, "--target", "defaulted", "--out", tmp_path / "m", *QUICK)
    assert "client_id" in said
    facts = json.loads((tmp_path / "m" / "fit.json").read_text())
    kinds = {column["name"]: column["kind"] for column in facts["data"]["columns"]}
    assert (kinds["opened"], kinds["income"], kinds["city"], kinds["x7"]) == ("date", "number", "category", "number")
    assert facts["data"]["counts"]["train"] == [792, 8]
    rows = scored(tmp_path / "m", data)
    assert len(rows) == 1000
    assert np.isfinite(rows["probability_yes"]).all()


@pytest.mark.parametrize(
    ("decision", "holds"),
    [
        (("--recall", "yes=0.95"), lambda facts: facts["test"]["per_class"]["recall"][1] > 0.8),
        (("--alerts", "yes=10/100", "--regime", "tables(epochs=12)"), lambda facts: 0.02 < share_decided(facts) < 0.25),
        (("--costs", "yes:no=1000"), lambda facts: facts["test"]["per_class"]["recall"][1] > 0.9),
        (("--metric", "accuracy"), lambda facts: facts["decision"]["words"] == "largest probability"),
    ],
)
def test_the_decision_is_the_one_that_was_asked_for(tmp_path: Path, decision: tuple[str, ...], holds) -> None:
    data = written(loans(600), tmp_path / "loans.parquet")
    steelyard("fit", data, "--target", "defaulted", "--out", tmp_path / "m", *QUICK, *decision)
    assert holds(json.loads((tmp_path / "m" / "fit.json").read_text()))


def share_decided(facts: dict) -> float:
    table = np.array(facts["test"]["confusion"])
    return float(table[:, 1].sum() / table.sum())


def test_probabilities_answer_for_the_class_mix_of_the_rows(tmp_path: Path) -> None:
    data = written(loans(600), tmp_path / "loans.csv")
    steelyard("fit", data, "--target", "defaulted", "--out", tmp_path / "m", *QUICK)
    plain, rare = scored(tmp_path / "m", data), scored(tmp_path / "m", data, "--prior", "yes=0.01")
    odds = [np.log(rows["probability_yes"] / rows["probability_no"]) for rows in (plain, rare)]
    shift = np.log(0.01 / 0.99) - np.log(0.2 / 0.8)
    np.testing.assert_allclose(odds[1] - odds[0], shift, atol=1e-6)
    assert re.search(
        r"class mix: no \d", steelyard("predict", tmp_path / "m", data, "--out", tmp_path / "s.csv", "--prior", "em")
    )


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "--target.*client_id, opened"),
        (("--target", "default"), "'defaulted'"),
        (("--target", "defaulted", "--recall", "ja=0.9"), "unknown class 'ja'"),
        (("--target", "defaulted", "--recall", "yes"), "CLASS=SHARE"),
        (("--target", "defaulted", "--recall", "yes=2"), "at most 1"),
        (("--target", "defaulted", "--alerts", "yes=5/0"), "ALERTS/ROWS"),
        (("--target", "defaulted", "--costs", "yes=3"), "TRUE:DECIDED"),
        (("--target", "defaulted", "--costs", "yes:no=1", "--recall", "yes=0.9"), "--costs decides already"),
        (("--target", "defaulted", "--method", "magic"), "unknown method"),
        (("--target", "defaulted", "--regime", "magic"), "unknown regime"),
        (("--target", "defaulted", "--split", "time:when"), "when"),
        (("--target", "defaulted", "--metric", "luck"), "luck"),
    ],
)
def test_wrong_words_are_one_sentence(tmp_path: Path, arguments: tuple[str, ...], said: str) -> None:
    data = written(loans(80), tmp_path / "loans.csv")
    with pytest.raises(SteelyardError, match=said) as caught:
        steelyard("fit", data, "--out", tmp_path / "m", *arguments)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "m").exists()


def test_a_folder_with_other_files_is_not_written_into(tmp_path: Path) -> None:
    data = written(loans(80), tmp_path / "loans.csv")
    (tmp_path / "m").mkdir()
    (tmp_path / "m" / "thesis.tex").write_text("mine")
    with pytest.raises(SteelyardError, match="holds other files"):
        steelyard("fit", data, "--target", "defaulted", "--out", tmp_path / "m")


@pytest.mark.parametrize(
    ("prior", "said"), [("ja=0.5", "ja"), ("yes", "CLASS=SHARE"), ("yes=0.7,no=0.7", "sum"), ("yes=x", "CLASS=SHARE")]
)
def test_a_class_mix_that_is_none_is_refused(tmp_path: Path, prior: str, said: str) -> None:
    data = written(loans(200), tmp_path / "loans.csv")
    steelyard("fit", data, "--target", "defaulted", "--out", tmp_path / "m", *QUICK)
    with pytest.raises(SteelyardError, match=said):
        steelyard("predict", tmp_path / "m", data, "--out", tmp_path / "s.csv", "--prior", prior)
    assert not (tmp_path / "s.csv").exists()
