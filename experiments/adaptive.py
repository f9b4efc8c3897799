"""Do the adaptive methods beat plain cross-entropy, and the plain controls? Small real data with a long tail, five seeds.

Learned weights, density ratios, transport, sharpness, translation and stages, and beside them the controls that every
comparison should hold, all under one recipe::

    python experiments/adaptive.py                           # digits, then mnist: some 40 minutes on two cores
    python experiments/adaptive.py digits                    # one of them
    python experiments/adaptive.py cifar10 --folder cifar10/ # the Parquet files of CIFAR-10: some 80 minutes

Prints a table, and writes `experiments/results/adaptive_<data>.md` and `.json`. The runs are in `runs/adaptive-<data>`, with
their report. Interrupt at any moment and start it again: what is finished is not repeated, and a method that is new in
steelyard is added to what is there.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.console import Console

from steelyard.bench.compare import leaderboard
from steelyard.bench.plan import REFERENCE, Comparison, git_commit, versions
from steelyard.bench.records import Run, write_json
from steelyard.bench.runner import Machine, Result, compare, results_of
from steelyard.console import LiveDisplay
from steelyard.core.errors import SteelyardError
from steelyard.core.regime import Regime
from steelyard.facts import facts_of
from steelyard.methods import CONTROLS
from steelyard.metrics.paired import SIGNIFICANT
from steelyard.problems import ProblemSettings, fingerprint, load
from steelyard.report import write_report
from steelyard.report.board import estimate
from steelyard.report.vocabulary import DASH, listed, metric_of, p_text
from steelyard.settings import describe_method, resolve_method, resolve_regime, split_list

HERE = Path(__file__).parent
SEEDS = 5
METRIC = "balanced_accuracy"
SHOWN = ("many_recall", "medium_recall", "few_recall")
KEPT = (METRIC, *SHOWN, "worst_recall", "accuracy", "macro_f1", "ece")
"""Metrics in the JSON file; the rest are in the report."""

ADAPTIVE = (
    "rdr", "rdr-la", "cdb", "ot", "l2rw", "mw-net", "cmw-net", "curvenet", "meta-class-weights",
    "sam", "imb-sam", "cc-sam", "sam-a", "metabalance", "remix", "cutmix", "random-oversample", "m2m", "joint-ssl",
    "crt", "lws", "tau-norm", "ncm", "simplify",
)  # fmt: skip
"""Every adaptive method, as on the command line; one that this version of steelyard lacks is left out and named."""


@dataclass(frozen=True)
class Case:
    """Data and how long to train on them; everything else is the same for all."""

    name: str
    factor: float
    epochs: int
    regime: str = "digits"
    max_rows: int | None = None
    model: str = "auto"
    folder: str | None = None

    @property
    def data(self) -> str:
        """What `load` and `compare` take: a folder, where the data do not come with a package."""
        return self.folder or self.name

    def problem(self) -> ProblemSettings:
        """The long-tailed problem."""
        return ProblemSettings(factor=self.factor, max_rows=self.max_rows, model=self.model)

    def recipe(self, epochs: int | None) -> Regime:
        """The regime, with other epochs where asked."""
        chosen: Regime = resolve_regime(self.regime, epochs=self.epochs if epochs is None else epochs)
        return chosen


CASES = {
    case.name: case
    for case in (
        Case("digits", factor=50.0, epochs=40),
        Case("mnist", factor=50.0, epochs=16),
        Case("cifar10", factor=50.0, epochs=10, max_rows=5000, model="small-cnn"),
    )
}
PACKAGED = ("digits", "mnist")
"""Cases that need no folder."""


def usable(asked: Sequence[str]) -> tuple[tuple[str, ...], dict[str, str]]:
    """The methods that there are, in canonical spelling, and of the others why not."""
    names, missing = [], {}
    for text in asked:
        try:
            names.append(resolve_method(text).name)
            describe_method(names[-1])
        except SteelyardError as error:
            missing[text] = str(error)
    return tuple(dict.fromkeys(name for name in names if name not in missing)), missing


def plan(case: Case, methods: Sequence[str], seeds: int, epochs: int | None = None) -> Comparison:
    """The comparison of a case."""
    return Comparison(
        data=case.data,
        methods=tuple(methods),
        regime=case.recipe(epochs),
        regime_name=case.regime,
        seeds=tuple(range(seeds)),
        problem=case.problem().to_json(),
        fingerprint=fingerprint(case.data),
        metric=METRIC,
    )


def runs(seeds: int = SEEDS) -> Iterator[Run]:
    """Every run of the tables."""
    names, _ = usable((*CONTROLS, *ADAPTIVE))
    for name in PACKAGED:
        yield from plan(CASES[name], names, seeds).runs()


def carry_out(case: Case, made: Comparison, out: Path, jobs: int, command: str) -> tuple[Result, dict[str, Any]]:
    """Do the runs that are not finished; returns the result and the facts of data, model and recipe."""
    task = load(case.data, case.problem())
    facts = facts_of(task, made) | {
        "name": f"adaptive methods on {case.name}",
        "command": command,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    console = Console(highlight=False)
    console.print(f"[bold]{case.name}[/bold]: {len(made.runs())} runs into {out}", soft_wrap=True)
    with LiveDisplay(console, METRIC) as display:
        result = compare(made, out, machine=Machine(jobs=jobs), display=display, facts=facts)
    if result.leaderboard["rows"]:
        write_report(out)
    return result, facts


# ----------------------------------------------------------------------------------------------------------- what it shows


def against_best_control(out: Path, made: Comparison, board: dict[str, Any]) -> tuple[str | None, dict[str, Any]]:
    """The best control, and by method the paired difference of each other method that is no control to it.

    It is the best by the numbers of this very table, which favours it: an adaptive method that beats it beats all of them.
    """
    ranked = [row for row in board["rows"] if row["rank"] is not None]
    best = next((row["method"] for row in ranked if row["control"]), None)
    rivals = [row["method"] for row in ranked if not row["control"]]
    if best is None or not rivals:
        return best, {}
    records = results_of(out, [run.id for run in made.runs()]).values()
    kept = [record for record in records if record["method"] in (best, *rivals)]
    second = leaderboard(kept, metric=METRIC, seeds=made.seeds, reference=best)
    versus = {row["method"]: (row["versus_ce"] or {}).get(METRIC) for row in second["rows"]}
    return best, {name: entry for name, entry in versus.items() if entry is not None}


def findings(rows: Sequence[dict[str, Any]], key: str) -> dict[str, list[str]]:
    """Methods by what their paired difference shows: "better" or "worse" (Holm), "above" or "below" (own interval), "open"."""
    found: dict[str, list[str]] = {"better": [], "above": [], "open": [], "below": [], "worse": []}
    for row in rows:
        entry = row[key]
        if entry is None:
            continue
        if entry["p_holm"] is not None and entry["p_holm"] < SIGNIFICANT:
            kind = "better" if entry["difference"] > 0 else "worse"
        elif entry["low"] is None or entry["low"] <= 0 <= entry["high"]:
            kind = "open"
        else:
            kind = "above" if entry["low"] > 0 else "below"
        found[kind].append(row["method"])
    return found


def summary(made: Comparison, out: Path, result: Result, facts: dict[str, Any], missing: dict[str, str]) -> dict[str, Any]:
    """All that the table says, as JSON values."""
    board = result.leaderboard
    best, versus = against_best_control(out, made, board)
    rows = [
        {
            "method": row["method"],
            "control": row["control"],
            "rank": row["rank"],
            "seeds": row["seeds"],
            "metrics": {name: row["metrics"][name] for name in KEPT if name in row["metrics"]},
            "versus_ce": (row["versus_ce"] or {}).get(METRIC),
            "versus_best_control": versus.get(row["method"]),
        }
        for row in board["rows"]
    ]
    adaptive = [row for row in rows if not row["control"]]
    return {
        "experiment": facts["name"],
        "command": facts["command"],
        "data": {key: facts["data"][key] for key in ("name", "rows", "counts", "imbalance_factor", "class_names")},
        "model": facts["model"],
        "regime": facts["regime"],
        "metric": METRIC,
        "seeds": list(made.seeds),
        "groups": facts["groups"],
        "best_control": best,
        "versus_ce": findings(adaptive, "versus_ce"),
        "versus_best_control": findings(adaptive, "versus_best_control"),
        "rows": rows,
        "notes": board["notes"],
        "missing": missing,
        "versions": versions(),
        "git_commit": git_commit(),
    }


def markdown(found: dict[str, Any]) -> str:
    """The page: what it shows, then the table."""
    data, regime, metric = found["data"], found["regime"], metric_of(METRIC)
    counts, seeds = data["counts"]["train"], len(found["seeds"])
    lines = [
        f"# {found['experiment'][0].upper()}{found['experiment'][1:]}",
        "",
        f"{data['name']}: {data['rows']['train']} training rows in {len(counts)} classes of {max(counts)} to {min(counts)} "
        f"(imbalance factor {data['imbalance_factor']:.3g}), {data['rows']['test']} balanced test rows. "
        f"{found['model']['name']} ({found['model']['parameters']:,} parameters), regime `{regime['name']}` with "
        f"{regime['epochs']} epochs, the same for all; {seeds} seed{'s' * (seeds > 1)}, last epoch. "
        f"Written by `{found['command']}`.",
        "",
        "## What it shows",
        "",
        *_sentences(found["versus_ce"], f"plain cross-entropy (`{REFERENCE}`)", seeds),
    ]
    if found["best_control"] is not None:
        lines += _sentences(found["versus_best_control"], f"the best control (`{found['best_control']}`)", seeds)
    lines += ["", "## Numbers", "", *_table(found), ""]
    lines += [
        f"{metric.label} and recall of the groups in percent: mean over seeds, ± half of the 95 % t interval. Differences are "
        "paired by seed (same initial weights and order of data), with their 95 % interval; p is that of the paired test, "
        "corrected by Holm over all methods of the column. The best control is the best by these very numbers, which favours "
        f"it. Many / Medium / Few: {found['groups']['rule']}.",
    ]
    notes = [*found["notes"], *(f"left out: {reason}" for reason in found["missing"].values())]
    return "\n".join([*lines, "", *(f"- {note}" for note in notes)]).rstrip() + "\n"


def _sentences(found: dict[str, list[str]], what: str, seeds: int) -> list[str]:
    """One sentence for each kind of outcome that occurs."""
    words = {
        "better": f"Better than {what}, clear of chance after Holm's correction",
        "above": f"Above {what} by their own interval of the paired difference, but not after the correction",
        "open": f"Cannot be told from {what}" if seeds > 1 else f"One seed is no test against {what}",
        "below": f"Below {what} by their own interval of the paired difference, but not after the correction",
        "worse": f"Worse than {what}, clear of chance after Holm's correction",
    }
    total = sum(len(names) for names in found.values())
    lines = [f"- {words[kind]}: {listed([f'`{n}`' for n in names], 99)}." for kind, names in found.items() if names]
    return lines if found["better"] or not total else [f"- No method is clearly better than {what}.", *lines]


def _table(found: dict[str, Any]) -> list[str]:
    metric, best = metric_of(METRIC), found["best_control"]
    heads = ["Method", metric.label, *(metric_of(name).label for name in SHOWN)]
    heads += [f"to `{REFERENCE}`", f"to `{best}`" if best else "to a control"]
    lines = [f"| {' | '.join(heads)} |", f"|{'---|' * len(heads)}"]
    for row in found["rows"]:
        name = f"`{row['method']}`" + (" (control)" if row["control"] else "")
        cells = [_cell(row, each) for each in (METRIC, *SHOWN)]
        cells += [_difference(row["versus_ce"]), _difference(row["versus_best_control"])]
        lines.append(f"| {' | '.join([name, *cells])} |")
    return lines


def _cell(row: dict[str, Any], name: str) -> str:
    metric, value = metric_of(name), estimate(row, name)
    return f"{metric.text(value.mean)} {value.span(metric)}".strip()


def _difference(entry: dict[str, Any] | None) -> str:
    if entry is None:
        return DASH
    metric = metric_of(METRIC)
    text = metric.signed(entry["difference"])
    if entry["low"] is not None:
        text += f" ({metric.signed(entry['low'])} to {metric.signed(entry['high'])})"
    return f"{text}, {p_text(entry['p_holm'])}" if entry["p_holm"] is not None else text


# ------------------------------------------------------------------------------------------------------------------ script


def arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    """What was asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "data",
        nargs="*",
        choices=[[], *CASES],
        metavar="DATA",
        help=f"of {listed(list(CASES))}; by default {listed(list(PACKAGED))}",
    )
    parser.add_argument("--folder", help="of cifar10: with train.parquet and test.parquet")
    parser.add_argument("--methods", help="only these, separated by commas, instead of the controls and every adaptive method")
    parser.add_argument("--seeds", type=int, default=SEEDS)
    parser.add_argument("--epochs", type=int, help="instead of the case's own")
    parser.add_argument("--jobs", type=int, default=0, help="runs at a time; 0 for one a core")
    parser.add_argument("--out", type=Path, default=Path("runs"), help="folder of the comparisons")
    parser.add_argument("--results", type=Path, default=HERE / "results", help="folder of the tables")
    given = parser.parse_args(argv)
    if ("cifar10" in given.data) != (given.folder is not None):
        parser.error("cifar10 and --folder go together: the folder of its train.parquet and test.parquet")
    return given


def command_of(case: Case, given: argparse.Namespace) -> str:
    """What gives the same numbers again."""
    changed = {
        "folder": f"{Path(case.folder).name}/" if case.folder else None,
        "methods": given.methods,
        "seeds": None if given.seeds == SEEDS else given.seeds,
        "epochs": given.epochs,
    }
    options = [f"--{name} {value}" for name, value in changed.items() if value is not None]
    return " ".join([f"python experiments/adaptive.py {case.name}", *options])


def main(argv: Sequence[str] | None = None) -> int:
    """Run the cases and write their tables; returns the exit code."""
    given = arguments(argv)
    names, missing = usable(split_list(given.methods) if given.methods else (*CONTROLS, *ADAPTIVE))
    failed = 0
    for case in [CASES[name] for name in given.data or PACKAGED]:
        case = replace(case, folder=given.folder) if case.name not in PACKAGED else case
        made = plan(case, names, given.seeds, given.epochs)
        out = given.out / f"adaptive-{case.name}"
        try:
            result, facts = carry_out(case, made, out, given.jobs, command_of(case, given))
        except KeyboardInterrupt:
            print("interrupted; what is finished is kept: start it again to go on", file=sys.stderr)
            return 130
        failed += len(result.failures)
        for run, reason in result.failures:
            print(f"{run.method}, seed {run.seed}, did not finish: {reason}", file=sys.stderr)
        if not result.leaderboard["rows"]:
            continue
        found = summary(made, out, result, facts, missing)
        given.results.mkdir(parents=True, exist_ok=True)
        write_json(given.results / f"adaptive_{case.name}.json", found)
        text = markdown(json.loads((given.results / f"adaptive_{case.name}.json").read_text()))
        (given.results / f"adaptive_{case.name}.md").write_text(text, encoding="utf-8")
        print(text)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
