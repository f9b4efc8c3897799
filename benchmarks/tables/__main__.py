"""The command: says what it skips and why, runs what is left, writes the page."""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.tables.diagram import diagram
from benchmarks.tables.harness import Budget, Store, jobs_left, run
from benchmarks.tables.opponents import OPPONENTS, opponent
from benchmarks.tables.page import DRAWN, collect, markdown, to_json
from benchmarks.tables.scoring import NAMES
from benchmarks.tables.sets import SETS, Missing, load

LIBRARIES = ("steelyard", "scikit-learn", "imbalanced-learn", "lightgbm", "xgboost", "tabm", "torch", "numpy")


def parser() -> argparse.ArgumentParser:
    """The options."""
    options = argparse.ArgumentParser("python -m benchmarks.tables", description=__doc__)
    budget = Budget()
    options.add_argument("--data", type=Path, help="folder with fraud_handbook, uci_credit_default and metagcn_tables")
    options.add_argument("--out", type=Path, default=Path("benchmarks/results/tables"), help="where results are kept")
    options.add_argument("--sets", type=_names(SETS), default=list(SETS), help="names, separated by commas")
    everyone = [one.name for one in OPPONENTS]
    options.add_argument("--opponents", type=_names(everyone), default=everyone, help="names, separated by commas")
    options.add_argument("--splits", type=_at_least(1), default=2, help="outer splits; three are one cross-validation")
    options.add_argument("--first", type=_at_least(0), default=0, help="number of the first of them")
    options.add_argument("--trials", type=_at_least(0), default=budget.trials, help="random settings beside the defaults")
    options.add_argument("--folds", type=_at_least(2), default=budget.folds, help="inner folds")
    options.add_argument("--rows", type=_at_least(100), default=budget.rows, help="training rows at most")
    options.add_argument("--seed", type=int, default=budget.seed)
    options.add_argument("--jobs", type=_at_least(1), default=2, help="processes, of one thread each")
    options.add_argument("--again", type=_names(everyone), default=[], help="opponents whose results are thrown away first")
    options.add_argument("--page", action="store_true", help="run nothing, write the page from what is stored")
    return options


def _names(known: Any) -> Any:
    def names(text: str) -> list[str]:
        found = [name.strip() for name in text.split(",") if name.strip()]
        strange = [name for name in found if name not in known]
        if strange or not found:
            raise argparse.ArgumentTypeError(f"{', '.join(strange) or 'nothing'} is not among {', '.join(known)}")
        return found

    return names


def _at_least(least: int) -> Any:
    def number(text: str) -> int:
        if int(text) < least:
            raise argparse.ArgumentTypeError(f"at least {least}, not {text}")
        return int(text)

    return number


def versions() -> dict[str, str]:
    """Of the libraries that are installed."""
    found = {}
    for name in LIBRARIES:
        try:
            found[name] = importlib.metadata.version(name).partition("+")[0]
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def main(arguments: Sequence[str] | None = None) -> int:
    """Run and write; 1 if a job failed, 2 if there is nothing to run."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    options = parser().parse_args(given)
    budget = Budget(options.trials, options.folds, options.rows, options.seed)
    facts, skipped = {}, {}
    for name in options.sets:
        try:
            facts[name] = load(name, options.data).facts()
        except Missing as reason:
            skipped[name] = str(reason)
    taking_part = []
    for name in options.opponents:
        lacking = opponent(name).lacking()
        if lacking:
            skipped[name] = f"needs {' and '.join(lacking)}, which is not installed"
        else:
            taking_part.append(name)
    for name, why in skipped.items():
        print(f"left out: {name}: {why}", flush=True)
    if not facts or not taking_part:
        print("nothing is left to run", file=sys.stderr)
        return 2
    splits = range(options.first, options.first + options.splits)
    store = Store(options.out / "runs.jsonl", budget)
    if options.again and not options.page:
        store.forget(options.again)
    failed = {}
    if not options.page:
        jobs = jobs_left(store, list(facts), taking_part, splits)
        finished = len(facts) * len(taking_part) * options.splits - len(jobs)
        print(f"{finished} finished before, {len(jobs)} to do in {options.jobs} processes", flush=True)
        failed = run(jobs, store, budget, options.data, options.jobs, say=lambda line: print(line, flush=True))
    for job in jobs_left(store, list(facts), taking_part, splits):
        why = failed.get(job, "not run yet")
        skipped[f"{job.dataset}, split {job.split}, {job.opponent}"] = f"{why}; the set is not ranked"
    results = collect(store.records(), taking_part, splits, budget, facts, skipped, versions())
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / "results.json").write_text(json.dumps(to_json(results), indent=1) + "\n")
    for metric in DRAWN:
        if metric in results.rankings:
            title = f"Mean ranks by {NAMES[metric]}, {len(results.boards[metric].datasets)} data sets"
            (options.out / f"{metric}.svg").write_text(diagram(results.rankings[metric], title))
    page = options.out / "README.md"
    page.write_text(markdown(results, command_of(given)))
    print(f"written: {page}")
    for metric in ("auprc", "balanced_accuracy", "brier"):
        if metric in results.rankings:
            shown = ", ".join(f"{name} {value:.2f}" for name, value in results.rankings[metric].ranks.items())
            print(f"mean ranks by {NAMES[metric]}: {shown}")
    return 1 if failed else 0


def command_of(given: Sequence[str]) -> str:
    """The command without the folders of one machine."""
    shown, hide = [], False
    for word in given:
        name, equals, _ = word.partition("=")
        shown.append("FOLDER" if hide else f"{name}=FOLDER" if equals and name in ("--data", "--out") else word)
        hide = word in ("--data", "--out")
    return " ".join(["python -m benchmarks.tables", *shown])


if __name__ == "__main__":
    sys.exit(main())
