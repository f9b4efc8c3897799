"""Local worker processes: one task at a time each, replaced when they die, gone when their parent is."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection, wait
from typing import Any, Generic, TypeVar

from steelyard.core.errors import SteelyardError, TrainingError

Job = TypeVar("Job")


@dataclass(frozen=True)
class Outcome(Generic[Job]):
    """What became of a job: a value, or an error."""

    job: Job
    value: Any = None
    error: SteelyardError | None = None


KEEP_MEMORY = {"MALLOC_MMAP_THRESHOLD_": str(4 << 30), "MALLOC_TRIM_THRESHOLD_": str(8 << 30)}
"""For glibc: keep freed memory for the next step. Giving it back and asking anew costs image models a sixth of their time."""


@contextmanager
def _environment(wanted: Mapping[str, str]) -> Iterator[None]:
    """Environment variables for processes that are started meanwhile; those that the user has set stay."""
    added = {name: value for name, value in wanted.items() if name not in os.environ}
    os.environ.update(added)
    try:
        yield
    finally:
        for name in added:
            del os.environ[name]


@contextmanager
def _interrupts_blocked() -> Iterator[None]:
    """Processes that are started meanwhile never see a Ctrl-C, not even while they import; ours arrives afterwards."""
    resource_tracker.ensure_running()  # a process of multiprocessing's own, whose start would unblock them
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


class _Worker:
    """A spawned process and the pipe to it."""

    def __init__(self, function: Callable[[Any], Any], threads: int) -> None:
        context = multiprocessing.get_context("spawn")
        self.pipe, theirs = context.Pipe()
        self.process = context.Process(target=_serve, args=(theirs, function, threads), daemon=True)
        with _environment(KEEP_MEMORY), _interrupts_blocked():
            self.process.start()
        theirs.close()
        self.job: Any = None

    def stop(self) -> None:
        self.process.terminate()
        self.process.join(5)
        if self.process.is_alive():
            self.process.kill()
        self.pipe.close()


def run_jobs(
    function: Callable[[Job], Any], jobs: Sequence[Job], *, workers: int, threads: int, idle: Callable[[], None]
) -> Iterator[Outcome[Job]]:
    """Run `function(job)` for every job in worker processes and give the outcomes as they come.

    A worker that dies (killed, out of memory) costs its job alone; it is replaced and the others go on. Leaving the
    iteration early, by an interrupt for instance, stops all workers.

    Args:
        function: importable by name.
        jobs: picklable.
        workers: processes.
        threads: torch threads of each.
        idle: called several times a second while waiting; for progress displays.
    """
    waiting = list(reversed(jobs))
    crew = [_Worker(function, threads) for _ in range(min(workers, len(jobs)))]
    try:
        for worker in crew:
            _give(worker, waiting)
        while any(worker.job is not None for worker in crew):
            busy = [worker for worker in crew if worker.job is not None]
            ready = wait([item for w in busy for item in (w.pipe, w.process.sentinel)], timeout=0.2)
            idle()
            for worker in busy:
                if worker.pipe in ready:
                    outcome = _receive(worker)
                elif worker.process.sentinel in ready:
                    outcome = _death(worker)
                else:
                    continue
                if not worker.process.is_alive() or isinstance(outcome.error, _WorkerDied):
                    worker.stop()
                    crew[crew.index(worker)] = worker = _Worker(function, threads)
                worker.job = None
                _give(worker, waiting)
                yield outcome
    finally:
        for worker in crew:
            worker.stop()


class _WorkerDied(TrainingError):
    """A worker process ended without an answer."""


def _give(worker: _Worker, waiting: list[Any]) -> None:
    if waiting:
        worker.job = waiting.pop()
        worker.pipe.send(worker.job)


def _receive(worker: _Worker) -> Outcome[Any]:
    try:
        kind, value = worker.pipe.recv()
    except EOFError:
        return _death(worker)
    return Outcome(worker.job, value) if kind == "value" else Outcome(worker.job, error=value)


def _death(worker: _Worker) -> Outcome[Any]:
    worker.process.join(1)
    code = worker.process.exitcode
    how = f"was killed by signal {-code} (out of memory?)" if code is not None and code < 0 else f"ended with exit code {code}"
    return Outcome(worker.job, error=_WorkerDied(f"its worker process {how}; run the same command again to continue it"))


def _serve(pipe: Connection, function: Callable[[Any], Any], threads: int) -> None:
    """The life of a worker. Interrupts are the parent's business; without a parent there is nothing to live for."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = os.getppid()
    threading.Thread(target=_die_with, args=(parent,), daemon=True).start()
    import torch

    torch.set_num_threads(threads)
    while True:
        try:
            job = pipe.recv()
        except EOFError:
            return
        try:
            answer = ("value", function(job))
        except SteelyardError as error:
            answer = ("error", error)
        except Exception as error:
            first = (str(error).strip().splitlines() or ["no message"])[0]
            answer = ("error", TrainingError(f"{type(error).__name__}: {first}"))
        pipe.send(answer)


def _die_with(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(0.3)
    os._exit(1)
