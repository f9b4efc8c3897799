from __future__ import annotations

import io
from typing import Any

from rich.console import Console

from steelyard.report.trials import trials_in_words, trials_table


def trial(number: int, value: float | None, **more: Any) -> dict[str, Any]:
    state = "complete" if value is not None else "pruned"
    settings = {"tau": 1.0 + number, "clip": None, "flag": True}
    return {
        "number": number,
        "state": state,
        "value": value,
        "settings": settings,
        "default": number == 0,
        "seconds": 1.0,
    } | more


def study(*trials: dict[str, Any], **more: Any) -> dict[str, Any]:
    complete = [row for row in trials if row["state"] == "complete"]
    best = max(complete, key=lambda row: row["value"], default=None)
    return {
        "metric": "balanced_accuracy",
        "minimise": False,
        "method": "la",
        "space": {"tau": "0..20", "clip": "none|5", "flag": "true|false"},
        "trials": list(trials),
        "importances": None,
        "best": None if best is None else best | {"regime_changes": {}},
        "default": next((row for row in complete if row["default"]), None),
    } | more


def shown(found: dict[str, Any]) -> str:
    out = io.StringIO()
    Console(file=out, width=140).print(trials_table(found))
    return out.getvalue()


def test_the_best_ten_and_the_default_ones_are_shown() -> None:
    text = shown(study(trial(0, 0.1), *(trial(n, 0.1 + n / 100) for n in range(1, 13)), trial(13, None)))
    lines = [line.split() for line in text.splitlines() if line.strip()[:1].isdigit()]
    assert [line[0] for line in lines] == [*map(str, range(1, 11)), "13"]
    assert lines[0][1:5] == ["12", "0.2200", "13", "none"]
    assert lines[-1][1:3] == ["0", "(default)"]
    assert "13 trials to their end, 1 pruned" in " ".join(text.split())


def test_lower_values_first_where_they_are_better() -> None:
    text = shown(study(trial(0, 0.5), trial(1, 0.2), minimise=True))
    assert text.index("0.2000") < text.index("0.5000")


def words(found: dict[str, Any]) -> str:
    return " / ".join(trials_in_words(found))


def test_what_is_said_beside_the_table() -> None:
    assert "0.3000 better than the default settings on the validation rows" in words(study(trial(0, 0.5), trial(1, 0.8)))
    assert "no trial was better than the default settings" in words(study(trial(0, 0.5), trial(1, 0.2)))
    assert "no trial had the default settings to its end" in words(study(trial(1, 0.2)))
    assert words(study(trial(0, None))) == ""
    assert "tau 60 %, lr 40 %" in words(study(trial(0, 0.5), importances={"tau": 0.6, "lr": 0.4}))
    best = trial(1, 0.8) | {"regime_changes": {"lr": 0.1}}
    assert "the regime was chosen for la alone" in words(study(trial(0, 0.5), trial(1, 0.8), best=best))
