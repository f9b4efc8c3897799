"""What a run tells the outside while it trains: a line an epoch, and a heartbeat for progress displays."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

from torch import Tensor

from steelyard.core.atomic import write_atomically
from steelyard.core.counts import Groups
from steelyard.core.measure import Report
from steelyard.core.roles import Assesses, Observes
from steelyard.core.rows import Clock, Evidence

BEAT_SECONDS = 0.5


class Log(Assesses):
    """Keeps `log.jsonl`, a line an epoch; after a resume the lines from there on are written anew.

    Args:
        path: of the file.
        groups: of the classes; with them a line has "group_weights", the mean weight of the rows of their classes.
    """

    def __init__(self, path: Path, groups: Groups | None = None) -> None:
        self.path, self.groups = path, groups
        self._lines: dict[tuple[int, int], dict[str, Any]] = {}
        for line in read_log(path):
            self._lines[line["stage"], line["epoch"]] = line

    def assess(self, report: Report) -> None:
        """Add the epoch's line."""
        line = report.line()
        if self.groups is not None:
            line["group_weights"] = _rounded(self.groups, report.class_weights)
        key = (line["stage"], line["epoch"])
        self._lines = {at: kept for at, kept in self._lines.items() if at < key}
        self._lines[key] = line
        text = "".join(json.dumps(kept) + "\n" for _, kept in sorted(self._lines.items()))
        write_atomically(self.path, text.encode())


def _rounded(groups: Groups, weights: Tensor | None) -> dict[str, float] | None:
    """Mean weights of the groups, short; None where rows were not weighted."""
    return None if weights is None else {name: round(mean, 6) for name, mean in groups.means(weights).items()}


def read_log(path: Path) -> list[dict[str, Any]]:
    """The whole lines of a log; none where there is no file."""
    if not path.exists():
        return []
    lines = []
    for text in path.read_text().splitlines():
        try:
            lines.append(json.loads(text))
        except json.JSONDecodeError:
            break
    return lines


class Heartbeat(Observes, Assesses):
    """Writes `progress.json` at most twice a second, so that whoever shows progress needs no connection to the run.

    Args:
        path: of the file.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._last = 0.0
        self._numbers: dict[str, float | None] = {}

    def observe(self, evidence: Evidence) -> None:
        """Beat, if the last beat is long enough ago."""
        if time.monotonic() - self._last >= BEAT_SECONDS:
            self._beat(evidence.clock, done=evidence.clock.position)

    def assess(self, report: Report) -> None:
        """Keep the epoch's numbers for the next beat, and beat."""
        self._numbers = {"train_loss": report.train_loss, "balanced_accuracy": report.balanced_accuracy}
        if time.monotonic() - self._last >= BEAT_SECONDS:
            self._beat(report.clock, done=report.clock.batches)

    def _beat(self, clock: Clock, done: int) -> None:
        self._last = time.monotonic()
        fraction = (clock.epoch + done / max(clock.batches, 1)) / max(clock.epochs, 1)
        beat = {"fraction": fraction, "epoch": clock.epoch + 1, "epochs": clock.epochs, **self._numbers}
        partial = self.path.with_name(f".{self.path.name}.{os.getpid()}")
        try:
            partial.write_text(json.dumps(beat))
            os.replace(partial, self.path)
        except OSError:
            return  # a missed beat costs nothing; a full disk is reported by the checkpoint


def read_beat(path: Path) -> dict[str, Any] | None:
    """The newest beat; None before the first."""
    try:
        beat: dict[str, Any] = json.loads(path.read_text())
    except (OSError, json.JSONDecodeError):
        return None
    return beat
