"""A comparison from plan to leaderboard: what is finished is not repeated, what is half-done goes on."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from steelyard.bench.execute import Order, execute
from steelyard.bench.listeners import read_beat
from steelyard.bench.plan import REFERENCE, Comparison, git_commit, versions
from steelyard.bench.pool import Outcome, run_jobs
from steelyard.bench.records import Run, read_json, read_result, write_json
from steelyard.bench.store import Store
from steelyard.core.errors import CheckpointError, SteelyardError


@dataclass(frozen=True)
class Machine:
    """Where runs are executed.

    Attributes:
        jobs: local processes at a time; 0 for as many as fit the cores.
        ray: address of a Ray cluster, "local" to start one; None for local processes.
        checkpoint_seconds: between checkpoints in the middle of an epoch.
        loggers: names of further loggers.
    """

    jobs: int = 0
    ray: str | None = None
    checkpoint_seconds: float = 10.0
    loggers: tuple[str, ...] = ()

    def crew(self, runs: int, threads: int | None = None) -> tuple[int, int]:
        """Processes and torch threads of each, for the runs of a whole comparison.

        Not for the runs that are left: a run must go on with the threads it began with to end with the same bits.
        OMP_NUM_THREADS, where it is set, is the most that a new one gets.

        Args:
            runs: of the comparison, finished or not.
            threads: those that it was begun with, whatever `jobs` was then; None for a new one.
        """
        jobs = max(1, min(self.jobs or _cores(), runs))
        return jobs, threads or max(1, min(_cores() // jobs, _most_threads()))


class Display(Protocol):
    """What is told while a comparison runs."""

    def begin(self, waiting: int, finished: int) -> None:
        """Before the first run: how many are to do and how many were found finished."""
        ...

    def beat(self, run: Run, beat: Mapping[str, Any]) -> None:
        """A run in progress says where it stands."""
        ...

    def end(self, run: Run, record: Mapping[str, Any] | None, error: str | None) -> None:
        """A run is finished, or failed."""
        ...


@dataclass
class Result:
    """A finished comparison.

    Attributes:
        leaderboard: as in `leaderboard.json`.
        failures: (run, reason) of runs that did not finish.
        out: the folder.
    """

    leaderboard: dict[str, Any]
    failures: list[tuple[Run, str]] = field(default_factory=list)
    out: Path = Path()


def compare(plan: Comparison, out: Path, *, machine: Machine, display: Display, facts: Mapping[str, Any]) -> Result:
    """Do the runs of a comparison that are not finished yet, and analyse all of them.

    Args:
        plan: what to compare.
        out: folder of the comparison; made when needed.
        machine: how to run.
        display: told about progress.
        facts: what the report says about data, model and methods; written to `comparison.json`.

    Raises:
        SteelyardError: the folder cannot be written, or another process is at work in it.
    """
    with alone(out):
        store = Store(out / "runs.duckdb")
        store.ingest(out)
        runs = plan.runs()
        # The result files decide what is finished, not their copy in the store: one may have been removed to be done again.
        finished = results_of(out, [run.id for run in runs])
        todo = [run for run in runs if run.id not in finished]
        jobs, threads = crew = machine.crew(len(runs), _threads_before(out))
        about = {"jobs": jobs, "threads": threads, "versions": versions(), "git_commit": git_commit()}
        about["runs"] = [run.id for run in runs]
        write_json(out / "comparison.json", dict(facts) | about)
        display.begin(len(todo), len(runs) - len(todo))
        failures = _run_all(plan, todo, out, store, machine, crew, display)
        store.close()
        board = write_leaderboard(out, failures)
    return Result(board, failures, out)


def results_of(out: Path, ids: Iterable[str]) -> dict[str, dict[str, Any]]:
    """The records of those runs that are finished, by id; a damaged one counts as not finished."""
    found = {}
    for run_id in ids:
        path = out / "runs" / run_id / "result.json"
        if path.exists():
            with suppress(CheckpointError):  # the store has named it in a warning
                found[run_id] = read_result(path)
    return found


def write_leaderboard(out: Path, failures: Sequence[tuple[Run, str]] = ()) -> dict[str, Any]:
    """Analyse the finished runs of a comparison and write `leaderboard.json`; nothing is written while there are none.

    Args:
        out: its folder, with `comparison.json`.
        failures: (run, reason) of runs that did not finish.

    Raises:
        CheckpointError: `comparison.json` is missing or damaged, or the leaderboard cannot be written.
    """
    from steelyard.bench.compare import leaderboard

    facts = _facts(out / "comparison.json")
    records = list(results_of(out, facts["runs"]).values())
    if not records:
        return {"rows": [], "notes": []}
    board = leaderboard(
        records,
        metric=facts["metric"],
        select=facts["select"],
        methods=facts["methods"],
        seeds=facts["seeds"],
        groups_rule=facts["groups"]["rule"],
        reference=REFERENCE,
    )
    board["notes"] += facts.get("notes", [])
    board["notes"] += [f"{run.method}, seed {run.seed}, did not finish: {reason}" for run, reason in failures]
    write_json(out / "leaderboard.json", board)
    return board


def _facts(path: Path) -> dict[str, Any]:
    facts = read_json(path)
    needed = ("runs", "metric", "select", "methods", "seeds", "groups")
    missing = [name for name in needed if name not in facts] if isinstance(facts, dict) else list(needed)
    if missing:
        raise CheckpointError(f"{path} is not a comparison: it has no {', '.join(missing)}; run its command again")
    return dict(facts)


def current_leaderboard(out: Path) -> dict[str, Any]:
    """The leaderboard of a comparison that is finished, under way or interrupted; made anew where runs have ended since.

    Raises:
        SteelyardError: there is no comparison in the folder, or none of its runs is finished.
    """
    if not (out / "comparison.json").exists():
        raise SteelyardError(f"folder {out} holds no comparison (no comparison.json); run `steelyard compare` first")
    path = out / "leaderboard.json"
    with suppress(CheckpointError):
        board: dict[str, Any] = read_json(path)
        made_from = [out / "comparison.json", *(out / "runs").glob("*/result.json")]
        if all(source.stat().st_mtime_ns <= path.stat().st_mtime_ns for source in made_from):
            return board
    board = write_leaderboard(out)
    if not board["rows"]:
        raise SteelyardError(f"no run of the comparison in {out} is finished yet; wait, or run its command again to go on")
    return board


def _threads_before(out: Path) -> int | None:
    """Threads of each run in an earlier call; None in a new folder, or where its comparison.json is damaged."""
    try:
        threads = read_json(out / "comparison.json").get("threads")
    except (CheckpointError, AttributeError):
        return None
    return threads if isinstance(threads, int) and threads > 0 else None


def _run_all(
    plan: Comparison, todo: list[Run], out: Path, store: Store, machine: Machine, crew: tuple[int, int], display: Display
) -> list[tuple[Run, str]]:
    orders = [
        Order(
            run,
            plan.regime,
            plan.problem,
            plan.groups,
            plan.device,
            out / "runs" / run.id,
            machine.checkpoint_seconds,
            machine.loggers,
        )
        for run in todo
    ]
    folders = {order.run: order.folder for order in orders}
    for folder in folders.values():  # of an attempt before this one
        (folder / "progress.json").unlink(missing_ok=True)

    def idle() -> None:
        for run, folder in folders.items():
            beat = read_beat(folder / "progress.json")
            if beat is not None:
                display.beat(run, beat)

    failures = []
    for outcome in _outcomes(orders, machine, crew, idle):
        run = outcome.job.run
        folders.pop(run, None)
        if outcome.error is not None:
            failures.append((run, str(outcome.error)))
            display.end(run, None, str(outcome.error))
        else:
            store.add(outcome.value)
            display.end(run, outcome.value, None)
    return failures


def _outcomes(
    orders: list[Order], machine: Machine, crew: tuple[int, int], idle: Callable[[], None]
) -> Iterator[Outcome[Order]]:
    if not orders:
        return iter(())
    jobs, threads = crew
    if machine.ray is not None:
        from steelyard.bench.cluster import run_jobs_on_ray

        return run_jobs_on_ray(execute, orders, address=machine.ray, workers=jobs, threads=threads, idle=idle)
    return run_jobs(execute, orders, workers=jobs, threads=threads, idle=idle)


def _cores() -> int:
    """Cores that this process may use."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # not offered on macOS
        return os.cpu_count() or 1


def _most_threads() -> int:
    """Threads that the environment allows: on a busy machine more of them than free cores wait for each other."""
    given = os.environ.get("OMP_NUM_THREADS", "").split(",")[0].strip()
    return int(given) if given.isdecimal() and int(given) > 0 else _cores()


def check_folder(out: Path, holds: str = "runs") -> None:
    """Make the folder of a comparison or a study, and in it the one for what it holds, before anything costly is done.

    Raises:
        SteelyardError: it cannot be made or written.
    """
    try:
        (out / holds).mkdir(parents=True, exist_ok=True)
        (out / ".lock").touch()
    except OSError as error:
        raise SteelyardError(f"cannot write to folder {out} ({error.strerror}); choose another with --out") from None


@contextmanager
def alone(out: Path, what: str = "comparison", holds: str = "runs") -> Iterator[None]:
    """Hold the folder's lock; the kernel lets go of it when this process ends, however it ends.

    Raises:
        SteelyardError: the folder cannot be written, or another process is at work in it.
    """
    check_folder(out, holds)
    with (out / ".lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise SteelyardError(f"another {what} is at work in {out}; wait for it, or choose another folder") from None
        yield
