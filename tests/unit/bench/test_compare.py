from __future__ import annotations

from typing import Any

import pytest
from scipy import stats

from steelyard.bench.compare import leaderboard
from steelyard.bench.words import notes, verdict
from steelyard.core.errors import ArgumentError, UnknownName

VALUES = {"ce": (0.60, 0.62, 0.61, 0.63), "la": (0.70, 0.73, 0.70, 0.74), "focal": (0.61, 0.60, 0.62, 0.63)}


def records(values: dict[str, tuple[float | None, ...]], seconds: dict[str, float] | None = None) -> list[dict[str, Any]]:
    pace = seconds or {}
    return [
        {
            "problem": "digits",
            "regime": "quick",
            "method": method,
            "seed": seed,
            "metrics": {"balanced_accuracy": value, "log_loss": None if value is None else 1 - value},
            "seconds_per_step": pace.get(method, 0.01),
            "seconds": 2.0,
            "peak_memory_mb": 100.0,
        }
        for method, column in values.items()
        for seed, value in enumerate(column)
    ]


def test_means_intervals_and_paired_tests_are_those_of_scipy() -> None:
    board = leaderboard(records(VALUES))
    rows = {row["method"]: row for row in board["rows"]}
    assert [row["method"] for row in board["rows"]] == ["la", "focal", "ce"] or rows["focal"]["rank"] == rows["ce"]["rank"]
    numbers = rows["la"]["metrics"]["balanced_accuracy"]
    low, high = stats.t.interval(0.95, 3, loc=0.7175, scale=stats.sem(VALUES["la"]))
    assert (numbers["mean"], numbers["low"], numbers["high"]) == pytest.approx((0.7175, low, high))
    versus = {name: rows[name]["versus_ce"]["balanced_accuracy"] for name in ("la", "focal")}
    plain = {name: stats.ttest_rel(VALUES[name], VALUES["ce"]).pvalue for name in versus}
    assert versus["la"]["p_t"] == pytest.approx(plain["la"])
    smaller = min(entry["p"] for entry in versus.values())
    assert min(entry["p_holm"] for entry in versus.values()) == pytest.approx(min(1.0, 2 * smaller))
    assert rows["ce"]["versus_ce"] is None


def test_lower_is_better_where_it_is() -> None:
    assert next(row["method"] for row in leaderboard(records(VALUES), metric="log_loss")["rows"]) == "la"


def test_cost_is_the_ratio_of_medians() -> None:
    board = leaderboard(records(VALUES, {"ce": 0.010, "la": 0.015, "focal": 0.010}))
    assert {row["method"]: row["cost_ratio"] for row in board["rows"]} == pytest.approx({"la": 1.5, "ce": 1.0, "focal": 1.0})


def test_equal_means_share_a_rank_and_undefined_ones_have_none() -> None:
    board = leaderboard(records({"ce": (0.5, 0.5), "la": (0.5, 0.5), "gla": (None, None)}))
    assert {row["method"]: row["rank"] for row in board["rows"]} == {"ce": 1, "la": 1, "gla": None}
    assert board["rows"][-1]["method"] == "gla"


def test_missing_runs_are_named_and_do_not_spoil_the_pairs() -> None:
    board = leaderboard(records({"ce": (0.6, 0.62, 0.61), "la": (0.7, 0.72)}), seeds=(0, 1, 2))
    assert "la has no finished run with seed 2" in board["notes"]
    assert any("means over different seeds" in note for note in board["notes"])
    versus = next(row for row in board["rows"] if row["method"] == "la")["versus_ce"]["balanced_accuracy"]
    assert versus["n"] == 2
    assert versus["difference"] == pytest.approx(0.1)


def test_what_seeds_do_not_cover_is_said() -> None:
    assert any("not what other test rows would give" in note for note in leaderboard(records(VALUES))["notes"])


def test_runs_of_several_machines_are_named() -> None:
    alike = [record | {"device": "cpu", "threads": 1, "versions": {"torch": "2.9"}} for record in records(VALUES)]
    assert not any("different" in note for note in leaderboard(alike)["notes"])
    for name, change in {"devices (cpu, cuda:0)": {"device": "cuda:0"}, "threads (1, 4)": {"threads": 4}}.items():
        notes = leaderboard([*alike[:-1], alike[-1] | change])["notes"]
        assert [note for note in notes if name in note]


def test_without_the_reference_nothing_is_claimed_about_it() -> None:
    board = leaderboard(records({"la": (0.7, 0.72), "focal": (0.6, 0.62)}))
    assert all(row["versus_ce"] is None and row["cost_ratio"] is None for row in board["rows"])
    assert any("ce has no finished run" in note for note in board["notes"])
    assert "ce" not in board["verdict"].split()


def test_one_seed_is_called_what_it_is() -> None:
    board = leaderboard(records({"ce": (0.6,), "la": (0.7,)}))
    assert any("one seed shows neither" in note for note in board["notes"])
    assert "one paired seed cannot say whether that is chance" in board["verdict"]


def test_the_rule_of_the_groups_is_printed() -> None:
    board = leaderboard(records(VALUES), groups_rule="thirds")
    assert board["groups_rule"] == "thirds"
    assert board["notes"].count("many / medium / few: thirds") <= 1


def test_a_plain_win_of_the_reference_is_said() -> None:
    board = leaderboard(records({"ce": (0.9, 0.91, 0.92), "la": (0.5, 0.52, 0.51)}))
    assert "No other method has a better mean than plain ce" in board["verdict"]
    assert board["near_best"] == []


def test_verdict_and_notes_survive_a_board_without_numbers() -> None:
    board = leaderboard(records({"ce": (None,), "la": (None,)}))
    assert board["verdict"] == "No finished run has a balanced accuracy."
    bare = {key: value for key, value in board.items() if key not in ("verdict", "notes")}
    assert verdict(bare, None, has_reference=True) == board["verdict"]
    assert notes(bare, None, has_reference=True)


def test_what_cannot_be_compared_is_refused() -> None:
    two = records(VALUES)
    with pytest.raises(UnknownName, match="did you mean 'accuracy'"):
        leaderboard(two, metric="acuracy")
    with pytest.raises(ArgumentError, match="at least one finished run"):
        leaderboard([])
    with pytest.raises(ArgumentError, match="one problem"):
        leaderboard([*two, two[0] | {"problem": "wine"}])
    with pytest.raises(ArgumentError, match="two of ce with seed 0"):
        leaderboard([*two, two[0]])
    with pytest.raises(ArgumentError, match="select"):
        leaderboard(two, select="best_test")
