"""Bad input through the command line: one sentence on stderr, an exit code that is not zero, no traceback, nothing trained."""

from __future__ import annotations

import io
import os
import resource
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from steelyard import cli

ROWS = 120
BUG = 70
"""The exit code for a bug in steelyard, which no input may lead to."""

Refused = Callable[..., str]


@pytest.fixture
def refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Refused:
    """What the command says when it refuses."""

    def run(data: Any, *options: str, out: Path | None = None) -> str:
        quick = () if "--methods" in options else ("--methods", "ce")
        folder = tmp_path / "out" if out is None else out
        monkeypatch.setattr(sys, "argv", ["steelyard", "compare", str(data), *quick, *options, "--out", str(folder)])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        captured = capsys.readouterr()
        assert ended.value.code not in (0, None, BUG)
        assert captured.err.startswith("error: ")
        assert captured.err.count("\n") == 1 and len(captured.err) < 600
        assert "Traceback" not in captured.err and "Error(" not in captured.err
        assert not list(folder.glob("runs/*")) if folder.is_dir() else True
        return captured.err

    return run


def table(**columns: Any) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    return pd.DataFrame(
        {"age": rng.normal(size=ROWS), "debt": rng.normal(size=ROWS), "paid": np.repeat([0, 1], [90, 30])} | columns
    )


def saved(folder: Path, frame: pd.DataFrame) -> Path:
    path = folder / "loans.csv"
    frame.to_csv(path, index=False)
    return path


def content(folder: Path, name: str, what: str | bytes = b"") -> Path:
    path = folder / name
    path.write_bytes(what.encode() if isinstance(what, str) else what)
    return path


def with_value(column: str, value: Any, row: int = 3) -> pd.DataFrame:
    frame = table().astype({column: object})
    frame.loc[row, column] = value
    return frame


# ------------------------------------------------------------------------------------------------------------ no data there


@pytest.mark.parametrize("name", ["none.csv", "none.parquet", "none.npz", "no/such/folder"])
def test_missing_files(refused: Refused, tmp_path: Path, name: str) -> None:
    assert f"there is no file or folder {tmp_path / name}" in refused(tmp_path / name, "--target", "paid")


@pytest.mark.parametrize("suffix", ["csv", "tsv", "csv.gz", "parquet", "npz"])
def test_empty_files(refused: Refused, tmp_path: Path, suffix: str) -> None:
    assert "is empty (0 bytes)" in refused(content(tmp_path, f"data.{suffix}"), "--target", "paid")


def test_an_empty_folder(refused: Refused, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    assert "no class folders" in refused(tmp_path / "empty")


def test_a_header_without_rows(refused: Refused, tmp_path: Path) -> None:
    assert "has a header (age, paid) but no rows" in refused(content(tmp_path, "h.csv", "age,paid\n"), "--target", "paid")


@pytest.mark.parametrize(
    ("name", "what", "message"),
    [
        ("t.csv", os.urandom(4000), "not UTF-8|not a text file"),
        ("t.csv.gz", b"hello", "cannot read"),
        ("t.parquet", b"PAR1 and so on", "cannot read"),
        ("t.npz", b"hello", "is not an .npz archive"),
        ("t.xlsx", b"hello", "known endings"),
        ("t.csv", "größe,paid\n1,2\n".encode("latin-1"), "is not UTF-8 text"),
        ("t.csv", "age,age,paid\n1,2,3\n", "has the column 'age' more than once"),
        ("t.csv", "age,paid\n1,2\n1,2,3\n", "line 3"),
    ],
)
def test_files_that_are_something_else(refused: Refused, tmp_path: Path, name: str, what: str | bytes, message: str) -> None:
    said = refused(content(tmp_path, name, what), "--target", "paid")
    assert any(part in said for part in message.split("|"))


# ----------------------------------------------------------------------------------------------------- targets and features


def test_targets(refused: Refused, tmp_path: Path) -> None:
    path = saved(tmp_path, table())
    assert "unknown column 'payed'; did you mean 'paid'" in refused(path, "--target", "payed")
    assert "one of: age, debt, paid" in refused(path)


@pytest.mark.parametrize(
    ("frame", "message"),
    [
        (table(paid=1), "one class only ('1')"),
        (with_value("paid", 7), "class '7' has one row, which cannot be in both training and test data"),
        (with_value("paid", None), "1 of 120 train rows have no label"),
        (with_value("age", None), "column 'age' has 1 missing values"),
        (with_value("age", np.inf), "column 'age' has 1 infinite values"),
        (with_value("debt", -np.inf), "column 'debt' has 1 infinite values"),
        (table(paid=np.random.default_rng(1).normal(size=ROWS)), "looks like a measurement"),
        (table(paid=range(ROWS)), "looks like an identifier or a measurement"),
        (table()[["paid"]], "no feature columns are left"),
        (table().iloc[[0, 119]], "has one row (and 1 more such classes)"),
    ],
)
def test_tables_that_cannot_be_learnt_from(refused: Refused, tmp_path: Path, frame: pd.DataFrame, message: str) -> None:
    assert message in refused(saved(tmp_path, frame), "--target", "paid")


@pytest.mark.parametrize("column", ["age", "paid"])
@pytest.mark.parametrize("value", [[1, 2], {"a": 1}], ids=["lists", "structs"])
def test_parquet_with_nested_columns(refused: Refused, tmp_path: Path, column: str, value: Any) -> None:
    table(**{column: [value] * ROWS}).to_parquet(tmp_path / "t.parquet")
    said = refused(tmp_path / "t.parquet", "--target", "paid")
    assert f"column '{column}'" in said and "values" in said


def test_more_classes_than_rows(refused: Refused, tmp_path: Path) -> None:
    assert "10 different values in 10 rows" in refused(saved(tmp_path, table(paid=range(ROWS)).iloc[:10]), "--target", "paid")
    images = pa.table({"image": [png(0)] * 4, "label": [0, 0, 1, 1]})
    pq.write_table(
        images.replace_schema_metadata({"classes": str(list("abcdefg")).replace("'", '"')}), tmp_path / "few.parquet"
    )
    assert "7 classes but the training data only 4 rows" in refused(tmp_path / "few.parquet")


X, Y = np.random.default_rng(0).normal(size=(ROWS, 3)), np.repeat([0, 1], [90, 30])


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"data": X, "labels": Y}, "has no arrays 'X' and 'y'"),
        ({"X": X}, "has no array 'y'"),
        ({"X": X, "y": Y[:-1]}, "X has 120 rows and y has 119"),
        ({"X": np.where(X > 2, np.nan, X), "y": Y}, "missing values (NaN)"),
        ({"X": np.where(X > 2, np.inf, X), "y": Y}, "infinite values"),
        ({"X": X, "y": np.where(Y == 0, np.nan, Y)}, "90 of 120 train rows have no label"),
        ({"X": X, "y": Y.astype(object)}, "never unpickled"),
        ({"X": X.astype(object), "y": Y}, "never unpickled"),
        ({"X": X, "y": np.eye(2)[Y]}, "one label a row"),
        ({"X": X[:, 0], "y": Y}, "two dimensions or more"),
        ({"X": X.astype(str), "y": Y}, "should hold numbers"),
        ({"X": X[:0], "y": Y[:0]}, "no rows"),
    ],
)
def test_archives(refused: Refused, tmp_path: Path, arrays: dict[str, Any], message: str) -> None:
    np.savez(tmp_path / "t.npz", **arrays)
    assert message in refused(tmp_path / "t.npz")


# ------------------------------------------------------------------------------------------------------------------- images


def png(value: int, size: int = 8, mode: str = "RGB") -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (size, size), (value, 255 - value, 90)).convert(mode).save(buffer, "PNG")
    return buffer.getvalue()


@pytest.fixture
def zoo(tmp_path: Path) -> Path:
    for name in ("cat", "dog"):
        (tmp_path / "zoo" / name).mkdir(parents=True)
        for i in range(12):
            content(tmp_path / "zoo" / name, f"{i}.png", png(i))
    return tmp_path / "zoo"


@pytest.mark.parametrize(
    ("name", "what", "message"),
    [
        ("cat/0.png", b"", "0.png is empty (0 bytes)"),
        ("cat/0.png", png(1)[:-30], "0.png is not an image that can be read"),
        ("cat/0.png", b"hello", "0.png is not an image that can be read"),
        ("cat/0.png", png(1, size=9), "make them one size with --resize"),
        ("cat/notes.txt", b"hello", "notes.txt is not an image"),
        ("notes.txt", b"hello", "notes.txt is not in a class folder"),
    ],
)
def test_a_file_that_spoils_an_image_folder(refused: Refused, zoo: Path, name: str, what: bytes, message: str) -> None:
    (zoo / name).write_bytes(what)
    assert message in refused(zoo)


def test_class_folders(refused: Refused, zoo: Path) -> None:
    (zoo / "bird").mkdir()
    assert "bird has no images" in refused(zoo)
    content(zoo / "bird", "0.png", png(0))
    assert "class 'bird' has one row" in refused(zoo)


# --------------------------------------------------------------------------------------------------------- settings and names


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--factor", "-5"], "`factor` should be a number of 1 or more; found -5"),
        (["--factor", "0"], "`factor`"),
        (["--factor", "0.5"], "`factor`"),
        (["--factor", "nan"], "`factor`"),
        (["--factor", "inf"], "`factor`"),
        (["--factor", "1e9"], "more than the data allow"),
        (["--methods", "focall"], "unknown method 'focall'; did you mean 'focal'"),
        (["--methods", "la+focal"], "cannot be combined: both set the loss"),
        (["--methods", "la+posthoc-la"], "cannot be combined"),
        (["--methods", "la(tua=1)"], "did you mean 'tau'"),
        (["--seeds", "0"], "--seeds"),
        (["--seeds", "-1"], "--seeds"),
        (["--seeds", "many"], "--seeds"),
        (["--epochs", "0"], "epochs"),
        (["--epochs", "-1"], "epochs"),
        (["--drop", "x0,x1"], "no feature columns are left"),
        (["--drop", "x0,x7"], "unknown column 'x7'"),
        (["--test", "nowhere.csv"], "nowhere.csv"),
        (["--resize", "8"], "`resize`"),
        (["--profile", "step"], "`profile`"),
        (["--model", "resnet33"], "did you mean 'resnet32'"),
        (["--model", "mlp(hidden=abc)"], "`model`"),
        (["--regime", "shrt"], "did you mean 'short'"),
    ],
)
def test_settings(refused: Refused, options: list[str], message: str) -> None:
    assert message in refused("blobs", *options)


def test_data_sets_by_name(refused: Refused) -> None:
    assert "unknown data set 'blos'; did you mean 'blobs'" in refused("blos")


@pytest.mark.parametrize("below", ["", "deeper/still"])
def test_folders_that_cannot_be_written(refused: Refused, tmp_path: Path, below: str) -> None:
    taken = content(tmp_path, "taken", "x")
    assert f"cannot write to folder {taken / below}" in refused("blobs", out=taken / below)


def test_no_permission_to_write(refused: Refused) -> None:
    """Nobody may write there, whoever runs the tests."""
    if not Path("/proc/self").is_dir():
        pytest.skip("needs a folder that not even root may write to: /proc of Linux")
    assert "cannot write to folder /proc/steelyard" in refused("blobs", out=Path("/proc/steelyard"))


# ----------------------------------------------------------------------------------------------- what must work, really run


def run(*arguments: Any, file_size: int | None = None) -> tuple[int, str, str]:
    """The command in a process of its own, where no file may grow beyond `file_size` bytes."""

    def limit() -> None:
        if file_size is not None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (file_size, file_size))

    done = subprocess.run(
        [sys.executable, "-m", "steelyard", "compare", *map(str, arguments), "--no-report", "--jobs", "1"],
        capture_output=True,
        text=True,
        env=os.environ | {"OMP_NUM_THREADS": "1", "COLUMNS": "200"},
        preexec_fn=limit,
        timeout=300,
        check=False,
    )
    return done.returncode, done.stdout, done.stderr


@pytest.mark.multiprocess
def test_odd_tables_that_work(tmp_path: Path) -> None:
    labels = np.array(["paid back", "late", "lost"])[np.repeat([0, 1, 2], [70, 30, 20])]
    frame = table(paid=labels, city=["Köln", "Bonn", "Ulm\nDonau"] * 40, flag=[True, False] * 60, same=1)
    frame.to_csv(tmp_path / "t.csv", index=False, sep=";", decimal=",", encoding="utf-8-sig")
    code, said, wrong = run(
        tmp_path / "t.csv", "--target", "paid", "--methods", "ce", "--epochs", "1", "--seeds", "1", "--out", tmp_path / "a"
    )
    assert code == 0, wrong
    assert "3 classes" in said
    code, said, wrong = run(
        saved(tmp_path, table(paid=np.repeat([3, 7, -1], [70, 30, 20]))), "--target", "paid", "--methods", "la",
        "--epochs", "1", "--seeds", "1", "--out", tmp_path / "b",
    )  # fmt: skip
    assert code == 0, wrong


@pytest.mark.multiprocess
def test_image_folders_with_every_mode_and_what_systems_leave_there(zoo: Path, tmp_path: Path) -> None:
    for i, mode in enumerate(["L", "RGBA", "P", "1", "LA"]):
        content(zoo / "cat", f"mode{i}.png", png(i, mode=mode))
    Image.fromarray(np.full((8, 8), 40_000, np.uint16)).save(zoo / "dog" / "deep.png")
    for name in (".DS_Store", "cat/Thumbs.db"):
        content(zoo, name, "x")
    code, said, wrong = run(zoo, "--methods", "ce", "--epochs", "1", "--seeds", "1", "--out", tmp_path / "a")
    assert code == 0, wrong
    assert "2 classes" in said


@pytest.mark.multiprocess
def test_a_full_disk_loses_nothing_that_is_finished(tmp_path: Path) -> None:
    command = (
        "digits",
        "--factor",
        "20",
        "--methods",
        "ce",
        "--epochs",
        "2",
        "--checkpoint-seconds",
        "0",
        "--model",
        "small-cnn(width=32)",
    )
    out = ("--out", tmp_path / "out")
    assert run(*command, "--seeds", "1", *out)[0] == 0
    before = {path: path.read_bytes() for path in (tmp_path / "out").glob("runs/*/*.*") if path.is_file()}
    code, _, wrong = run(*command, "--seeds", "2", *out, file_size=300_000)  # a checkpoint is larger
    assert code == 1
    assert wrong.startswith("error: ") and "could not write" in wrong and "run the same command again" in wrong
    assert "Traceback" not in wrong and wrong.count("\n") == 1
    assert all(path.read_bytes() == content for path, content in before.items())
    code, _, wrong = run(*command, "--seeds", "2", *out)
    assert code == 0, wrong
    assert all(path.read_bytes() == content for path, content in before.items())
    assert len(list((tmp_path / "out").glob("runs/*/result.json"))) == 2
