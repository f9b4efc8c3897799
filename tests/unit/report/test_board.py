"""The cells of the leaderboard: what is printed, what sorts, what is cut."""

from __future__ import annotations

import pytest

from steelyard.report.board import Estimate, board, cut_anywhere, estimate, interval_name, judged, ranked, versus
from steelyard.report.vocabulary import DASH, METRICS

PM = "\N{PLUS-MINUS SIGN}"


def row(method, mean=0.5, low=None, high=None, name="balanced_accuracy", **more):
    return {"method": method, "metrics": {name: {"mean": mean, "low": low, "high": high, "values": [mean]}}, **more}


@pytest.mark.parametrize(
    ("name", "low", "high", "text"),
    [
        ("accuracy", 0.4, 0.6, f"{PM}10.0"),
        ("accuracy", 0.2, 1.3, f"20.0{DASH}100"),
        ("accuracy", -0.2, 0.7, f"0{DASH}70.0"),
        ("mcc", -1.5, 0.75, "\N{MINUS SIGN}1.000 to 0.750"),
        ("brier", -0.5, 1.5, f"0.000{DASH}1.500"),
        ("log_loss", 0.25, 9.0, f"0.250{DASH}9.000"),
        ("a metric of the user's", -3.0, 4.0, f"{PM}3.500"),
    ],
)
def test_an_interval_keeps_to_what_the_metric_can_be(name, low, high, text):
    from steelyard.report.vocabulary import metric_of

    found = estimate(row("la", 0.5, low, high, name), name)
    assert found.span(metric_of(name)) == text
    assert found.cut == (low < -1 or high > 1 or low < 0) * (name in METRICS and name not in ("log_loss",))


def test_no_interval_no_text():
    assert Estimate(0.5).span(METRICS["accuracy"]) == ""
    assert Estimate().span(METRICS["accuracy"]) == ""


def test_what_is_sorted_and_ranked_is_not_what_is_cut():
    leaderboard = {"metric": "balanced_accuracy", "rows": [row("la", 0.9, 0.7, 1.1), row("ce", 0.9, 0.8, 1.0), row("bs", 0.8)]}
    view = board(leaderboard, "last")
    assert [(line.method, line.rank) for line in view.lines] == [("la", 1), ("ce", 1), ("bs", 3)]
    assert [line.main.value for line in view.lines] == [0.9, 0.9, 0.8]
    assert [line.main.best for line in view.lines] == [True, True, False]
    assert max(line.strip["high"] or 0 for line in view.lines) <= 100
    assert cut_anywhere(leaderboard)
    assert not cut_anywhere({"rows": [row("ce", 0.9, 0.8, 1.0)]})


def test_lower_is_better_ranks_upside_down_and_the_missing_last():
    rows = [row("none", None, name="ece"), row("bad", 0.3, name="ece"), row("good", 0.1, name="ece")]
    assert [r["method"] for r in ranked(rows, METRICS["ece"], "last")] == ["good", "bad", "none"]


def test_differences_have_a_test_for_the_judged_epoch_only():
    entry = {"difference": 0.2, "low": 0.1, "high": 1.6, "p": 0.01, "p_holm": 0.02}
    la = row("la", 0.7, selected_metrics={"balanced_accuracy": {"mean": 0.8}}, versus_ce={"balanced_accuracy": entry})
    ce = row("ce", 0.5, selected_metrics={"balanced_accuracy": {"mean": 0.5}})
    leaderboard = {"metric": "balanced_accuracy", "select": "last", "rows": [la, ce]}
    assert judged(leaderboard) == "last"
    tested = versus(leaderboard, la, "balanced_accuracy", "last")
    assert (tested.difference, tested.low, tested.high, tested.p_holm) == (0.2, 0.1, 1.0, 0.02)
    other = versus(leaderboard, la, "balanced_accuracy", "best_valid")
    assert other.difference == pytest.approx(0.3)
    assert other.p_holm is None
    assert versus(leaderboard, ce, "balanced_accuracy", "last").difference is None


def test_intervals_say_what_they_are_over():
    assert interval_name({}) == "95 % interval"
    assert interval_name({"intervals_over": "rows"}) == "95 % interval over test rows"
