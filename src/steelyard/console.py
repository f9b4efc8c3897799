"""What the command line shows while it works: live progress in a terminal, plain lines elsewhere."""

from __future__ import annotations

import time
from collections.abc import Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn, TimeRemainingColumn

if TYPE_CHECKING:
    from steelyard.bench.records import Run

LINE_SECONDS = 15.0
"""Seconds between two lines about a run in progress, where there is no terminal."""


class LiveDisplay:
    """Shows the progress of a comparison: one bar for all runs and one for each run in progress.

    Args:
        console: where to.
        metric: the number shown when a run ends.
    """

    def __init__(self, console: Console, metric: str = "balanced_accuracy") -> None:
        self.console, self.metric = console, metric
        self.progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            TextColumn("{task.fields[state]}"),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            console=console,
            transient=True,
            disable=not console.is_terminal,
        )
        self._all: TaskID | None = None
        self._bars: dict[Run, TaskID] = {}
        self._told: dict[Run, float] = {}
        self._done = 0
        self._total = 0

    def __enter__(self) -> LiveDisplay:
        self.progress.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.progress.stop()

    def begin(self, waiting: int, finished: int) -> None:
        """Say how much there is to do."""
        self._total, self._done = waiting + finished, finished
        if finished:
            self.console.print(f"{finished} of {self._total} runs were finished before and are not repeated", style="dim")
        self._all = self.progress.add_task("[bold]all runs", total=self._total, completed=finished, state="")

    def beat(self, run: Run, beat: Mapping[str, Any]) -> None:
        """Move a run's bar."""
        state = f"epoch {beat['epoch']}/{beat['epochs']}"
        if beat.get("balanced_accuracy") is not None:
            state += f"  valid {beat['balanced_accuracy']:.3f}"
        if run not in self._bars:
            self._bars[run] = self.progress.add_task(f"{run.method} [dim]seed {run.seed}", total=100, state=state)
            self._told[run] = time.monotonic()
        self.progress.update(self._bars[run], completed=int(100 * beat["fraction"]), state=state)
        if not self.console.is_terminal and time.monotonic() - self._told[run] > LINE_SECONDS:
            self._told[run] = time.monotonic()
            self.console.print(f"        {run.method} seed {run.seed}: {state}", highlight=False)

    def end(self, run: Run, record: Mapping[str, Any] | None, error: str | None) -> None:
        """A line for a run that ended."""
        if run in self._bars:
            self.progress.remove_task(self._bars.pop(run))
        self._done += 1
        if self._all is not None:
            self.progress.update(self._all, completed=self._done)
        place = f"[{self._done:>{len(str(self._total))}}/{self._total}]"
        if record is None:
            self.console.print(f"{place} {run.method} seed {run.seed} failed: {error}", style="red", markup=False)
            return
        number = record["metrics"].get(self.metric)
        shown = "undefined" if number is None else f"{number:.4f}"
        words = self.metric.replace("_", " ")
        self.console.print(
            f"{place} {run.method:<24} seed {run.seed}  {words} {shown}  {record['seconds']:.1f} s",
            markup=False,
            highlight=False,
        )
