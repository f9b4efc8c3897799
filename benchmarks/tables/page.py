"""The result page: what was run, who is best by what, and where trees win."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from benchmarks.tables.harness import Budget, Record
from benchmarks.tables.opponents import opponent
from benchmarks.tables.scoring import LOWER, NAMES
from benchmarks.tables.statistics import ROPE, Duel, Ranking, Scoreboard, duel, rank, scoreboard

OURS = "steelyard-auto"
SEEN = 0
"""The split by which our recipe was settled."""
DRAWN = ("auprc", "balanced_accuracy", "balanced_accuracy_moved", "brier")
"""Scores with a diagram."""
DUELS = ("auprc", "balanced_accuracy", "brier")


@dataclass(frozen=True)
class Results:
    """All that the page is made from.

    Attributes:
        opponents: names, in the order of the tables.
        splits: numbers of the outer splits of each set.
        budget: what everyone got.
        boards: by score.
        rankings: by score, where there is enough to rank.
        facts: of each set.
        skipped: sets and opponents left out, and why.
        seconds: processor seconds of a whole job, tuning included, mean over jobs, by opponent.
        chosen: how often "auto" took each method.
        versions: of the libraries.
    """

    opponents: tuple[str, ...]
    splits: Sequence[int]
    budget: Budget
    boards: Mapping[str, Scoreboard]
    rankings: Mapping[str, Ranking]
    facts: Mapping[str, dict[str, Any]]
    skipped: Mapping[str, str]
    seconds: Mapping[str, float]
    chosen: Mapping[str, int]
    versions: Mapping[str, str] = field(default_factory=dict)

    @property
    def reference(self) -> str:
        """Whom the others are compared with: ours if it took part, else the best by AUPRC."""
        ranked = self.rankings.get("auprc")
        return OURS if OURS in self.opponents or ranked is None else next(iter(ranked.ranks))

    def duels(self, metric: str) -> dict[str, Duel]:
        """The reference against each of the others."""
        others = [name for name in self.opponents if name != self.reference]
        return {name: duel(self.boards[metric], self.reference, name) for name in others}


def collect(
    records: Sequence[Record],
    opponents: Sequence[str],
    splits: Sequence[int],
    budget: Budget,
    facts: Mapping[str, dict[str, Any]],
    skipped: Mapping[str, str],
    versions: Mapping[str, str],
) -> Results:
    """Average, rank and test what is stored."""
    here = [record for record in records if record["dataset"] in facts]
    mine = [record for record in here if record["opponent"] in opponents and record["split"] in splits]
    boards = {metric: scoreboard(mine, metric, opponents, splits) for metric in NAMES}
    rankings = {
        metric: rank(board) for metric, board in boards.items() if len(board.datasets) >= 2 and len(board.opponents) >= 3
    }
    spent = {
        name: [r["tune_seconds"] + r["scores"]["fit_seconds"] for r in mine if r["opponent"] == name] for name in opponents
    }
    taken = [r["chosen"] for r in mine if r["opponent"] == OURS and r["chosen"]]
    return Results(
        tuple(opponents),
        splits,
        budget,
        boards,
        rankings,
        facts,
        skipped,
        {name: float(np.mean(values)) for name, values in spent.items() if values},
        {name: taken.count(name) for name in sorted(set(taken))},
        versions,
    )


def to_json(results: Results) -> dict[str, Any]:
    """Everything as JSON values."""
    rankings = {
        metric: asdict(found) | {"pairs": {f"{a} | {b}": p for (a, b), p in found.pairs.items()}}
        for metric, found in results.rankings.items()
    }
    duels = {m: {name: asdict(found) for name, found in results.duels(m).items()} for m in DUELS if m in results.rankings}
    boards = {
        metric: {
            name: dict(zip(board.opponents, row, strict=True))
            for name, row in zip(board.datasets, board.values.tolist(), strict=True)
        }
        for metric, board in results.boards.items()
    }
    return {
        "budget": asdict(results.budget) | {"splits": list(results.splits)},
        "reference": results.reference,
        "sets": dict(results.facts),
        "skipped": dict(results.skipped),
        "rankings": rankings,
        "duels": duels,
        "scores": boards,
        "job_seconds": dict(results.seconds),
        "auto_chose": dict(results.chosen),
        "versions": dict(results.versions),
    }


def markdown(results: Results, command: str) -> str:
    """The page."""
    parts = ["# Tables: everyone on the same splits", _setting(results, command)]
    if results.rankings:
        parts += [
            _ranks(results),
            _targets(results),
            _where_trees_win(results),
            *_diagrams(results),
            *(_duels(results, metric) for metric in DUELS),
        ]
    else:
        parts.append("There are not yet two sets that everyone has finished: nothing can be ranked.")
    parts += [_per_set(results, "auprc"), _per_set(results, "balanced_accuracy_moved"), _sets(results), _skipped(results)]
    return "\n\n".join(part for part in parts if part) + "\n"


def _setting(results: Results, command: str) -> str:
    budget, sets = results.budget, len(results.boards["auprc"].datasets)
    versions = ", ".join(f"{name} {version}" for name, version in results.versions.items())
    chose = ", ".join(f"{name} {count}" for name, count in results.chosen.items())
    lines = [
        f"Written by `{command}`. {sets} data sets, {len(results.splits)} outer splits each, {len(results.opponents)} "
        "classifiers.",
        "",
        "- Outer splits: stratified, a third of the rows to test on; the same for everyone. One set is split by time; its "
        f"splits differ by the training rows that are drawn. At most {budget.rows:,} training rows.",
        f"- Tuning: the defaults and {budget.trials} random settings, judged by AUPRC on inner splits ({budget.folds} folds, "
        "or a quarter held out from 3,000 training rows on). SteelyardClassifier gets no random settings: it is run as it "
        "comes and keeps rows of its own for calibration, thresholds and the choice of a method.",
        "- Balanced accuracy and G-mean stand twice: by `predict`, and by a threshold moved for balanced accuracy on training "
        "rows that were not learnt from. SteelyardClassifier's `predict` does that itself, so both columns are the same.",
        "- Brier is of `predict_proba` as it is, summed over both classes (0 to 2). Fit seconds are processor seconds of one "
        "core, tuning not included.",
    ]
    if results.reference == OURS and SEEN in results.splits:
        lines.append(
            "- SteelyardClassifier's usual recipe and its list of methods were settled with the first split of most of these "
            "sets in view. That flatters it: other splits (`--first 1`) and other sets are a fairer test."
        )
    elif results.reference == OURS:
        lines.append(
            "- SteelyardClassifier's usual recipe and its list of methods were settled with another split of most of these "
            "sets in view: other sets are a fairer test still."
        )
    if chose:
        lines.append(f'- What `method="auto"` took, by splits: {chose}.')
    if versions:
        lines.append(f"- Versions: {versions}.")
    return "\n".join(lines)


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = ["| " + " | ".join(head) + " |", "|---|" + "---:|" * (len(head) - 1)]
    return "\n".join([*lines, *("| " + " | ".join(row) + " |" for row in rows)])


def _ranks(results: Results) -> str:
    order = results.rankings["auprc"].ranks
    head = ["", *NAMES.values(), "seconds a job"]
    rows = [
        [f"`{name}`", *(_best(results.rankings[metric].ranks, name) for metric in NAMES), f"{results.seconds[name]:.1f}"]
        for name in order
    ]
    p = results.rankings["auprc"].p
    cd = results.rankings["auprc"].critical_difference
    means = [
        [f"`{name}`", *(f"{results.boards[m].values[:, results.boards[m].opponents.index(name)].mean():.3f}" for m in NAMES)]
        for name in order
    ]
    return (
        "## Mean ranks\n\n1 is best; the best of a column is bold. Friedman's test of all being equal by AUPRC: "
        f"p = {p:.1e}. Nemenyi's critical difference: {cd:.2f}.\n\n"
        + _table(head, rows)
        + "\n\n## Mean scores\n\n"
        + _table(["", *NAMES.values()], means)
    )


def _best(ranks: Mapping[str, float], name: str) -> str:
    return f"**{ranks[name]:.2f}**" if ranks[name] == min(ranks.values()) else f"{ranks[name]:.2f}"


def _diagrams(results: Results) -> list[str]:
    head = "## Critical differences\n\nBars join those of whom no two differ (Wilcoxon's signed-rank test, Holm, .05)."
    return [head, *(f"![Mean ranks by {NAMES[metric]}]({metric}.svg)" for metric in DRAWN)]


def _duels(results: Results, metric: str) -> str:
    rows = [
        [f"`{name}`", f"{d.wins} / {d.ties} / {d.losses}", f"{d.better:.2f} / {d.same:.2f} / {d.worse:.2f}", f"{d.p:.3f}"]
        for name, d in results.duels(metric).items()
    ]
    head = ["against", "sets won / tied / lost", "probability better / same / worse", "Wilcoxon p"]
    return (
        f"## `{results.reference}` against each, {NAMES[metric]}\n\nTied: within {ROPE}. Probabilities: Bayesian signed-rank "
        f"test with that region of equivalence. p is not adjusted.\n\n" + _table(head, rows)
    )


def place(results: Results, metric: str) -> tuple[int, dict[str, float]]:
    """Place of the reference, and mean ranks, among those who are not of its own family."""
    family = opponent(results.reference).family
    field = [name for name in results.opponents if name == results.reference or opponent(name).family != family]
    board = results.boards[metric].only(field)
    if len(field) < 3:
        return 0, {}
    ranks = rank(board).ranks
    return 1 + sum(value < ranks[results.reference] for value in ranks.values()), ranks


def _targets(results: Results) -> str:
    if results.reference != OURS or not place(results, "auprc")[0]:
        return ""
    lines = ["## Targets", "", f"Ranks here leave out the other variants of SteelyardClassifier beside `{OURS}`.", ""]
    for metric in ("auprc", "balanced_accuracy", "balanced_accuracy_moved"):
        number, ranks = place(results, metric)
        best = ", ".join(f"`{name}` {value:.2f}" for name, value in list(ranks.items())[:3])
        said = "reached" if number <= 2 else "missed"
        lines.append(
            f"- Top two by {NAMES[metric]}: {said}, number {number} of {len(ranks)} with {ranks[OURS]:.2f} (best: {best})."
        )
    resampling = [name for name in results.opponents if opponent(name).resamples]
    if resampling:
        board = results.boards["brier"]
        better = {name: float((board.column(OURS) > board.column(name)).mean()) for name in resampling}
        means = {name: float(-board.column(name).mean()) for name in (OURS, *resampling)}
        said = "reached" if means[OURS] < min(means[name] for name in resampling) else "missed"
        shown = ", ".join(f"`{name}` {means[name]:.3f} (worse on {share:.0%} of the sets)" for name, share in better.items())
        lines.append(f"- Mean Brier better than of everyone who re-samples: {said}, {means[OURS]:.3f} against {shown}.")
    return "\n".join(lines)


def trees_of(results: Results) -> list[str]:
    """Names of the tree models that took part."""
    return [name for name in results.opponents if opponent(name).family == "trees"]


def lost_to_trees(results: Results, metric: str) -> dict[str, tuple[str, float]]:
    """Sets on which the tree model that ranks best is better than the reference by more than the rope: who, and by how much."""
    trees = trees_of(results)
    board = results.boards[metric]
    if not trees or results.reference in trees:
        return {}
    best = min(trees, key=lambda name: results.rankings[metric].ranks[name])
    gap = board.column(best) - board.column(results.reference)
    return {board.datasets[i]: (best, float(gap[i])) for i in np.argsort(-gap) if gap[i] > ROPE}


def _where_trees_win(results: Results) -> str:
    trees = trees_of(results)
    if not trees or results.reference in trees:
        return ""
    lines = ["## Where trees win", ""]
    for metric in DUELS:
        ranks = results.rankings[metric].ranks
        best = min(trees, key=lambda name: ranks[name])
        lost = lost_to_trees(results, metric)
        won = lost_by(results, metric, best)
        sets = len(results.boards[metric].datasets)
        named = ", ".join(f"{name} ({gap:+.3f})" for name, (_, gap) in lost.items()) or "none"
        lines.append(
            f"- {NAMES[metric]}: the best trees by mean rank, `{best}`, are better by more than {ROPE} on {len(lost)} of "
            f"{sets} sets and worse on {won}. Better on: {named}."
        )
    lost = lost_to_trees(results, "auprc")
    if lost:
        lines.append("- " + _traits(results, set(lost)))
    return "\n".join(lines)


def lost_by(results: Results, metric: str, tree: str) -> int:
    """Sets on which the reference is better than a tree model by more than the rope."""
    board = results.boards[metric]
    return int((board.column(results.reference) - board.column(tree) > ROPE).sum())


def _traits(results: Results, lost: set[str]) -> str:
    def medians(names: set[str]) -> str:
        facts = [results.facts[name] for name in names]
        rows, ratio, features = (int(np.median([fact[key] for fact in facts])) for key in ("rows", "imbalance", "features"))
        return f"{rows:,} rows, {features} features, imbalance ratio {ratio}"

    rest = set(results.boards["auprc"].datasets) - lost
    words = f"Medians of the sets where trees win by AUPRC: {medians(lost)}"
    return words + (f"; of the others: {medians(rest)}." if rest else ".")


def _per_set(results: Results, metric: str) -> str:
    board = results.boards[metric]
    if not board.datasets:
        return ""
    rows = []
    for name, row in zip(board.datasets, board.values, strict=True):
        top = row.min() if metric in LOWER else row.max()
        rows.append([name, *(f"**{value:.3f}**" if value == top else f"{value:.3f}" for value in row)])
    return f"## {NAMES[metric]} by set\n\n" + _table(["", *(f"`{name}`" for name in board.opponents)], rows)


def _sets(results: Results) -> str:
    keys = ("rows", "features", "categories", "positives", "imbalance", "missing", "split", "source")
    rows = []
    for name, facts in results.facts.items():
        shown = {**facts, "rows": f"{facts['rows']:,}", "missing": "yes" if facts["missing"] else "no"}
        rows.append([name, *(str(shown[key]) for key in keys)])
    return "## Data sets\n\n" + _table(["", *keys], rows)


def _skipped(results: Results) -> str:
    if not results.skipped:
        return ""
    return "## Left out\n\n" + "\n".join(f"- {name}: {why}" for name, why in results.skipped.items())
