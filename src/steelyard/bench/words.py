"""What a leaderboard says in plain sentences, and what its reader must be told."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from steelyard.metrics.paired import EXACT_PAIRS, SIGNIFICANT, smallest_p
from steelyard.metrics.scores import clipped

FIELD = {"last": "metrics", "best_valid": "selected_metrics"}
"""Where a record, and a row of the leaderboard, hold the numbers of the epoch that is judged."""

Board = Mapping[str, Any]
Row = Mapping[str, Any]


def verdict(board: Board, best: Row | None, has_reference: bool) -> str:
    """The result in a few sentences.

    Args:
        board: of `leaderboard`, without `verdict` and `notes`.
        best: its first row; None if no method has the metric.
        has_reference: whether the reference has finished runs.
    """
    metric = str(board["metric"]).replace("_", " ")
    if best is None:
        return f"No finished run has {_a(metric)} {metric}."
    numbers = best[FIELD[board["select"]]][board["metric"]]
    first = f"{best['method']} is first with {_a(metric)} {metric} of {numbers['mean']:.3f}"
    if numbers["low"] is None:
        first += f" from {_seeds(best['n_seeds'])}."
    else:
        level = f"{board['level'] * 100:g} % interval"
        low, high = clipped(board["metric"], numbers["low"], numbers["high"])
        first += f" ({level} {low:.3f} to {high:.3f}, {_seeds(best['n_seeds'])})."
    sentences = [first]
    if best["method"] == board["reference"]:
        sentences.append(f"No other method has a better mean than plain {board['reference']}.")
    elif has_reference:
        sentences.append(_against(board, best))
    if board["near_best"]:
        sentences.append(_level(board))
    return " ".join(sentences)


def notes(board: Board, best: Row | None, has_reference: bool) -> list[str]:
    """What the reader must know to take the numbers for what they are, a sentence each.

    Args:
        board: of `leaderboard`, without `notes`.
        best: its first row; None if no method has the metric.
        has_reference: whether the reference has finished runs.
    """
    found = []
    if not has_reference:
        found.append(f"{board['reference']} has no finished run, so there are no differences to it and no cost ratios")
    if max(row["n_seeds"] for row in board["rows"]) == 1:
        found.append("one seed shows neither an interval nor a test: differences may be chance; use 3 seeds or more")
    else:
        found.append(
            "intervals and tests over seeds say how much training varies on this one split of the data, not what other test "
            "rows would give: for that each run has bootstrap intervals in its result.json"
        )
    found += _on_tests(board)
    if best is not None and board["worst_recall_null"] is not None:
        common = best[FIELD[board["select"]]]["balanced_accuracy"]["mean"]
        found.append(
            "worst-class recall is a minimum and so biased down: were the true recall of every class "
            f"{common:.3f}, as the balanced accuracy of {best['method']}, it would average {board['worst_recall_null']:.3f} "
            "on this test split"
        )
    if board["groups_rule"]:
        found.append(f"many / medium / few: {board['groups_rule']}")
    return found


def _on_tests(board: Board) -> list[str]:
    """What the tests of the ranked metric can and cannot show."""
    tested = [row["versus_ce"][board["metric"]] for row in board["rows"] if (row["versus_ce"] or {}).get(board["metric"])]
    with_p = [entry for entry in tested if entry["p"] is not None]
    if not with_p:
        return []
    found, methods = [], len(with_p)
    fewest = min(entry["n"] for entry in with_p)
    if methods > 1:
        against = f"the {methods} methods compared with {board['reference']}"
        found.append(f"p_holm is corrected for {against}, each metric on its own")
    if smallest_p(fewest) * methods > SIGNIFICANT and fewest <= EXACT_PAIRS:
        needed = math.ceil(math.log2(2 * methods / SIGNIFICANT))
        corrected = f", {min(1.0, smallest_p(fewest) * methods):.3g} after correction" if methods > 1 else ""
        found.append(
            f"with {fewest} paired seeds a sign or rank test cannot reach p < .05 (the smallest is {smallest_p(fewest):.3g}"
            f"{corrected}), so p is from paired t tests, which take the differences for normal; {needed} allow an exact test"
        )
    return found


def _against(board: Board, best: Row) -> str:
    """The best method against the reference."""
    versus = (best["versus_ce"] or {}).get(board["metric"])
    reference = board["reference"]
    if versus is None:
        return f"It shares no seed with {reference}, so the two cannot be compared."
    difference = versus["difference"]
    cost = "" if best["cost_ratio"] is None else f", at {best['cost_ratio']:.2f} times its cost a step"
    gap = f"{abs(difference):.3f} {'above' if difference >= 0 else 'below'} {reference}"
    if versus["n"] == 1:
        return f"It is {gap}{cost}; one paired seed cannot say whether that is chance."
    if versus["p"] is None:
        return f"It is {gap}{cost}; the difference is the same for all {versus['n']} seeds: no spread, no test."
    low, high = clipped(board["metric"], versus["low"], versus["high"], difference=True)
    measured = (
        f"paired {board['level'] * 100:g} % interval {low:+.3f} to {high:+.3f}, "
        f"{versus['test']}, p = {versus['p_holm']:.2g} after Holm's correction"
    )
    if versus["p_holm"] < SIGNIFICANT:
        return f"It is {gap} ({measured}){cost}."
    return f"It is {gap}, which may be chance ({measured}){cost}."


def _level(board: Board) -> str:
    """Which methods may be as good as the best."""
    names = [row["method"] for row in board["rows"] if row["method"] in board["near_best"]]
    first = board["rows"][0]["method"]
    entries = [row["versus_best"] for row in board["rows"] if row["method"] in names]
    if all(entry is None or entry["n"] == 1 for entry in entries):
        return f"{_and([first, *names])} cannot be told apart: that takes at least two common seeds."
    return f"{_and([first, *names])} cannot be told apart: their paired differences to the best include 0."


def _a(noun: str) -> str:
    """The article that goes with a noun."""
    return "an" if noun[0] in "aeio" else "a"


def _seeds(n: int) -> str:
    return f"{n} seed{'s' if n != 1 else ''}"


def _and(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
