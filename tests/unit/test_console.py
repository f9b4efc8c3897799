from __future__ import annotations

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from steelyard.bench.records import Run
from steelyard.cli import cli
from steelyard.console import LiveDisplay, TrialsDisplay, Trimmed, open_console

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


@given(st.lists(st.text(" ab\n\t"), max_size=8))
def test_no_blanks_are_left_at_the_ends_of_lines(parts: list[str]) -> None:
    inner = io.StringIO()
    out = Trimmed(inner)
    assert sum(out.write(part) for part in parts) == len("".join(parts))
    whole = "".join(parts)
    kept = inner.getvalue()
    assert [line.rstrip(" ") for line in whole.split("\n")] == kept.split("\n")


@pytest.mark.parametrize("command", ["methods", "datasets", "tasks"])
def test_what_is_piped_has_no_blanks_at_the_ends_of_lines(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    cli.main([command], standalone_mode=False)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) > 5 and not [line for line in lines if line != line.rstrip()]
    assert any(len(line) > 90 for line in lines), "a line each"


def test_a_terminal_is_left_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    assert not isinstance(open_console(wide=True).file, Trimmed)
    monkeypatch.delenv("FORCE_COLOR")
    assert isinstance(open_console().file, Trimmed)


def test_plain_lines_where_there_is_no_terminal() -> None:
    text = played(terminal=False)
    assert "1 of 3 runs were finished before" in text
    assert "[2/3] la" in text
    assert "0.7500" in text
    assert "[3/3] ce seed 0 failed: the loss is nan [see log]" in text
    assert "\x1b" not in text


def test_bars_in_a_terminal() -> None:
    assert "\x1b" in played(terminal=True)


def studied(terminal: bool) -> str:
    out = io.StringIO()
    with TrialsDisplay(Console(file=out, width=160, force_terminal=terminal), "log_loss", minimise=True) as display:
        display.begin(5, 1)
        display.beat(1, {"epoch": 3, "epochs": 10, "fraction": 0.3, "balanced_accuracy": 0.5})
        display.end({"number": 1, "state": "complete", "value": 0.5, "settings": {"tau": 1.5, "lr": 0.1}}, None)
        display.end({"number": 2, "state": "pruned", "value": None, "settings": {"tau": 0.5}}, None)
        display.end(
            {"number": 3, "state": "failed", "value": None, "settings": {}, "reason": "the loss is nan [see log]"}, None
        )
        display.end(None, "no space left")
    return out.getvalue()


def test_trials_in_plain_lines() -> None:
    text = studied(terminal=False)
    assert "1 trials were done before" in text
    assert "[2/5] trial 1    log loss 0.5000  tau=1.5  lr=0.1" in text
    assert "[3/5] trial 2    pruned  tau=0.5" in text
    assert "[4/5] trial 3    failed    the loss is nan [see log]" in text
    assert "a trial could not be done: no space left" in text
    assert "\x1b" not in text


def test_trials_as_bars() -> None:
    assert "\x1b" in studied(terminal=True)
