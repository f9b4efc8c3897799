"""`steelyard compare` as a user runs it: real processes, really interrupted."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

pytestmark = [pytest.mark.multiprocess, pytest.mark.xdist_group("compare")]  # one worker: they share a whole comparison

COMPARE = (
    "compare", "digits", "--factor", "50", "--methods", "ce,ldam-drw,mixup-bs", "--seeds", "2", "--epochs", "12",
    "--checkpoint-seconds", "0.1", "--jobs", "2",
)  # fmt: skip


def start(out: Path, *arguments: str) -> subprocess.Popen[str]:
    """The command in a process group of its own, like a shell starts it."""
    return subprocess.Popen(
        [sys.executable, "-m", "steelyard", *(arguments or COMPARE), "--out", str(out)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=os.environ | {"OMP_NUM_THREADS": "1", "COLUMNS": "200"},
        start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # ignored in what a script runs in the background
    )


def finish(process: subprocess.Popen[str]) -> tuple[int, str]:
    output, _ = process.communicate(timeout=300)
    return process.returncode, output


def wait_for(condition: Callable[[], bool], process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + 120
    while not condition() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.02)


def freeze_when(condition: Callable[[], bool], process: subprocess.Popen[str]) -> bool:
    """Stop the whole group at a moment when the condition holds, so that it still holds afterwards; False if it ended before.

    On a loaded machine the comparison would go on, and be finished, between seeing the condition and using it.
    """
    while True:
        wait_for(condition, process)
        if process.poll() is not None:
            return False
        os.killpg(process.pid, signal.SIGSTOP)
        time.sleep(0.05)  # every thread has stopped
        if condition():
            return True
        os.killpg(process.pid, signal.SIGCONT)


def results(out: Path) -> dict[str, dict[str, object]]:
    """Of each run what must not depend on interruptions: numbers and weights."""
    found: dict[str, dict[str, object]] = {}
    for path in sorted(out.glob("runs/*/result.json")):
        record = json.loads(path.read_text())
        kept = {
            key: record[key] for key in ("metrics", "selected_metrics", "per_class", "confusion", "steps", "selected_epoch")
        }
        log = [json.loads(line) for line in (path.parent / "log.jsonl").read_text().splitlines()]
        kept["log"] = [{key: value for key, value in line.items() if key != "seconds"} for line in log]
        kept["weights"] = (path.parent / "model.safetensors").read_bytes()
        found[path.parent.name] = kept
    return found


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The comparison without any interruption."""
    out = tmp_path_factory.mktemp("whole")
    code, output = finish(start(out))
    assert code == 0, output
    return out


def test_everything_is_written(whole: Path) -> None:
    assert len(results(whole)) == 6
    board = json.loads((whole / "leaderboard.json").read_text())
    assert {row["method"] for row in board["rows"]} == {"ce", "ldam-drw", "mixup-bs"}
    assert "100 / 20 to 100 / < 20" in board["groups_rule"]
    assert (whole / "report.html").stat().st_size > 1_000_000
    assert not list(whole.glob("runs/*/checkpoints/*.pt"))


def test_killed_three_times_it_ends_with_the_same_bits(whole: Path, tmp_path: Path) -> None:
    out = tmp_path / "killed"
    killed = 0
    for finished in (0, 1, 3):
        process = start(out)
        if freeze_when(
            lambda enough=finished: (
                len(list(out.glob("runs/*/result.json"))) >= enough and bool(list(out.glob("runs/*/checkpoints/*.pt")))
            ),
            process,
        ):
            os.killpg(process.pid, signal.SIGKILL)
            killed += 1
        process.communicate()
    assert killed >= 2
    code, output = finish(start(out, *COMPARE[:-1], "1"))  # --jobs 1 would be other threads, and other bits, in a new folder
    assert code == 0, output
    assert re.search(r"[1-6] of 6 runs were finished before", output)
    assert results(out) == results(whole)


def living(group: int) -> list[str]:
    """Processes of a group that still run."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, _, its_group = path.read_text().rpartition(")")[2].split()[:3]
        except OSError:  # gone meanwhile
            continue
        if int(its_group) == group and state != "Z":
            found.append(path.parent.name)
    return found


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks for processes in /proc")
def test_only_the_parent_killed_leaves_no_worker_behind(tmp_path: Path) -> None:
    out = tmp_path / "orphans"
    process = start(out)
    wait_for(lambda: bool(list(out.glob("runs/*/progress.json"))), process)
    process.kill()
    process.communicate()
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline and living(process.pid):
        time.sleep(0.1)
    assert not living(process.pid)


def test_ctrl_c_says_how_to_go_on(tmp_path: Path) -> None:
    out = tmp_path / "stopped"
    process = start(out)
    wait_for(lambda: bool(list(out.glob("runs/*/progress.json"))), process)
    os.killpg(process.pid, signal.SIGINT)
    code, output = finish(process)
    assert code == 130
    assert "run the same command again" in output
    assert "Traceback" not in output


def test_finished_runs_are_not_repeated_and_more_methods_can_join(whole: Path, tmp_path: Path) -> None:
    out = shutil.copytree(whole, tmp_path / "more")
    before = {path: path.stat().st_mtime_ns for path in out.glob("runs/*/result.json")}
    arguments = [argument.replace("ce,ldam-drw,mixup-bs", "ce,ldam-drw,mixup-bs,la") for argument in COMPARE]
    code, output = finish(start(out, *arguments))
    assert code == 0, output
    assert "6 of 8 runs were finished before" in output
    assert {path: path.stat().st_mtime_ns for path in before} == before


def test_two_comparisons_cannot_share_a_folder(tmp_path: Path) -> None:
    out = tmp_path / "shared"
    first = start(out)
    assert freeze_when(lambda: bool(list(out.glob("runs/*/progress.json"))), first)
    code, output = finish(start(out))
    os.killpg(first.pid, signal.SIGKILL)
    first.communicate()
    assert code == 1
    assert "another comparison is at work" in output


def test_a_damaged_checkpoint_is_named_and_the_one_before_is_used(whole: Path, tmp_path: Path) -> None:
    out = tmp_path / "damaged"
    process = start(out)
    assert freeze_when(lambda: any(len(list(folder.glob("*.pt"))) > 1 for folder in out.glob("runs/*/checkpoints")), process)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    folder = next(folder for folder in out.glob("runs/*/checkpoints") if len(list(folder.glob("*.pt"))) > 1)
    newest = max(folder.glob("*.pt"))
    newest.write_bytes(newest.read_bytes()[:1000])
    code, output = finish(start(out))
    assert code == 0, output
    record = json.loads((folder.parent / "result.json").read_text())
    assert any(newest.name in warning for warning in record["warnings"]), record["warnings"]
    assert results(out) == results(whole)


def test_on_a_local_ray_cluster(whole: Path, tmp_path: Path) -> None:
    pytest.importorskip("ray", reason="Ray is an extra: pip install 'steelyard[ray]'")
    out = tmp_path / "ray"
    code, output = finish(start(out, *COMPARE, "--ray", "local"))
    assert code == 0, output
    assert results(out) == results(whole)
