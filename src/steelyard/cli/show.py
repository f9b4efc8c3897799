"""The leaderboard of a comparison on the terminal, and its report."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console


def show(console: Console, out: Path, report: bool) -> None:
    """Print the leaderboard of a folder, made anew where runs have ended since; with `report`, write its page."""
    from rich.markup import escape

    from steelyard.bench.runner import current_leaderboard
    from steelyard.report import leaderboard_table, write_report

    board = current_leaderboard(out)
    console.print(leaderboard_table(board, width=console.width))
    if board.get("verdict"):
        console.print(board["verdict"], style="bold", markup=False)
    for note in board["notes"]:
        console.print(f"note: {note}", style="dim", markup=False)
    if report:
        console.print(f"report: [bold]{escape(str(write_report(out)))}[/bold]", soft_wrap=True)
