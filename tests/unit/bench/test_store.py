"""The store of runs: round trips, kills, damage."""

from __future__ import annotations

import json
import math
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from steelyard.bench.records import Run, read_json, read_result, to_plain, write_json, write_result
from steelyard.bench.store import COLUMNS, DamagedResultWarning, DamagedStoreWarning, Store
from steelyard.core.errors import ArgumentError, CheckpointError


def record(method: str = "ce", seed: int = 0, **more: Any) -> dict[str, Any]:
    run = Run("digits", method, "quick", seed, {"epochs": 3, "augment": "none", "clip_norm": None})
    return run.to_json() | {
        "run_id": run.id,
        "metrics": {"accuracy": 0.5 + seed / 10, "few_recall": math.nan},
        "selected_metrics": None,
        "intervals": {"accuracy": [0.4, 0.6], "few_recall": [math.nan, math.nan]},
        "per_class": {"recall": [1.0, math.nan]},
        "seconds": 1.5,
        "seconds_per_step": 0.001,
        "steps": 1500,
        "peak_memory_mb": 300.0,
        "versions": {"torch": "2"},
        "git_commit": None,
        "device": "cpu",
        "started_at": "2025-01-01T00:00:00+00:00",
        "finished_at": "2025-01-01T00:00:02+00:00",
        "folder": run.id,
        **more,
    }


def finish(folder: Path, one: dict[str, Any]) -> None:
    write_result(folder / "runs" / one["run_id"], one)


def test_a_row_comes_back_as_it_went_in(tmp_path: Path) -> None:
    one = record("la(tau=1.5)", 2)
    with Store(tmp_path / "deep" / "runs.duckdb") as store:
        store.add(one)
        (row,) = store.runs()
    assert list(row) == list(COLUMNS)
    assert all(row[name] == one[name] for name in COLUMNS if name not in ("metrics", "intervals"))
    assert row["metrics"]["accuracy"] == 0.7
    assert math.isnan(row["metrics"]["few_recall"])
    assert row["intervals"]["accuracy"] == [0.4, 0.6]


def test_the_same_run_replaces_its_row(tmp_path: Path) -> None:
    store = Store(tmp_path / "runs.duckdb")
    store.add(record(seconds=1.0))
    store.add(record(seconds=2.0))
    store.add(record(seed=1))
    assert [(row["seed"], row["seconds"]) for row in store.runs()] == [(0, 2.0), (1, 1.5)]


def test_names_are_parameters_and_not_sql(tmp_path: Path) -> None:
    store = Store(tmp_path / "runs.duckdb")
    nasty = "la'); DROP TABLE runs; --"
    store.add(record(nasty))
    assert [row["method"] for row in store.runs()] == [nasty]


def test_the_table_can_be_asked_in_sql_and_as_arrow(tmp_path: Path) -> None:
    import duckdb

    store = Store(tmp_path / "runs.duckdb")
    for seed in range(3):
        store.add(record(seed=seed))
    # The store is open, and others may read all the same.
    with duckdb.connect(str(store.path), read_only=True) as connection:
        found = connection.execute("SELECT avg((metrics->>'accuracy')::DOUBLE) FROM runs").fetchone()
    assert found[0] == pytest.approx(0.6)
    table = store.table()
    assert table.num_rows == 3
    assert table.column("seed").to_pylist() == [0, 1, 2]


def test_finished_runs_without_a_row_are_picked_up(tmp_path: Path) -> None:
    store = Store(tmp_path / "runs.duckdb")
    for seed in range(3):
        finish(tmp_path, record(seed=seed))
    store.add(record(seed=1))
    (tmp_path / "runs" / "half-done").mkdir()
    assert set(store.ingest()) == {record(seed=0)["run_id"], record(seed=2)["run_id"]}
    assert store.ingest(tmp_path) == []
    assert [row["seed"] for row in store.runs()] == [0, 1, 2]


def test_an_unreadable_result_is_named_and_passed_over(tmp_path: Path) -> None:
    finish(tmp_path, record())
    for name, text in (("torn", '{"metrics": {'), ("other", "[1, 2]"), ("empty", "")):
        (tmp_path / "runs" / name).mkdir()
        (tmp_path / "runs" / name / "result.json").write_text(text)
    store = Store(tmp_path / "runs.duckdb")
    with pytest.warns(DamagedResultWarning) as warned:
        assert store.ingest() == [record()["run_id"]]
    text = " ".join(str(w.message) for w in warned)
    assert all(f"{name}/result.json" in text for name in ("torn", "other", "empty"))


def damaged(kind: str, content: bytes) -> bytes:
    """A store's file after an accident."""
    if kind == "empty":
        return b""
    if kind == "text":
        return b"this is not a database\n" * 500
    if kind == "cut":
        return content[: len(content) // 2]
    flipped = bytearray(content)
    for place in range(4096 if kind == "header" else 12288, len(flipped), 509):
        flipped[place] ^= 0xFF
    return bytes(flipped)


@pytest.mark.parametrize("kind", ["empty", "text", "cut", "header", "flipped"])
def test_a_damaged_file_is_named_kept_and_made_again(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "runs.duckdb"
    store = Store(path)
    for seed in range(2):
        finish(tmp_path, record(seed=seed))
        store.add(record(seed=seed))
    content = damaged(kind, path.read_bytes())
    path.write_bytes(content)
    with pytest.warns(DamagedStoreWarning, match=r"runs\.duckdb was damaged .* kept as runs\.duckdb\.corrupt"):
        again = Store(path)
        rows = again.runs()
    assert [row["seed"] for row in rows] == [0, 1]
    assert (tmp_path / "runs.duckdb.corrupt").read_bytes() == content
    assert [row["seed"] for row in Store(path).runs()] == [0, 1]


def test_damage_while_in_use_is_found_and_a_second_wreck_does_not_replace_the_first(tmp_path: Path) -> None:
    store = Store(tmp_path / "runs.duckdb")
    finish(tmp_path, record())
    for _ in range(2):
        store.path.write_bytes(b"broken" * 999)
        with pytest.warns(DamagedStoreWarning):
            store.add(record(seed=5))
    assert [row["seed"] for row in store.runs()] == [0, 5]
    assert {path.name for path in tmp_path.glob("*.corrupt*")} == {"runs.duckdb.corrupt", "runs.duckdb.corrupt-2"}


WRITER = """
import sys
from pathlib import Path
from steelyard.bench.records import write_result
from steelyard.bench.store import Store
folder = Path(sys.argv[1])
store = Store(folder / "runs.duckdb")
for seed in range(100_000):
    one = {"run_id": f"{seed:06d}", "problem": "p", "method": "ce", "regime": "r", "seed": seed, "metrics": {"accuracy": 0.5}}
    write_result(folder / "runs" / one["run_id"], one)
    store.add(one)
    print(seed, flush=True)
"""


@pytest.mark.multiprocess
@pytest.mark.parametrize("after", [3, 8])
def test_a_killed_writer_loses_no_finished_run(tmp_path: Path, after: int) -> None:
    with subprocess.Popen([sys.executable, "-c", WRITER, str(tmp_path)], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if int(line) == after:
                time.sleep(0.01 * after)
                os.kill(process.pid, signal.SIGKILL)
                break
    store = Store(tmp_path / "runs.duckdb")
    store.ingest()
    finished = {path.parent.name for path in tmp_path.glob("runs/*/result.json")}
    assert {row["run_id"] for row in store.runs()} == finished
    assert len(finished) > after


@pytest.mark.multiprocess
def test_a_file_in_use_is_waited_for_and_then_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "runs.duckdb"
    Store(path).add(record())
    hold = "import duckdb, sys; c = duckdb.connect(sys.argv[1]); print('held', flush=True); sys.stdin.readline(); c.close()"
    with subprocess.Popen(
        [sys.executable, "-c", hold, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdin is not None and process.stdout is not None
        assert process.stdout.readline() == "held\n"
        monkeypatch.setattr("steelyard.bench.store.PATIENCE_SECONDS", 0.2)
        with pytest.raises(CheckpointError, match=r"runs\.duckdb is in use by another process"):
            Store(path)
        process.stdin.write("\n")
        process.stdin.close()
        monkeypatch.setattr("steelyard.bench.store.PATIENCE_SECONDS", 30)
        assert len(Store(path).runs()) == 1


def test_what_is_not_a_store_is_left_alone(tmp_path: Path) -> None:
    import duckdb

    path = tmp_path / "mine.duckdb"
    with duckdb.connect(str(path)) as connection:
        connection.execute("CREATE TABLE birds (name VARCHAR)")
    with pytest.raises(CheckpointError, match=r"mine\.duckdb is a DuckDB file but not a store"):
        Store(path)
    (tmp_path / "folder.duckdb").mkdir()
    with pytest.raises(CheckpointError, match=r"folder\.duckdb cannot be used"):
        Store(tmp_path / "folder.duckdb")
    (tmp_path / "file").write_text("")
    with pytest.raises(CheckpointError, match="cannot be made"):
        Store(tmp_path / "file" / "runs.duckdb")


def test_a_later_version_is_refused(tmp_path: Path) -> None:
    import duckdb

    path = tmp_path / "runs.duckdb"
    Store(path)
    with duckdb.connect(str(path)) as connection:
        connection.execute("UPDATE schema_version SET version = 9")
    with pytest.raises(CheckpointError, match="version 9 and this steelyard knows version 1"):
        Store(path)


def test_a_record_without_an_identity_is_refused(tmp_path: Path) -> None:
    store = Store(tmp_path / "runs.duckdb")
    with pytest.raises(CheckpointError, match="no method, seed"):
        store.add({"run_id": "a", "problem": "p", "regime": "r"})
    assert store.runs() == []


settings = st.dictionaries(
    st.text(min_size=1, max_size=5),
    st.one_of(st.text(max_size=5), st.booleans(), st.none(), st.integers(-9, 9), st.floats(-9, 9)),
)


@given(settings=settings, seed=st.integers(0, 2**62))
def test_a_run_survives_json_and_its_id_ignores_order_and_spelling(settings: dict[str, Any], seed: int) -> None:
    run = Run("digits", "la", "quick", seed, settings)
    assert Run.from_json(json.loads(json.dumps(run.to_json()))) == run
    backwards = dict(reversed(list(settings.items())))
    spelled = {k: float(v) if isinstance(v, int) and not isinstance(v, bool) else v for k, v in backwards.items()}
    assert Run("digits", "la", "quick", seed, spelled).id == run.id
    assert len({run, Run("digits", "la", "quick", seed, spelled)}) == 1
    assert Run("digits", "la", "quick", seed + 1, settings).id != run.id


def test_different_runs_have_different_ids() -> None:
    runs = [
        Run("digits", "ce", "quick", 0, settings)
        for settings in ({}, {"x": 1}, {"x": True}, {"x": "1"}, {"x": None}, {"x": 1.5}, {"y": 1})
    ]
    assert len({run.id for run in runs}) == len(set(runs)) == len(runs)


def test_the_id_of_a_run_never_changes() -> None:
    assert Run("digits", "la(tau=1.5)", "quick", 3, {"epochs": 30, "lr": 0.1}).id == "2bdbc61e6dbb"


def test_settings_are_finite_scalars() -> None:
    for bad in ([1], math.nan, {"a": 1}):
        with pytest.raises(ArgumentError, match="x"):
            Run("digits", "ce", "quick", 0, {"x": bad})  # type: ignore[dict-item]


def test_undefined_numbers_are_null_on_disk_and_nan_in_a_record(tmp_path: Path) -> None:
    path = write_result(tmp_path / "abc", record() | {"confusion": np.eye(2, dtype=int), "run_id": "abc"})
    assert "NaN" not in path.read_text()
    assert read_json(path)["metrics"]["few_recall"] is None
    for where in (path, path.parent):
        again = read_result(where)
        assert math.isnan(again["metrics"]["few_recall"])
        assert math.isnan(again["per_class"]["recall"][1])
        assert again["confusion"] == [[1, 0], [0, 1]]
        assert again["selected_metrics"] is None


def test_a_failed_write_leaves_the_old_file_and_no_litter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "result.json"
    write_json(path, {"a": 1})

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(CheckpointError, match=r"could not write .*result\.json \(No space left on device\)"):
        write_json(path, {"a": 2})
    assert read_json(path) == {"a": 1}
    assert [p.name for p in tmp_path.iterdir()] == ["result.json"]


def test_what_json_cannot_hold_is_refused_before_the_file_is_touched(tmp_path: Path) -> None:
    with pytest.raises(ArgumentError, match="object"):
        write_json(tmp_path / "x.json", {"a": object()})
    assert list(tmp_path.iterdir()) == []
    assert to_plain((1, {2}, Path("p"), np.float32(0.5), math.inf)) == [1, [2], "p", 0.5, None]


def test_a_missing_or_torn_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"gone\.json cannot be read"):
        read_json(tmp_path / "gone.json")
    (tmp_path / "torn.json").write_text('{"a":')
    with pytest.raises(CheckpointError, match=r"torn\.json is damaged"):
        read_json(tmp_path / "torn.json")
