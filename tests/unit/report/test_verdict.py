from __future__ import annotations

from typing import Any

import pytest

from steelyard.report.store import Comparison
from steelyard.report.verdict import facts, verdict
from steelyard.report.vocabulary import METRICS, p_text


def comparison(rows: list[dict[str, Any]], seeds: int = 3, **board: Any) -> Comparison:
    about: dict[str, Any] = {"methods": [{"name": r["method"]} for r in rows], "seeds": list(range(seeds)), "data": {}}
    about |= {"regime": {}, "model": {}, "groups": {}, "versions": {}}
    return Comparison(about, {"metric": "balanced_accuracy", "rows": rows, **board}, [], [], [])


def row(method: str, mean: float, versus: dict[str, Any] | None = None, **more: Any) -> dict[str, Any]:
    spread = {"balanced_accuracy": {"mean": mean, "low": mean - 0.01, "high": mean + 0.01}}
    return {"method": method, "metrics": spread, "versus_ce": {"balanced_accuracy": versus} if versus else None, **more}


def versus(low: float, high: float, p: float | None) -> dict[str, Any]:
    return {"difference": (low + high) / 2, "low": low, "high": high, "p": p, "p_holm": p}


def test_a_clear_lead():
    rows = [row("ce", 0.6), row("la", 0.7, versus(0.08, 0.12, 0.01), cost_ratio=1.02)]
    first, trust = verdict(comparison(rows, near_best=["ldam"]))
    assert first.startswith(
        "la comes first: balanced accuracy 70.0 % (95 % interval 69.0 to 71.0), 10.0 points above plain cross-entropy, at 1.02"
    )
    assert trust.startswith("The difference is clear of chance over 3 seeds (95 % interval +8.0 to +12.0; p = .010")
    assert "ldam cannot be told from it" in trust


@pytest.mark.parametrize(
    ("low", "high", "p", "words"),
    [
        (-0.02, 0.22, 0.3, "may be chance"),
        (0.01, 0.19, 0.06, "do not make a claim"),
        (0.05, 0.15, 0.049, "is clear of chance"),
        (0.05, 0.15, None, "do not make a claim"),
    ],
)
def test_no_claim_beyond_the_corrected_p(low, high, p, words):
    _, trust = verdict(comparison([row("ce", 0.6), row("la", 0.7, versus(low, high, p))]))
    assert words in trust


def test_cross_entropy_may_win():
    first, _ = verdict(comparison([row("ce", 0.7), row("la", 0.6, versus(-0.2, 0.0, 0.2))]))
    assert first.startswith("No treatment beats plain cross-entropy: balanced accuracy 70.0")


def test_equal_means_share_the_first_place():
    lead = versus(0.08, 0.12, 0.01)
    rows = [row("ce", 0.6), row("la", 0.7, lead), row("bs", 0.7, lead), row("ldam", 0.69, lead)]
    first, trust = verdict(comparison(rows, near_best=["bs", "ldam"]))
    assert first.startswith("la and bs come first: balanced accuracy 70.0 %")
    assert "ldam cannot be told from them: its paired difference includes zero." in trust


def test_one_seed_of_cross_entropy_is_no_proof():
    first, trust = verdict(comparison([row("ce", 0.7), row("la", 0.6)], seeds=1))
    assert first.startswith("No treatment beats plain cross-entropy")
    assert trust == "With 1 seed that may be chance."


def test_limits_of_the_verdict_are_possible_values():
    rows = [row("ce", 0.9), row("la", 0.995, versus(-1.4, 1.6, 0.8))]
    first, trust = verdict(comparison(rows))
    assert "98.5 to 100.0" in first
    assert "\N{MINUS SIGN}100.0 to +100.0" in trust


def test_lower_is_better_where_it_is():
    rows = [{"method": name, "metrics": {"ece": {"mean": value}}} for name, value in (("ce", 0.2), ("la", 0.1))]
    first, _ = verdict(comparison(rows, metric="ece"))
    assert first.startswith("la comes first: ECE 10.0 %, 10.0 points below")


def test_the_selected_epoch_decides_where_it_is_judged():
    rows = [row("ce", 0.7), row("la", 0.6)]
    for entry, mean in zip(rows, (0.5, 0.8), strict=True):
        entry["selected_metrics"] = {"balanced_accuracy": {"mean": mean}}
    first, _ = verdict(comparison(rows, select="best_valid"))
    assert first.startswith("la comes first: balanced accuracy 80.0 %, 30.0 points above")


def test_nothing_known_gives_facts_all_the_same():
    assert dict(facts(comparison([])))["Classes"] == "0"


def test_p_never_reads_as_zero_or_as_significant_by_rounding():
    assert p_text(0.0) == "p < .001"
    assert p_text(0.0499) == "p = .050"
    assert p_text(1.0) == "p = 1.00"


def test_every_metric_has_one_direction():
    lower = {name for name, metric in METRICS.items() if not metric.higher_is_better}
    assert lower == {"ece", "classwise_ece", "brier", "log_loss", "zero_recall_classes"}
