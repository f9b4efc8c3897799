"""Runs every opponent on every split of every set, a few processes of one thread each; what is finished is never repeated."""

from __future__ import annotations

import json
import multiprocessing
import os
import sys
import time
import warnings
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from benchmarks.tables.opponents import opponent
from benchmarks.tables.scoring import scores
from benchmarks.tables.sets import Table, load
from benchmarks.tables.tuning import tune
from sklearn.model_selection import RepeatedStratifiedKFold, train_test_split

FOLDS = 3
"""Outer folds: a third of the rows is tested on; more splits than folds shuffle anew."""

THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS")

Record = dict[str, Any]


@dataclass(frozen=True)
class Budget:
    """What everyone gets; results count for another budget only where they would be the same.

    Attributes:
        trials: random settings beside the defaults.
        folds: inner folds.
        rows: training rows at most; of larger sets a stratified sample is drawn.
        seed: of splits, draws and classifiers.
    """

    trials: int = 3
    folds: int = 3
    rows: int = 12_000
    seed: int = 0

    def covers(self, record: Record) -> bool:
        """Would this budget have given the same result?"""
        made = Budget(**record["budget"])
        same_rows = made.rows == self.rows or record["train_rows"] < min(made.rows, self.rows)
        same_trials = record["tried"] == 0 or (made.trials, made.folds) == (self.trials, self.folds)
        return made.seed == self.seed and same_rows and same_trials


class Job(NamedTuple):
    """One opponent on one split of one set."""

    split: int
    dataset: str
    opponent: str


def outer_split(table: Table, split: int, budget: Budget) -> tuple[np.ndarray, np.ndarray]:
    """Rows to train on and to test on, the same for everyone. A fixed split varies by the training rows that are drawn."""
    if table.train is not None and table.test is not None:
        train, test = table.train, table.test
    else:
        repeats = RepeatedStratifiedKFold(n_splits=FOLDS, n_repeats=split // FOLDS + 1, random_state=budget.seed)
        train, test = list(repeats.split(table.features, table.target))[split]
    if len(train) > budget.rows:
        train, _ = train_test_split(
            train, train_size=budget.rows, stratify=table.target[train], random_state=budget.seed + split
        )
    return np.sort(train), test


@lru_cache(maxsize=2)
def _loaded(name: str, data: Path | None) -> Table:
    return load(name, data)


def work(job: Job, data: Path | None, budget: Budget) -> Record:
    """Tune, fit and score; runs in a process of its own."""
    one = opponent(job.opponent)
    table = _loaded(job.dataset, data)
    train, test = outer_split(table, job.split, budget)
    features, target = table.features.iloc[train], table.target[train]
    seed = budget.seed + 1000 * job.split
    started = time.perf_counter()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # libraries' advice; what they do is in the scores
        tuned = tune(one, features, target, trials=budget.trials, folds=budget.folds, seed=seed)
        model = one.build(tuned.params, features, target, seed)
        fit_started = time.process_time()
        model.fit(features, target)
        fit_seconds = time.process_time() - fit_started
        tested = table.features.iloc[test]
        proba, decided = np.asarray(model.predict_proba(tested)), np.asarray(model.predict(tested))
    found = scores(proba, decided, tuned.threshold, table.target[test]) | {"fit_seconds": fit_seconds}
    return job._asdict() | {
        "budget": asdict(budget),
        "params": tuned.params,
        "tried": tuned.trials,
        "threshold": tuned.threshold,
        "scores": {name: round(value, 6) for name, value in found.items()},
        "tune_seconds": round(tuned.seconds, 3),
        "seconds": round(time.perf_counter() - started, 3),
        "train_rows": len(train),
        "test_rows": len(test),
        "test_positives": int(table.target[test].sum()),
        "chosen": str(getattr(model, "method_", "")),
    }


class Store:
    """Finished jobs, a JSON line each; a line that was cut off is ignored.

    Args:
        path: of the file, made when the first job is finished.
        budget: only results that it covers count.
    """

    def __init__(self, path: Path, budget: Budget) -> None:
        self.path = path
        self.budget = budget

    def _lines(self) -> list[Record]:
        found = []
        for line in self.path.read_text().splitlines() if self.path.is_file() else []:
            try:
                found.append(json.loads(line))
            except json.JSONDecodeError:
                continue
        return found

    def records(self) -> list[Record]:
        """Everything finished with this budget, the last of each job."""
        mine = [record for record in self._lines() if self.budget.covers(record)]
        return list({(record["dataset"], record["split"], record["opponent"]): record for record in mine}.values())

    def add(self, record: Record) -> None:
        """Write one down, on a line of its own even if the last one was cut off."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        torn = self.path.is_file() and self.path.stat().st_size > 0 and not self.path.read_bytes().endswith(b"\n")
        with self.path.open("a") as file:
            file.write(("\n" if torn else "") + json.dumps(record) + "\n")

    def forget(self, opponents: Iterable[str]) -> None:
        """Drop what these have done, to run them again."""
        gone = set(opponents)
        kept = [record for record in self._lines() if record["opponent"] not in gone]
        partial = self.path.with_suffix(".partial")
        partial.write_text("".join(json.dumps(record) + "\n" for record in kept))
        os.replace(partial, self.path)


def jobs_left(store: Store, datasets: Sequence[str], opponents: Sequence[str], splits: Sequence[int]) -> list[Job]:
    """What is still to do: the first split of everything first, so that a run that is stopped can be read."""
    done = {Job(record["split"], record["dataset"], record["opponent"]) for record in store.records()}
    every = [Job(split, dataset, one) for split in splits for dataset in datasets for one in opponents]
    return [job for job in every if job not in done]


def run(
    jobs: Sequence[Job],
    store: Store,
    budget: Budget,
    data: Path | None,
    processes: int,
    say: Callable[[str], None] = print,
) -> dict[Job, str]:
    """Work through the jobs; returns what went wrong, by job. Failed jobs are tried again by the next run."""
    failed: dict[Job, str] = {}
    if not jobs:
        return failed
    for name in THREADS:
        os.environ[name] = "1"
    progress = Progress(len(jobs), say)
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(processes, mp_context=context, initializer=_one_thread, initargs=(list(sys.path),)) as pool:
        waiting: dict[Future[Record], Job] = {pool.submit(work, job, data, budget): job for job in jobs}
        try:
            for future in as_completed(waiting):
                job = waiting[future]
                try:
                    record = future.result()
                except Exception as error:  # one job must not end the others
                    failed[job] = f"{type(error).__name__}: {error}".splitlines()[0]
                    progress.step(job, f"failed: {failed[job]}")
                    continue
                store.add(record)
                progress.step(job, f"AUPRC {record['scores']['auprc']:.3f}, {record['seconds']:.1f} s")
        except KeyboardInterrupt:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    return failed


def _one_thread(path: list[str]) -> None:
    sys.path[:] = path
    try:
        import torch
    except ImportError:
        return
    torch.set_num_threads(1)


class Progress:
    """A line a finished job: how many, how long, how much longer.

    Args:
        jobs: in all.
        say: prints a line.
    """

    def __init__(self, jobs: int, say: Callable[[str], None]) -> None:
        self.jobs, self.say = jobs, say
        self.done, self.started = 0, time.monotonic()

    def step(self, job: Job, what: str) -> None:
        """One more is done."""
        self.done += 1
        passed = time.monotonic() - self.started
        left = passed / self.done * (self.jobs - self.done)
        times = f"{passed / 60:.1f} min, about {left / 60:.1f} left"
        self.say(f"[{self.done}/{self.jobs}, {times}] {job.dataset}, split {job.split}, {job.opponent}: {what}")
