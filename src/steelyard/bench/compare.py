"""From the records of finished runs to a leaderboard that claims no more than the seeds allow.

Pure: dictionaries in, a dictionary of JSON values out (None where a number is undefined).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

from steelyard.bench.words import FIELD, notes, verdict
from steelyard.core.errors import ArgumentError, UnknownName
from steelyard.metrics.paired import PairedDifference, holm, paired_test, t_interval
from steelyard.metrics.proportion import worst_recall_null
from steelyard.metrics.scores import LOWER_IS_BETTER, METRICS

Record = Mapping[str, Any]


def leaderboard(
    records: Iterable[Record],
    *,
    metric: str = "balanced_accuracy",
    select: str = "last",
    methods: Sequence[Record] = (),
    seeds: Sequence[int] = (),
    groups_rule: str = "",
    test_counts: Sequence[int] | None = None,
    reference: str = "ce",
    level: float = 0.95,
) -> dict[str, Any]:
    """Rank methods by a metric, and say which differences are more than noise.

    Every interval is a t interval over seeds. Differences are paired by seed (same initial weights, same order of data), and
    tested with `steelyard.metrics.paired_test`, with Holm's correction over the methods, each metric on its own. Overlap of
    two methods' own intervals decides nothing here.

    Args:
        records: finished runs of one problem and one regime, at most one for each method and seed.
        metric: what to rank by, a name of `steelyard.metrics.METRICS` or of what a task measures besides (more is better).
        select: "last" or "best_valid": the epoch whose numbers are ranked and tested; both are in every row.
        methods: `{"name", "summary", "control"}` of each method that was planned, in order; by default those of the records.
        seeds: those that were planned; by default all that occur. Missing runs are named in the notes.
        groups_rule: how Many / Medium / Few were made, in words.
        test_counts: rows of each class in the test split `[C]`, for the null value of worst-class recall; by default from the
            records' `per_class["support"]`.
        reference: the method that the others are paired with.
        level: of the intervals, between 0 and 1.

    Returns:
        `metric`, `select`, `level`, `groups_rule`, `reference`, `seeds`, `verdict` (a few plain sentences), `notes`,
        `near_best` (methods whose paired difference to the best includes 0), `worst_recall_null`, and `rows`, best first:
        `method`, `summary`, `control`, `rank`, `n_seeds`, `seeds`, `metrics` and `selected_metrics` (`mean`, `low`, `high`,
        `values`), `cost_ratio` (median seconds a step over the reference's), `seconds_mean`, `peak_memory_mb`,
        `worst_recall_null`,
        `versus_best` and `versus_ce` (None for the reference itself or without it; by metric: `difference`, `low`, `high`, `p`,
        `p_holm`, `test`, `p_t`, `n`).

    Raises:
        ArgumentError: no records, records of several problems or regimes, or two for the same method and seed.
        UnknownName: no such metric.

    Example:
        >>> run = {"problem": "digits", "regime": "quick", "seconds_per_step": 0.01}
        >>> values = {"ce": (0.60, 0.62, 0.61), "la": (0.70, 0.73, 0.70)}
        >>> records = [
        ...     run | {"method": name, "seed": seed, "metrics": {"balanced_accuracy": value}}
        ...     for name, column in values.items() for seed, value in enumerate(column)
        ... ]
        >>> board = leaderboard(records)
        >>> [(row["method"], row["rank"]) for row in board["rows"]]
        [('la', 1), ('ce', 2)]
        >>> versus = board["rows"][0]["versus_ce"]["balanced_accuracy"]
        >>> round(versus["difference"], 3), round(versus["p_holm"], 3), versus["test"]
        (0.1, 0.003, 'paired t')
    """
    records = list(records)
    own = {str(name) for record in records for name in record["metrics"]} if metric not in METRICS else set()
    if metric not in METRICS and metric not in own:
        raise UnknownName("metric", metric, [*METRICS, *sorted(own - set(METRICS))])
    if select not in FIELD:
        raise ArgumentError("select", "'last' or 'best_valid'", repr(select))
    table = _Table.of(records, FIELD[select], level, reference, [str(m["name"]) for m in methods])
    about = {str(m["name"]): m for m in methods}
    counts = list(test_counts) if test_counts is not None else _support(table)
    versus = table.all_versus_reference()
    rows = [_row(table, name, about.get(name, {}), versus, counts) for name in table.methods]
    _rank(rows, table, metric)
    best = rows[0] if rows[0]["rank"] is not None else None
    for row in rows:
        row["versus_best"] = _versus_best(table, row, best, metric)
    near = [r["method"] for r in rows if best is not None and _may_equal_best(r)]
    planned = list(seeds) or table.seeds
    board = {
        "metric": metric,
        "select": select,
        "level": level,
        "groups_rule": groups_rule,
        "reference": reference,
        "seeds": planned,
        "rows": rows,
        "near_best": near,
        "worst_recall_null": best["worst_recall_null"] if best is not None else None,
    }
    present = reference in table.cells
    board["verdict"] = verdict(board, best, present)
    found = [*notes(board, best, present), *_missing(table, list(about), planned), *_mixed(table), *_shared_notes(table)]
    board["notes"] = list(dict.fromkeys(found))
    return board


@dataclass(frozen=True)
class _Table:
    """The records by method and seed."""

    cells: Mapping[str, Mapping[int, Record]]
    field: str
    level: float
    reference: str
    methods: list[str]
    seeds: list[int]

    @classmethod
    def of(cls, records: list[Record], field: str, level: float, reference: str, planned: list[str]) -> _Table:
        if not records:
            raise ArgumentError("records", "at least one finished run", "none")
        for name in ("problem", "regime"):
            found = sorted({str(r.get(name)) for r in records})
            if len(found) > 1:
                raise ArgumentError("records", f"runs of one {name}: others cannot be compared", ", ".join(found))
        cells: dict[str, dict[int, Record]] = {}
        for record in records:
            column = cells.setdefault(str(record["method"]), {})
            if int(record["seed"]) in column:
                twice = f"two of {record['method']} with seed {record['seed']}"
                raise ArgumentError("records", "one run for each method and seed", twice)
            column[int(record["seed"])] = record
        order = [name for name in planned if name in cells] + [name for name in cells if name not in planned]
        cells = {name: dict(sorted(cells[name].items())) for name in order}
        return cls(cells, field, level, reference, order, sorted({seed for column in cells.values() for seed in column}))

    def value(self, method: str, seed: int, metric: str, field: str | None = None) -> float:
        """A number of a run; NaN where it is undefined."""
        found = (self.cells[method][seed].get(field or self.field) or {}).get(metric)
        return math.nan if found is None else float(found)

    def paired(self, method: str, other: str, metric: str, comparisons: int = 1) -> PairedDifference | None:
        """Difference over the seeds that both have, one of so many that are corrected for together; None without any."""
        common = [seed for seed in self.cells[method] if seed in self.cells[other]]
        pairs = [(self.value(method, seed, metric), self.value(other, seed, metric)) for seed in common]
        pairs = [pair for pair in pairs if not math.isnan(sum(pair))]
        return paired_test([a for a, _ in pairs], [b for _, b in pairs], self.level, comparisons) if pairs else None

    def names(self, field: str) -> list[str]:
        """Metrics that occur in the records, in the order of the tables."""
        found = {name for column in self.cells.values() for record in column.values() for name in record.get(field) or {}}
        return [name for name in METRICS if name in found] + sorted(found.difference(METRICS))

    def all_versus_reference(self) -> dict[str, dict[str, dict[str, Any]]]:
        """For each method and metric the paired difference to the reference, with Holm's p over the methods."""
        others = [name for name in self.methods if name != self.reference]
        found: dict[str, dict[str, dict[str, Any]]] = {name: {} for name in others}
        if self.reference not in self.cells:
            return {}
        for metric in self.names(self.field):
            tested = {name: self.paired(name, self.reference, metric, len(others)) for name in others}
            adjusted = holm({name: result.p for name, result in tested.items() if result is not None})
            for name, result in tested.items():
                if result is not None:
                    found[name][metric] = _entry(result) | {"p_holm": _finite(adjusted[name])}
        return found


def _entry(result: PairedDifference) -> dict[str, Any]:
    return {
        "difference": _finite(result.difference),
        "low": _finite(result.low),
        "high": _finite(result.high),
        "p": _finite(result.p),
        "p_t": _finite(result.p_t),
        "test": result.test,
        "n": result.n,
    }


def _finite(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None


def _row(
    table: _Table, name: str, about: Record, versus: Mapping[str, Mapping[str, Any]], counts: Sequence[int] | None
) -> dict[str, Any]:
    runs = table.cells[name]
    row: dict[str, Any] = {
        "method": name,
        "summary": str(about.get("summary", "")),
        "control": bool(about.get("control", False)),
        "rank": None,
        "n_seeds": len(runs),
        "seeds": list(runs),
    }
    for field in FIELD.values():
        row[field] = {metric: _spread(table, name, metric, field) for metric in table.names(field)}
    row["cost_ratio"] = _cost_ratio(table, name)
    row["seconds_mean"] = _mean_of(runs.values(), "seconds")
    row["peak_memory_mb"] = _mean_of(runs.values(), "peak_memory_mb")
    row["worst_recall_null"] = _null_of(row[table.field], counts)
    row["versus_ce"] = versus.get(name)
    return row


def _spread(table: _Table, name: str, metric: str, field: str) -> dict[str, Any]:
    """Mean and interval over the seeds where the metric is defined; `values` has an entry for every seed."""
    values = [table.value(name, seed, metric, field) for seed in table.cells[name]]
    mean, low, high = t_interval([v for v in values if math.isfinite(v)], table.level)
    return {"mean": _finite(mean), "low": _finite(low), "high": _finite(high), "values": [_finite(v) for v in values]}


def _numbers(runs: Iterable[Record], name: str) -> list[float]:
    found = [run.get(name) for run in runs]
    return [float(value) for value in found if value is not None and math.isfinite(value)]


def _mean_of(runs: Iterable[Record], name: str) -> float | None:
    values = _numbers(runs, name)
    return sum(values) / len(values) if values else None


def _cost_ratio(table: _Table, name: str) -> float | None:
    own = _numbers(table.cells[name].values(), "seconds_per_step")
    plain = _numbers(table.cells.get(table.reference, {}).values(), "seconds_per_step")
    return median(own) / median(plain) if own and plain and median(plain) > 0 else None


def _support(table: _Table) -> list[int] | None:
    """Test rows of each class, from the first record that knows them."""
    for column in table.cells.values():
        for record in column.values():
            support = (record.get("per_class") or {}).get("support")
            if support:
                return [int(n) for n in support]
    return None


def _null_of(metrics: Mapping[str, Mapping[str, Any]], counts: Sequence[int] | None) -> float | None:
    common = metrics.get("balanced_accuracy", {}).get("mean")
    return None if common is None or not counts or not any(counts) else worst_recall_null(min(1.0, max(0.0, common)), counts)


def _rank(rows: list[dict[str, Any]], table: _Table, metric: str) -> None:
    """Sort best first and set `rank`; equal means share a rank; methods without the metric are last and have none."""
    sign = 1 if metric in LOWER_IS_BETTER else -1

    def key(row: Mapping[str, Any]) -> float:
        mean = row[table.field].get(metric, {}).get("mean")
        return math.inf if mean is None else sign * mean

    rows.sort(key=key)
    for place, row in enumerate(rows):
        if math.isfinite(key(row)):
            row["rank"] = rows[place - 1]["rank"] if place and key(row) == key(rows[place - 1]) else place + 1


def _versus_best(table: _Table, row: Mapping[str, Any], best: Mapping[str, Any] | None, metric: str) -> dict[str, Any] | None:
    if best is None or row is best:
        return None
    result = table.paired(row["method"], best["method"], metric)
    return None if result is None else _entry(result)


def _may_equal_best(row: Mapping[str, Any]) -> bool:
    """Whether the paired interval to the best includes 0; also where one seed, or no common one, cannot tell."""
    versus = row["versus_best"]
    if row["rank"] is None or (versus is None and row["rank"] == 1):
        return False
    if versus is None or versus["n"] == 1:
        return True
    if versus["low"] is None:
        return bool(versus["difference"] == 0)
    return bool(versus["low"] <= 0 <= versus["high"])


def _shared_notes(table: _Table) -> list[str]:
    """What every run's metrics say (classes without test rows, the positive class) holds for the whole table."""
    each = [list(record.get("notes") or ()) for column in table.cells.values() for record in column.values()]
    return [note for note in each[0] if all(note in other for other in each)]


def _missing(table: _Table, planned: list[str], seeds: Sequence[int]) -> list[str]:
    """A sentence for each method that lacks a seed."""
    names = planned + [name for name in table.methods if name not in planned]
    lacking = {name: [str(seed) for seed in seeds if seed not in table.cells.get(name, {})] for name in names}
    found = [f"{name} has no finished run with seed {', '.join(without)}" for name, without in lacking.items() if without]
    if len({tuple(column) for column in table.cells.values()}) > 1:
        found.append(
            "methods are ranked by means over different seeds until all runs are finished; only differences are paired"
        )
    return found


def _mixed(table: _Table) -> list[str]:
    """What the runs should have in common and have not: a comparison may be gone on with elsewhere, or much later."""
    records = [record for column in table.cells.values() for record in column.values()]
    made_with = {
        "versions of torch": [(record.get("versions") or {}).get("torch") for record in records],
        "devices": [record.get("device") for record in records],
        "numbers of threads": [record.get("threads") for record in records],
    }
    found = {name: sorted({str(value) for value in values if value is not None}) for name, values in made_with.items()}
    return [
        f"runs were made with different {name} ({', '.join(values)}), so their costs and last digits do not quite compare"
        for name, values in found.items()
        if len(values) > 1
    ]
