from __future__ import annotations

import importlib
import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from steelyard.bench.pool import run_jobs
from steelyard.core.errors import DataError, TrainingError


def nothing() -> None:
    return


def work(job: tuple[str, int]) -> int:
    """What the workers of these tests do."""
    kind, number = job
    if kind == "refuse":
        raise DataError(f"no {number}")
    if kind == "bug":
        raise KeyError(number)
    if kind == "die":
        os.kill(os.getpid(), signal.SIGKILL)
    if kind == "exit":
        os._exit(3)
    if kind == "threads":
        import torch

        return torch.get_num_threads()
    return number * number


@pytest.mark.multiprocess
def test_every_job_has_its_outcome_whatever_happens_to_the_others() -> None:
    jobs = [("square", 1), ("die", 2), ("refuse", 3), ("square", 4), ("bug", 5), ("exit", 6), ("square", 7)]
    outcomes = {outcome.job: outcome for outcome in run_jobs(work, jobs, workers=2, threads=1, idle=nothing)}
    assert set(outcomes) == set(jobs)
    assert [outcomes["square", n].value for n in (1, 4, 7)] == [1, 16, 49]
    assert "signal 9" in str(outcomes["die", 2].error)
    assert isinstance(outcomes["refuse", 3].error, DataError)
    assert str(outcomes["bug", 5].error).startswith("KeyError")
    assert "exit code 3" in str(outcomes["exit", 6].error)
    assert all(isinstance(outcomes[job].error, TrainingError) for job in (("die", 2), ("bug", 5), ("exit", 6)))


@pytest.mark.multiprocess
def test_workers_use_the_threads_they_are_given_and_idle_is_called() -> None:
    calls: list[int] = []
    (outcome,) = run_jobs(work, [("threads", 0)], workers=4, threads=1, idle=lambda: calls.append(1))
    assert outcome.value == 1
    assert calls


def test_no_jobs_no_workers() -> None:
    assert list(run_jobs(work, [], workers=2, threads=1, idle=nothing)) == []


@pytest.mark.multiprocess
def test_a_ctrl_c_while_a_worker_still_imports_is_not_its_business(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is sent to the whole process group; a worker would print a traceback."""
    (tmp_path / "interrupted_import.py").write_text(
        "import multiprocessing, os, signal\n\n"
        "if multiprocessing.parent_process() is not None:\n    os.kill(os.getpid(), signal.SIGINT)\n\n\n"
        "def double(job):\n    return 2 * job\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    double = importlib.import_module("interrupted_import").double
    (outcome,) = run_jobs(double, [4], workers=1, threads=1, idle=nothing)
    assert outcome.value == 8
    assert signal.SIGINT not in signal.pthread_sigmask(signal.SIG_BLOCK, [])


SCRIPT = """
    import time
    from steelyard.bench.pool import run_jobs
    from {module} import linger
    if __name__ == "__main__":
        list(run_jobs(linger, ["{folder}/a", "{folder}/b"], workers=2, threads=1, idle=lambda: None))
"""


@pytest.mark.multiprocess
def test_workers_do_not_outlive_a_killed_parent(tmp_path: Path) -> None:
    (tmp_path / "lingering.py").write_text(
        "import os, time\n\n\ndef linger(path):\n    open(path, 'w').write(str(os.getpid()))\n    time.sleep(60)\n"
    )
    script = tmp_path / "script.py"
    script.write_text(textwrap.dedent(SCRIPT.format(module="lingering", folder=tmp_path)))
    paths = os.pathsep.join([str(tmp_path), *sys.path])
    parent = subprocess.Popen([sys.executable, str(script)], env=os.environ | {"PYTHONPATH": paths})
    marks = [tmp_path / "a", tmp_path / "b"]
    deadline = time.monotonic() + 60
    while not all(mark.exists() and mark.read_text() for mark in marks) and time.monotonic() < deadline:
        time.sleep(0.1)
    workers = [int(mark.read_text()) for mark in marks]
    parent.kill()
    parent.wait()
    while any(alive(worker) for worker in workers) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not any(alive(worker) for worker in workers)


def alive(process: int) -> bool:
    try:
        state = Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except OSError:
        return False
    return state != "Z"
