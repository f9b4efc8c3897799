"""The leaderboard in a terminal."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from steelyard.report.board import Board, Line, board
from steelyard.report.store import Json
from steelyard.report.vocabulary import DASH, METRICS, in_words, metric_of

if TYPE_CHECKING:
    from rich.table import Table


NAME_WIDTH = 28
GAP = 3  # between two columns of the table


@dataclass(frozen=True)
class _Column:
    """One column: heading, cells, which of them stand out, and how soon it goes when the console is narrow (0: never)."""

    heading: str
    cells: list[str]
    best: list[bool]
    goes: int
    left: bool = False

    @property
    def width(self) -> int:
        """What the column needs at least; a long name may fold."""
        longest = max(len(text) for text in (self.heading, *self.cells))
        return min(longest, NAME_WIDTH) if self.left else longest


def leaderboard_table(leaderboard: Json, width: int | None = None) -> Table:
    """The leaderboard as a table for the terminal, with as many columns as fit.

    Percentages (costs are ratios to plain cross-entropy); the best of a column is bold; p values are corrected over all
    methods (Holm). Columns that do not fit are left out, the least important first; rank, method, the main metric and
    its difference to cross-entropy stay.

    Args:
        leaderboard: the parsed leaderboard.json.
        width: columns of text available; None for those of the console.

    Returns:
        A `rich.table.Table`; print it with `rich.print` or a console.

    Example:
        >>> row = {"method": "ce", "rank": 1, "n_seeds": 1, "metrics": {"balanced_accuracy": {"mean": 0.7}}}
        >>> leaderboard_table({"metric": "balanced_accuracy", "rows": [row]}, width=80).row_count
        1
    """
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    epoch = "best_valid" if leaderboard.get("select") == "best_valid" else "last"
    view = board(leaderboard, epoch)
    room = width if width is not None else Console().width
    columns = _fitting(_columns(view), room)
    seeds = leaderboard.get("seeds") or []
    title = f"{in_words(view.metric)}, {'epoch chosen on validation' if epoch == 'best_valid' else 'last epoch'}, "
    title += f"{len(seeds)} seed{'s' * (len(seeds) != 1)}"
    table = Table(
        title=Text(title), box=SIMPLE_HEAD, padding=(0, 1), pad_edge=False, title_justify="left", caption_justify="left"
    )
    table.caption = Text(_caption(leaderboard, view))
    for column in columns:
        style = {"justify": "left", "overflow": "fold"} if column.left else {"justify": "right", "no_wrap": True}
        table.add_column(Text(column.heading), min_width=column.width, **style)
    for index, line in enumerate(view.lines):
        row = [Text(c.cells[index], style="bold" if c.best[index] else "dim" if line.control else "") for c in columns]
        table.add_row(*row)
    return table


def _columns(view: Board) -> list[_Column]:
    lines = view.lines
    nothing = [False] * len(lines)
    expected = max((line.seeds for line in lines), default=0)
    columns = [
        _Column("#", [str(line.rank) for line in lines], nothing, 0),
        _Column("method", [_named(line, expected) for line in lines], [line.main.best for line in lines], 0, left=True),
        _Column(
            view.metric.label.lower(),
            [_both(line.main.text, line.main.span) for line in lines],
            [x.main.best for x in lines],
            0,
        ),
        _Column("vs ce", [line.versus_text if line.method != "ce" else "" for line in lines], [x.clear for x in lines], 0),
        _Column("p", [line.versus_p.removeprefix("p ").removeprefix("= ") for line in lines], [x.clear for x in lines], 1),
    ]
    goes = {"few_recall": 2, "many_recall": 4, "medium_recall": 5, "accuracy": 3, "macro_f1": 6, "auprc": 7, "ece": 8}
    own = [column.name for column in view.columns if column.name not in METRICS]  # what such data alone have
    goes |= dict.fromkeys(own, 3)
    for name, order in goes.items():
        place = next((i for i, column in enumerate(view.columns) if column.name == name), None)
        if place is None:
            continue
        cells = [line.cells[place] for line in lines]
        columns.append(_Column(view.columns[place].label.lower(), [c.text for c in cells], [c.best for c in cells], order))
    columns.append(_Column("cost", [line.cost_text for line in lines], nothing, 2))
    shown = [
        "#",
        "method",
        view.metric.label.lower(),
        "vs ce",
        "p",
        *(metric_of(name).label.lower() for name in own),
        "many",
        "medium",
        "few",
        "accuracy",
        "macro f1",
        "auprc",
        "ece",
    ]
    return sorted(columns, key=lambda column: shown.index(column.heading) if column.heading in shown else len(shown))


def _fitting(columns: list[_Column], room: int) -> list[_Column]:
    """Leave out columns, the most dispensable first, until the rest fits."""
    while sum(column.width + GAP for column in columns) > room:
        last = max(columns, key=lambda column: column.goes)
        if last.goes == 0:
            break
        columns = [column for column in columns if column is not last]
    return columns


def _named(line: Line, expected: int) -> str:
    return line.method if line.seeds == expected or not line.seeds else f"{line.method} ({line.seeds} of {expected} seeds)"


def _both(text: str, span: str) -> str:
    return f"{text} {span}".strip()


def _caption(leaderboard: Json, view: Board) -> str:
    words = "Many / Medium / Few: " + str(leaderboard.get("groups_rule") or "rule not stated")
    spans = [line.main.span for line in view.lines if line.main.span]
    if any(span.startswith("\N{PLUS-MINUS SIGN}") for span in spans):
        words += ". \N{PLUS-MINUS SIGN}: half of the 95 % interval over seeds"
    if any(not span.startswith("\N{PLUS-MINUS SIGN}") for span in spans):
        words += f". a{DASH}b: 95 % interval over seeds, cut at what the metric can be"
    if any(line.versus_p for line in view.lines):
        words += ". p: paired, Holm-corrected"
    if any(line.control for line in view.lines):
        words += ". Dim: controls"
    return words + "."
