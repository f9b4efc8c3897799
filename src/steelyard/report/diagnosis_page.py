"""The report of a diagnosis: what kind of imbalance the data have, what it will cost, and what to try."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from steelyard.core.errors import DataError, SteelyardError
from steelyard.report.html import render, write_page
from steelyard.report.models_page import models_page
from steelyard.report.vocabulary import DASH, number

Json = dict[str, Any]
SCRIPTS = ("base.js", "regimes.js", "diagnosis.js")
FILE = "diagnosis.json"
MOST_CLASSES = 50
"""Classes that the table shows; of more, those with the lowest predicted recall."""
MOST_PLACES = 200
"""Classes that the map shows."""
FAR = 0.15
"""Recall on rows held out that is so far from the prediction is said in the headline."""
WIDE = 0.1
"""Bounds of a recall that are so far apart are said in the headline."""
MOST_COLUMNS = 200
"""Columns of the table that the page lists; of more, those left out and those with missing values first."""


def write_diagnosis(folder: Path, facts: Json) -> Path:
    """Write FOLDER/diagnosis.json and FOLDER/report.html.

    Args:
        folder: is made where it is not there.
        facts: of `steelyard.diagnosis.diagnose`, or of `diagnose_models`, with "command".

    Raises:
        SteelyardError: they cannot be written there.
    """
    folder = Path(folder)
    text = json.dumps(facts, indent=1, allow_nan=False, ensure_ascii=False) + "\n"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / FILE).write_text(text, encoding="utf-8")
    except OSError as error:
        raise SteelyardError(f"the diagnosis cannot be written to {folder}: {error.strerror or error}") from error
    return write_diagnosis_report(folder)


def write_diagnosis_report(folder: Path) -> Path:
    """Write FOLDER/report.html from the diagnosis.json that is there.

    Raises:
        DataError: there is no readable diagnosis.json.
        SteelyardError: the page cannot be written.
    """
    path = Path(folder) / FILE
    try:
        facts = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise DataError(f"there is no {path}: write it with `steelyard diagnose DATA --out {folder}`") from None
    except (OSError, ValueError) as error:
        raise DataError(f"cannot read {path} ({error}): diagnose the data again") from None
    page = models_page(facts) if "models" in facts else render("diagnosis.html", SCRIPTS, context(facts))
    return write_page(Path(folder) / "report.html", page)


def context(facts: Json) -> Json:
    """What the template shows, numbers as text; the scripts get the numbers."""
    data, lines = facts["data"], facts["classes"]
    return {
        "title": data["name"],
        "verdict": verdict(facts),
        "trust": trust(facts),
        "facts": headline_facts(facts),
        "classes": [class_line(line) for line in lines[:MOST_CLASSES]],
        "cut": len(lines) > MOST_CLASSES,
        "several": len(lines) > 2,
        "advice": facts["advice"],
        "lost": lost_lines(facts),
        "columns": [_column(column) for column in _columns(data["columns"])],
        "more_columns": max(len(data["columns"]) - MOST_COLUMNS, 0),
        "notes": facts["notes"],
        "command": facts["command"],
        "curve": facts["curve"],
        "measured_note": _measured_note(facts["curve"]["measured"]),
        "data": _payload(facts),
        "dash": DASH,
    }


def verdict(facts: Json) -> str:
    """What a plain linear classifier would make of the class that is worst off, in one sentence."""
    worst = facts["classes"][0]
    now, then = percent(worst["recall"]), percent(worst["adjusted"])
    held, low, high = (number(worst[key]) for key in ("held_out", "recall_low", "recall_high"))
    wide = low is not None and high is not None and high - low > WIDE
    bounds = f" (between {percent(low)} and {percent(high)})" if wide else ""
    found = f"{facts['taxonomy']['regime']}: a plain linear classifier would find {now} of '{worst['name']}'{bounds}"
    gain = (number(worst["adjusted"]) or 0.0) - (number(worst["recall"]) or 0.0)
    said = f"{found}, and {then} once its scores are adjusted to equal classes." if gain > 0.01 else f"{found}."
    if held is None or low is None or high is None or low - FAR <= held <= high + FAR:
        return said
    return f"{said} Rows held out say {percent(held)}: the closed forms do not fit these data, so trust that."


def trust(facts: Json) -> str:
    """What the predictions rest on, and whether held-out rows agree."""
    worst = facts["classes"][0]
    base = "Predicted from the ratio of the classes, rows to a feature, and the distance of the class means"
    held = number(worst["held_out"])
    checked = f"; on rows held out it was {percent(held)}" if held is not None else ""
    return f"{base}{checked}. Nothing was trained but linear discriminant analysis; the thresholds of the regimes are ours."


def headline_facts(facts: Json) -> list[tuple[str, str]]:
    """The grid under the headline: label and value."""
    data, found = facts["data"], facts["taxonomy"]
    eta, delta = found["intervals"]["eta"], found["intervals"]["delta"]
    pair = f"'{facts['lost']['minority']}' and '{facts['lost']['majority']}'"
    known = "distance of the means" if _kind(facts) == "mahalanobis" else "reached on rows held out"
    rows = f"{data['rows']:,}" + ("" if data["measured"] == data["rows"] else f", {data['measured']:,} of them measured")
    given = f"{data['used']:,}" + ("" if data["used"] == data["features"] else f" that count, of {data['features']:,}")
    return [
        ("Rows", rows),
        ("Features", given),
        ("Target", f"{data['target']}: {len(data['class_names']):,} classes"),
        ("eta, largest class to smallest", f"{data['eta']:,.4g}{_span(eta)}"),
        ("kappa, rows to a feature", f"{found['kappa']:,.3g}; of the smallest class {found['kappas']['n_min/d']:.3g}"),
        (f"delta, {known}", f"{_figure(found['delta'])}{_span(delta)}, {pair}"),
        ("Regime", found["regime"]),
        ("Covariance", f"shrunk by {found['shrinkage']:.2f}" if found["shrunk"] else "pooled, as it is"),
    ]


def _measured_note(measured: Json | None) -> str:
    """What the squares of the curve are."""
    if measured is None:
        return ""
    return (
        f"The squares are measured: discriminant analysis fitted to {measured['rows']:,} of your rows at one ratio after "
        f"another, mean and range of {measured['draws']} draws."
    )


def _kind(facts: Json) -> str:
    """Of the separability of the worst pair: "mahalanobis" or "achievable"."""
    pairs = facts["taxonomy"]["pairs"]
    return str(pairs[facts["taxonomy"]["worst"] if len(pairs) > 1 else 0]["delta_kind"])


def class_line(line: Json) -> Json:
    """A line of the table of classes, as text."""
    low, high = number(line["recall_low"]), number(line["recall_high"])
    bounds = f" ({100 * low:.0f} to {100 * high:.0f})" if low is not None and high is not None and high - low > 0.005 else ""
    return {
        "name": line["name"],
        "rows": f"{line['rows']:,}",
        "eta": f"{line['eta']:,.3g}",
        "confuser": line["confuser"],
        "delta": _figure(line["delta"]),
        "recall": percent(line["recall"]) + bounds,
        "adjusted": percent(line["adjusted"]),
        "limit": percent(line["limit"]),
        "held_out": percent(line["held_out"]),
        "regime": line["regime"],
    }


def lost_lines(facts: Json) -> list[Json]:
    """Where the recall of the class that is worst off went: share, words and cure; empty where it cannot be known."""
    lost = facts["lost"]
    if number(lost["ideal"]) is None:
        return []
    parts = (
        ("prior", "to the ratio of the classes", "logit adjustment, a threshold, weights"),
        ("count_bias", "to an intercept that unequal counts bias", "a corrected intercept"),
        ("estimation", "to means and covariance from few rows", "more rows, fewer or better features, regularisation"),
    )
    return [{"name": name, "share": percent(lost[name]), "words": words, "cure": cure} for name, words, cure in parts]


def percent(value: float | None) -> str:
    """A share as text; a dash where there is none."""
    share = number(value)
    return DASH if share is None else f"{100 * share:.1f} %"


def _figure(value: float | None) -> str:
    shown = number(value)
    return DASH if shown is None else f"{shown:.3g}"


def _span(interval: list[float | None]) -> str:
    low, high = (number(value) for value in interval)
    if low is None:
        return ""
    return f" ({low:,.3g} to {high:,.3g})" if high is not None else f" (at least {low:,.3g})"


def _columns(columns: list[Json]) -> list[Json]:
    if len(columns) <= MOST_COLUMNS:
        return columns
    return sorted(columns, key=lambda column: (column["used"], -column["missing"]))[:MOST_COLUMNS]


def _column(column: Json) -> Json:
    return {
        "name": column["name"],
        "kind": column["kind"],
        "missing": percent(column["missing"]) if column["missing"] else "none",
        "use": "used" if column["used"] else "left out",
        "note": column["note"] or DASH,
    }


def _payload(facts: Json) -> Json:
    """What the scripts draw. `methods`, `shown` and `epoch` are what the shared scripts expect of any page."""
    places = facts["map"]["places"]
    order = sorted(range(len(places)), key=lambda i: places[i]["recall"] if places[i]["recall"] is not None else 2.0)
    return {
        "methods": [],
        "shown": [],
        "epoch": "last",
        "curve": facts["curve"],
        "map": facts["map"] | {"places": [places[i] for i in order[:MOST_PLACES]]},
    }
