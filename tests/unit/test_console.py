from __future__ import annotations

import io

from rich.console import Console

from steelyard.bench.records import Run
from steelyard.console import LiveDisplay

RUN = Run("digits", "la", "quick", 1, {})
OTHER = Run("digits", "ce", "quick", 0, {})
RECORD = {"metrics": {"balanced_accuracy": 0.75}, "seconds": 2.0}


def played(terminal: bool) -> str:
    out = io.StringIO()
    with LiveDisplay(Console(file=out, width=120, force_terminal=terminal)) as display:
        display.begin(2, 1)
        display.beat(RUN, {"epoch": 3, "epochs": 10, "fraction": 0.3, "balanced_accuracy": 0.5})
        display.end(RUN, RECORD, None)
        display.end(OTHER, None, "the loss is nan [see log]")
    return out.getvalue()


def test_plain_lines_where_there_is_no_terminal() -> None:
    text = played(terminal=False)
    assert "1 of 3 runs were finished before" in text
    assert "[2/3] la" in text
    assert "0.7500" in text
    assert "[3/3] ce seed 0 failed: the loss is nan [see log]" in text
    assert "\x1b" not in text


def test_bars_in_a_terminal() -> None:
    assert "\x1b" in played(terminal=True)
