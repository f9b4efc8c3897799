"""The leaderboard as a reader sees it: one table for the last epoch, one for the epoch that validation chose."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from steelyard.metrics.scores import clipped
from steelyard.report.store import Json, mapping
from steelyard.report.vocabulary import DASH, METRICS, Metric, metric_of, number, p_text, ratio_text

EPOCHS = {"last": "metrics", "best_valid": "selected_metrics"}


@dataclass(frozen=True)
class Estimate:
    """A mean over seeds with its 95 % interval; whatever is unknown is None.

    Attributes:
        mean: over the seeds that have the metric.
        low: lower limit, not below what the metric can be.
        high: upper limit, not above what the metric can be.
        values: one a seed.
        cut: whether a limit was moved to where the metric ends, so that the mean is not in the middle.
    """

    mean: float | None = None
    low: float | None = None
    high: float | None = None
    values: tuple[float, ...] = ()
    cut: bool = False

    def span(self, metric: Metric) -> str:
        """The interval behind a number: half its width, or both limits where one was cut or it is not centred.

        Example:
            >>> accuracy = METRICS["accuracy"]
            >>> Estimate(0.7, 0.6, 0.8).span(accuracy), Estimate(0.9, 0.7, 1.0, cut=True).span(accuracy).split(DASH)
            ('±10.0', ['70.0', '100'])
        """
        if self.mean is None or self.low is None or self.high is None:
            return ""
        if self.cut or abs(self.high - 2 * self.mean + self.low) > 1e-9:
            between = DASH if self.low >= 0 else " to "
            ends = (metric.text(x).removesuffix(".0") if x in (0.0, 1.0) else metric.text(x) for x in (self.low, self.high))
            return between.join(ends)
        return f"\N{PLUS-MINUS SIGN}{metric.text((self.high - self.low) / 2)}"


@dataclass(frozen=True)
class Versus:
    """A difference to plain cross-entropy, paired by seed."""

    difference: float | None = None
    low: float | None = None
    high: float | None = None
    p: float | None = None
    p_holm: float | None = None
    test: str = ""


def estimate(row: Json, metric: str, epoch: str = "last") -> Estimate:
    """One metric of one leaderboard row."""
    entry = mapping(mapping(row.get(EPOCHS[epoch])).get(metric))
    values = entry.get("values") if isinstance(entry.get("values"), list) else []
    kept = tuple(x for value in values or [] if (x := number(value)) is not None)
    low, high = number(entry.get("low")), number(entry.get("high"))
    if low is None or high is None:
        return Estimate(number(entry.get("mean")), None, None, kept)
    shown = clipped(metric, low, high)
    return Estimate(number(entry.get("mean")), *shown, kept, shown != (low, high))


def versus(leaderboard: Json, row: Json, metric: str, epoch: str) -> Versus:
    """The difference of one row to plain cross-entropy.

    The store tests the epoch that the comparison judges; for the other one the plain difference of the means is shown,
    without interval and p value.
    """
    if row.get("method") == "ce":
        return Versus()
    entry = mapping(mapping(row.get("versus_ce")).get(metric))
    if entry and epoch == judged(leaderboard):
        low, high, p, p_holm = (number(entry.get(name)) for name in ("low", "high", "p", "p_holm"))
        if low is not None and high is not None:
            low, high = clipped(metric, low, high, difference=True)
        return Versus(number(entry.get("difference")), low, high, p, p_holm, str(entry.get("test") or ""))
    baseline = next((other for other in rows_of(leaderboard) if other.get("method") == "ce"), None)
    mine = estimate(row, metric, epoch).mean
    theirs = estimate(baseline, metric, epoch).mean if baseline else None
    return Versus(None if mine is None or theirs is None else mine - theirs)


def judged(leaderboard: Json) -> str:
    """The epoch whose numbers are ranked and tested: "last" or "best_valid"."""
    return "best_valid" if leaderboard.get("select") == "best_valid" else "last"


def interval_name(leaderboard: Json) -> str:
    """What the intervals of the means are of: seeds, or with one seed the test rows."""
    return "95 % interval" + (" over test rows" if leaderboard.get("intervals_over") == "rows" else "")


def cut_anywhere(leaderboard: Json) -> bool:
    """Whether any interval of the tables reached past what its metric can be."""
    found = [(row, name, epoch) for row in rows_of(leaderboard) for epoch in EPOCHS for name in mapping(row.get(EPOCHS[epoch]))]
    return any(estimate(*each).cut for each in found)


def rows_of(leaderboard: Json) -> list[Json]:
    """The rows of a leaderboard, whatever else is wrong with it."""
    rows = leaderboard.get("rows")
    return [row for row in rows if isinstance(row, dict) and "method" in row] if isinstance(rows, list) else []


def epochs_of(leaderboard: Json) -> list[str]:
    """Which epochs the leaderboard reports; the selected one is missing without a validation split."""
    rows = rows_of(leaderboard)
    return [epoch for epoch in EPOCHS if any(estimate(row, name, epoch).mean is not None for row in rows for name in METRICS)]


def ranked(rows: Sequence[Json], metric: Metric, epoch: str) -> list[Json]:
    """Rows by the metric, best first; rows without it last."""
    sign = -1 if metric.higher_is_better else 1

    def key(row: Json) -> tuple[bool, float]:
        mean = estimate(row, metric.name, epoch).mean
        return mean is None, sign * (mean or 0.0)

    return sorted(rows, key=key)


@dataclass(frozen=True)
class Cell:
    """One number of the table, as text and as what sorting compares."""

    text: str
    span: str
    value: float | None
    difference_text: str
    difference: float | None
    best: bool
    title: str


@dataclass(frozen=True)
class Line:
    """One method of the table."""

    rank: int
    method: str
    summary: str
    control: bool
    seeds: int
    main: Cell
    versus_text: str
    versus_p: str
    versus: float | None
    clear: bool
    strip: Json
    cells: list[Cell]
    cost_text: str
    cost: float | None


@dataclass(frozen=True)
class Board:
    """The table of one epoch."""

    epoch: str
    metric: Metric
    columns: list[Metric]
    lines: list[Line]
    ticks: list[str] = field(default_factory=list)


def board(leaderboard: Json, epoch: str) -> Board:
    """Turn leaderboard.json into the cells of one table.

    Args:
        leaderboard: the parsed file.
        epoch: "last", or "best_valid" for the epoch with the best validation balanced accuracy.
    """
    rows = rows_of(leaderboard)
    metric = metric_of(str(leaderboard.get("metric") or "balanced_accuracy"))
    given = {name for row in rows for name in mapping(row.get(EPOCHS[epoch]))}
    present = {name for name in given if any(estimate(row, name, epoch).mean is not None for row in rows)}
    names = [name for name in METRICS if name in present] + sorted(present - set(METRICS))
    columns = [metric_of(name) for name in names if name != metric.name]
    order = ranked(rows, metric, epoch)
    best = {column.name: _best(rows, column, epoch) for column in [metric, *columns]}
    low, high = _span(rows, metric, epoch)
    lines: list[Line] = []
    for place, row in enumerate(order, start=1):
        against = versus(leaderboard, row, metric.name, epoch)
        mean = estimate(row, metric.name, epoch).mean
        tied = bool(lines) and mean is not None and mean == lines[-1].main.value
        cost = number(row.get("cost_ratio"))
        lines.append(
            Line(
                rank=lines[-1].rank if tied else place,
                method=str(row["method"]),
                summary=str(row.get("summary") or ""),
                control=bool(row.get("control")),
                seeds=int(number(row.get("n_seeds")) or 0),
                main=_cell(leaderboard, row, metric, epoch, best[metric.name]),
                versus_text=metric.signed(against.difference) if row["method"] != "ce" else "reference",
                versus_p=p_text(against.p_holm),
                versus=0.0 if row["method"] == "ce" else against.difference,
                clear=against.p_holm is not None and against.p_holm < 0.05,
                strip=_strip(estimate(row, metric.name, epoch), low, high),
                cells=[_cell(leaderboard, row, column, epoch, best[column.name]) for column in columns],
                cost_text=ratio_text(cost),
                cost=cost,
            )
        )
    return Board(epoch, metric, columns, lines, [metric.text(low), metric.text(high)])


def _best(rows: Sequence[Json], metric: Metric, epoch: str) -> str | None:
    """The best value as it is printed, so that rows that read the same are all in bold."""
    top = ranked(rows, metric, epoch)[0] if rows else None
    mean = estimate(top, metric.name, epoch).mean if top else None
    return None if mean is None else metric.text(mean)


def _cell(leaderboard: Json, row: Json, metric: Metric, epoch: str, best: str | None) -> Cell:
    value = estimate(row, metric.name, epoch)
    against = versus(leaderboard, row, metric.name, epoch)
    text = metric.text(value.mean)
    title = f"{metric.label}: {metric.meaning}"
    if value.values:
        title += "\nseeds: " + ", ".join(metric.text(x) for x in value.values)
    if value.low is not None:
        title += f"\n{interval_name(leaderboard)} {metric.text(value.low)} to {metric.text(value.high)}"
    if against.low is not None:
        title += f"\nto ce {metric.signed(against.difference)}, 95 % interval {metric.signed(against.low)} to "
        title += metric.signed(against.high)
        if against.p is not None:
            title += f", {against.test or 'paired'}: {p_text(against.p)}, after Holm's correction {p_text(against.p_holm)}"
    signed = metric.signed(against.difference) if row.get("method") != "ce" else DASH
    is_best = value.mean is not None and text == best
    return Cell(text, value.span(metric), value.mean, signed, against.difference, is_best, title)


def _span(rows: Sequence[Json], metric: Metric, epoch: str) -> tuple[float, float]:
    """The range that the little interval strips share: whatever the rows reach, a little wider."""
    reached: list[float] = []
    for row in rows:
        value = estimate(row, metric.name, epoch)
        reached += [x for x in (value.mean, value.low, value.high, *value.values) if x is not None]
    if not reached:
        return 0.0, 1.0
    low, high = min(reached), max(reached)
    pad = 0.04 * (high - low) or 0.01
    return low - pad, high + pad


def _strip(value: Estimate, low: float, high: float) -> Json:
    """Positions in percent of the strip's width."""

    def place(x: float | None) -> float | None:
        return None if x is None else round(100 * (x - low) / (high - low), 2)

    return {
        "mean": place(value.mean),
        "low": place(value.low),
        "high": place(value.high),
        "seeds": [place(x) for x in value.values],
    }
