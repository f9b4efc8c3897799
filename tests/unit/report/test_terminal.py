from __future__ import annotations

import json

import pytest
from rich.console import Console

from steelyard.report import leaderboard_table
from steelyard.report.vocabulary import DASH


def shown(board: dict, width: int) -> str:
    console = Console(width=width, record=True, force_terminal=False, file=open("/dev/null", "w"))  # noqa: SIM115
    with console.file:
        console.print(leaderboard_table(board, width=width))
    return console.export_text()


@pytest.fixture
def board(fabricate, tmp_path) -> dict:
    return json.loads((fabricate(tmp_path) / "leaderboard.json").read_text())


def headings(text: str) -> str:
    return next(line for line in text.splitlines() if "method" in line and "#" in line)


def test_wide_console_shows_every_column(board):
    line = headings(shown(board, 120)).split()
    expected = "# method balanced acc. vs ce p many medium few accuracy macro f1 auprc ece cost"
    assert " ".join(line) == expected


@pytest.mark.parametrize("width", [60, 72, 80, 100, 120])
def test_a_row_is_a_line_whatever_the_width(board, width):
    text = shown(board, width)
    assert all(len(line) <= width for line in text.splitlines())
    names = [line.split()[1] for line in text.splitlines() if line.strip()[:1].isdigit()]
    assert names == [row["method"] for row in board["rows"]]


def test_the_less_important_columns_go_first(board):
    assert "few" in headings(shown(board, 80))
    assert "ece" not in headings(shown(board, 80))
    narrow = headings(shown(board, 40))
    assert "balanced acc." in narrow
    assert "vs ce" in narrow
    assert "accuracy" not in narrow


def test_rows_are_best_first_with_half_width_and_rule(board):
    text = shown(board, 120)
    first = board["rows"][0]
    spread = first["metrics"]["balanced_accuracy"]
    line = next(line for line in text.splitlines() if first["method"] in line)
    assert line.split()[0] == "1"
    assert f"{100 * spread['mean']:.1f} ±{50 * (spread['high'] - spread['low']):.1f}" in line
    assert f"{100 * first['versus_ce']['balanced_accuracy']['difference']:+.1f}" in line
    assert "thirds of the classes by training rows" in text


def test_the_selected_epoch_is_shown_where_it_is_judged(board):
    board["select"] = "best_valid"
    text = shown(board, 120)
    assert "epoch chosen on validation" in text
    best = max(board["rows"], key=lambda row: row["selected_metrics"]["balanced_accuracy"]["mean"])
    assert f"{100 * best['selected_metrics']['balanced_accuracy']['mean']:.1f}" in text


def test_names_are_text_not_markup(board):
    board["rows"][0]["method"] = "la(tau=[bold]1[/bold])"
    assert "la(tau=[bold]1[/bold])" in shown(board, 120)


def test_missing_numbers_and_seeds(board):
    board["rows"][0]["n_seeds"] = 1
    board["rows"][1]["metrics"] = {}
    text = shown(board, 120)
    assert "(1 of 3 seeds)" in text
    assert DASH in text


def test_an_empty_leaderboard_is_an_empty_table():
    assert leaderboard_table({}, width=80).row_count == 0
