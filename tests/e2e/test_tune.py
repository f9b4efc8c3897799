"""`steelyard tune` as a user runs it: real processes, really killed."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

pytest.importorskip("optuna", reason="Optuna is an extra: pip install 'steelyard[tune]'")
pytestmark = pytest.mark.multiprocess

TUNE = (
    "tune", "digits", "--factor", "50", "--method", "la", "--trials", "3", "--regime", "digits", "--epochs", "8",
    "--search", "batch_size=16|32", "--pruner", "none", "--checkpoint-seconds", "0.05", "--jobs", "1",
)  # fmt: skip


def _as_from_a_shell() -> None:
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # ignored in what a script runs in the background
    if sys.platform == "linux":  # one core, so one thread: several would wait for each other on a busy machine
        os.sched_setaffinity(0, {random.choice(sorted(os.sched_getaffinity(0)))})


def start(out: Path, *arguments: str) -> subprocess.Popen[str]:
    """The command in a process group of its own, like a shell starts it."""
    return subprocess.Popen(
        [sys.executable, "-m", "steelyard", *TUNE, *arguments, "--out", str(out)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=os.environ | {"OMP_NUM_THREADS": "1", "COLUMNS": "200"},
        start_new_session=True,
        preexec_fn=_as_from_a_shell,
    )


def stopped_when(condition: Callable[[], bool], process: subprocess.Popen[str], how: signal.Signals) -> tuple[int, str]:
    """Send a signal to the whole group as soon as the condition holds; exit code and output."""
    deadline = time.monotonic() + 120
    while not condition() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.02)
    assert process.poll() is None, process.communicate()[0]
    os.killpg(process.pid, how)
    output, _ = process.communicate(timeout=120)
    return process.returncode, output


def finished(out: Path) -> dict[int, float]:
    """The value of each trial that is over."""
    records = [json.loads(path.read_text()) for path in out.glob("trials/*/trial.json")]
    return {record["number"]: record["value"] for record in records if "state" in record}


def test_killed_and_run_again_it_keeps_what_is_finished_and_does_the_rest(tmp_path: Path) -> None:
    out = tmp_path / "study"
    under_way = out / "trials" / "0001"
    code, _ = stopped_when(lambda: bool(list(under_way.glob("seed-0/checkpoints/*.pt"))), start(out), signal.SIGKILL)
    assert code == -signal.SIGKILL
    before = finished(out)
    assert list(before) == [0]
    tried = json.loads((under_way / "trial.json").read_text())["settings"]

    code, output = stopped_when(lambda: (out / "trials" / "0002" / "seed-0" / "log.jsonl").exists(), start(out), signal.SIGINT)
    assert code == 130
    assert "run the same command again" in output
    assert "Traceback" not in output

    process = start(out)
    output, _ = process.communicate(timeout=300)
    assert process.returncode == 0, output
    assert "2 trials were done before and are not repeated" in output
    assert "steelyard compare digits --factor 50.0 " in output
    study = json.loads((out / "tune.json").read_text())
    assert [row["number"] for row in study["trials"]] == [0, 1, 2]
    assert all(row["state"] == "complete" for row in study["trials"])
    assert study["trials"][0]["value"] == before[0]
    assert study["trials"][1]["settings"] == tried
    assert study["best"]["value"] == max(row["value"] for row in study["trials"])
    assert not list(out.rglob("*.pt"))
