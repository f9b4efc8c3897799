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

UNBROKEN = 400
"""Columns of a list that is not written to a terminal."""
LINE_SECONDS = 15.0
"""Seconds between two lines about a run in progress, where there is no terminal."""


def open_console(*, stderr: bool = False, wide: bool = False) -> Console:
    """Where a command writes to; without blanks at the ends of lines where that is no terminal.

    Args:
        stderr: write to standard error.
        wide: for lists that programs read: where there is no terminal, nothing is broken into lines.
    """
    console = Console(highlight=False, stderr=stderr)
    if console.is_terminal:
        return console
    out: Any = Trimmed(console.file)
    return Console(highlight=False, file=out, width=UNBROKEN if wide else None)


class Trimmed:
    r"""A text file to which no blanks are written at the ends of lines; tables are filled up with them.

    Args:
        file: to write to.

    Example:
        >>> import io
        >>> inner = io.StringIO()
        >>> out = Trimmed(inner)
        >>> out.write("a  ") + out.write(" b   \n")
        9
        >>> inner.getvalue()
        'a   b\n'
    """

    def __init__(self, file: Any) -> None:
        self._file, self._blanks = file, ""

    def write(self, text: str) -> int:
        """Write text; blanks at its end wait for what follows them."""
        lines = (self._blanks + text).split("\n")
        last = lines[-1].rstrip(" ")
        self._blanks = lines[-1][len(last) :]
        self._file.write("\n".join([*(line.rstrip(" ") for line in lines[:-1]), last]))
        return len(text)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)


def _bars(console: Console) -> Progress:
    return Progress(
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


def _stand(beat: Mapping[str, Any]) -> str:
    """Where a run in progress stands."""
    state = f"epoch {beat['epoch']}/{beat['epochs']}"
    if beat.get("balanced_accuracy") is not None:
        state += f"  valid {beat['balanced_accuracy']:.3f}"
    return state


class LiveDisplay:
    """Shows the progress of a comparison: one bar for all runs and one for each run in progress.

    Args:
        console: where to.
        metric: the number shown when a run ends.
    """

    def __init__(self, console: Console, metric: str = "balanced_accuracy") -> None:
        self.console, self.metric = console, metric
        self.progress = _bars(console)
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
        state = _stand(beat)
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


class TrialsDisplay:
    """Shows the progress of a study: one bar for all trials and one for each in progress.

    Args:
        console: where to.
        metric: what the trials' values are.
        minimise: is a lower value better?
    """

    def __init__(self, console: Console, metric: str, minimise: bool = False) -> None:
        self.console, self.metric, self.minimise = console, metric, minimise
        self.progress = _bars(console)
        self._all: TaskID | None = None
        self._trials: dict[int, TaskID] = {}
        self._told: dict[int, float] = {}
        self._best: float | None = None
        self._done = 0
        self._total = 0

    def __enter__(self) -> TrialsDisplay:
        self.progress.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.progress.stop()

    def begin(self, trials: int, finished: int) -> None:
        """Say how much there is to do."""
        self._total, self._done = trials, min(finished, trials)
        if finished:
            self.console.print(f"{finished} trials were done before and are not repeated", style="dim")
        self._all = self.progress.add_task("[bold]all trials", total=trials, completed=self._done, state="")

    def beat(self, number: int, beat: Mapping[str, Any]) -> None:
        """Move a trial's bar."""
        state = _stand(beat)
        if number not in self._trials:
            self._trials[number] = self.progress.add_task(f"trial {number}", total=100, state=state)
            self._told[number] = time.monotonic()
        self.progress.update(self._trials[number], completed=int(100 * beat["fraction"]), state=state)
        if not self.console.is_terminal and time.monotonic() - self._told[number] > LINE_SECONDS:
            self._told[number] = time.monotonic()
            self.console.print(f"        trial {number}: {state}", highlight=False)

    def end(self, record: Mapping[str, Any] | None, error: str | None) -> None:
        """A line for a trial that is over."""
        if record is None:
            self.console.print(f"a trial could not be done: {error}", style="red", markup=False)
            return
        if record["number"] in self._trials:
            self.progress.remove_task(self._trials.pop(record["number"]))
        self._done += 1
        value, better = record["value"], False
        if value is not None:
            better = self._best is None or (value < self._best if self.minimise else value > self._best)
            self._best = value if better else self._best
        if self._all is not None:
            best = "" if self._best is None else f"best {self._best:.4f}"
            self.progress.update(self._all, completed=self._done, state=best)
        place = f"[{self._done:>{len(str(self._total))}}/{self._total}]"
        became = f"{self.metric.replace('_', ' ')} {value:.4f}" if value is not None else str(record["state"])
        settings = "  ".join(f"{key}={item}" for key, item in record["settings"].items())
        reason = f"  {record['reason']}" if record.get("reason") else ""
        line = f"{place} trial {record['number']:<4} {became}  {settings}{reason}"
        self.console.print(line, style="bold" if better else "", markup=False, highlight=False)
