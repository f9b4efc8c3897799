"""Read the folder of a comparison, complete or not."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from steelyard.core.errors import DataError
from steelyard.report.vocabulary import number

Json = dict[str, Any]


@dataclass(frozen=True)
class Run:
    """One finished run: its result, the lines of its log, and its pictures by name."""

    method: str
    seed: int
    result: Json
    log: list[Json]
    figures: Json = field(default_factory=dict)


@dataclass(frozen=True)
class Comparison:
    """What a comparison's folder holds.

    Attributes:
        about: comparison.json.
        leaderboard: leaderboard.json; empty where there is none yet.
        runs: the finished runs of this comparison's methods and seeds, one a pair, in that order.
        missing: (method, seed) pairs that have no finished run.
        notes: what could not be read, in words.
    """

    about: Json
    leaderboard: Json
    runs: list[Run]
    missing: list[tuple[str, int]]
    notes: list[str]

    @property
    def methods(self) -> list[str]:
        """Names of the methods, in the order of the command."""
        return [str(method["name"]) for method in self.about["methods"]]

    @property
    def counts(self) -> list[int]:
        """Training rows per class `[C]`; empty where the store does not say."""
        counts = mapping(self.about["data"].get("counts")).get("train")
        return [int(number(n) or 0) for n in counts] if isinstance(counts, list) else []

    @property
    def class_names(self) -> list[str]:
        """Names of the classes, made up from their indices where there are none."""
        names = self.about["data"].get("class_names")
        given = [str(name) for name in names] if isinstance(names, list) else []
        return given + [str(index) for index in range(len(given), len(self.counts))]

    def of(self, method: str) -> list[Run]:
        """The finished runs of one method, a seed each."""
        return [run for run in self.runs if run.method == method]


def mapping(value: Any) -> Json:
    """The value if it is a JSON object, else an empty one."""
    return value if isinstance(value, dict) else {}


def read(out: Path) -> Comparison:
    """Read OUT/comparison.json, OUT/leaderboard.json and the results, logs and pictures of the runs.

    Runs that are not finished, or whose files cannot be read, are named in `missing` and `notes`. Runs of another comparison
    in the same folder are left out: comparison.json names its own; of several of the same method and seed the last finished
    one counts.

    Args:
        out: the folder that `steelyard compare --out` wrote.

    Raises:
        DataError: there is no readable comparison.json in it.
    """
    about = _about(out)
    leaderboard, notes = _leaderboard(out / "leaderboard.json", about["methods"])
    methods, seeds = [str(method["name"]) for method in about["methods"]], about["seeds"]
    found: dict[tuple[str, int], Json] = {}
    folders: dict[tuple[str, int], Path] = {}
    for path in _results(out / "runs", about.get("runs")):
        try:
            result = _object(path)
        except DataError as error:
            notes.append(f"{error}; the run is left out")
            continue
        key = (str(result.get("method")), result.get("seed"))
        if key[0] not in methods or key[1] not in seeds:
            continue
        if key not in found or str(result.get("finished_at")) > str(found[key].get("finished_at")):
            found[key], folders[key] = result, path.parent  # type: ignore[index]
    planned = [(method, seed) for method in methods for seed in seeds]
    runs = [
        Run(*key, found[key], _log(folders[key] / "log.jsonl"), _figures(folders[key] / "figures.json", notes))
        for key in planned
        if key in found
    ]
    missing = [key for key in planned if key not in found]
    if len(seeds) == 1:
        _over_rows(leaderboard, runs)
    return Comparison(about, leaderboard, runs, missing, notes)


def _results(folder: Path, ids: Any) -> list[Path]:
    """Results of the runs of a comparison, or of all runs where it does not name its own."""
    named = {str(run_id) for run_id in ids} if isinstance(ids, list) else None
    return [path for path in sorted(folder.glob("*/result.json")) if named is None or path.parent.name in named]


def _about(out: Path) -> Json:
    path = out / "comparison.json"
    if not path.is_file():
        raise DataError(
            f"there is no comparison in {out}: comparison.json is missing; run `steelyard compare ... --out {out}` first"
        )
    about = _object(path)
    methods = about.get("methods")
    about["methods"] = [m for m in methods if isinstance(m, dict) and "name" in m] if isinstance(methods, list) else []
    about["seeds"] = [seed for seed in about.get("seeds") or [] if isinstance(seed, int)]
    for name in ("data", "model", "regime", "groups", "versions"):
        about[name] = mapping(about.get(name))
    return about


def _leaderboard(path: Path, methods: list[Json]) -> tuple[Json, list[str]]:
    if not path.is_file():
        return {}, ["There is no leaderboard.json yet, so the table and its intervals are missing."]
    try:
        board = _object(path)
    except DataError as error:
        return {}, [f"{error}; the table and its intervals are missing"]
    described = {str(method["name"]): method for method in methods}
    rows = board.get("rows")
    for row in rows if isinstance(rows, list) else []:
        about = described.get(str(mapping(row).get("method")))
        if about is not None:
            row["summary"] = row.get("summary") or about.get("summary")
            row["control"] = bool(row.get("control") or about.get("control"))
    return board, []


def _over_rows(board: Json, runs: list[Run]) -> None:
    """With one seed there is no interval over seeds; that over the test rows, which the run has, takes its place."""
    of_method = {run.method: mapping(run.result.get("intervals")) for run in runs}
    rows = board.get("rows")
    for row in rows if isinstance(rows, list) else []:
        for name, limits in of_method.get(str(mapping(row).get("method")), {}).items():
            entry = mapping(mapping(mapping(row).get("metrics")).get(name))
            if entry and entry.get("low") is None and isinstance(limits, list) and len(limits) == 2:
                entry["low"], entry["high"] = limits
                board["intervals_over"] = "rows"


def _object(path: Path) -> Json:
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(f"{path} cannot be read ({error})") from error
    if not isinstance(value, Mapping):
        raise DataError(f"{path} should hold a JSON object; found {type(value).__name__}")
    return dict(value)


def _figures(path: Path, notes: list[str]) -> Json:
    """The pictures of a run; none in folders from before there were any."""
    if not path.is_file():
        return {}
    try:
        return _object(path)
    except DataError as error:
        notes.append(f"{error}; its pictures are left out")
        return {}


def _log(path: Path) -> list[Json]:
    """Lines of an epoch log; after an interruption an epoch may be there twice, then the later line counts."""
    if not path.is_file():
        return []
    lines: dict[tuple[Any, Any], Json] = {}
    for text in path.read_text(encoding="utf-8", errors="replace").splitlines():
        try:
            line = json.loads(text)
        except ValueError:
            continue  # the last line of a killed process may be cut short
        if isinstance(line, dict):
            lines[(str(line.get("stage")), line.get("epoch"))] = line
    return list(lines.values())
