"""The report of trained models: geometry beside SELI, recall and what it was lost to, curvature, weights."""

from __future__ import annotations

from typing import Any

from steelyard.metrics.paired import t_interval
from steelyard.report.html import render
from steelyard.report.palette import looks
from steelyard.report.vocabulary import DASH, MINUS, listed, number

Json = dict[str, Any]
SCRIPTS = ("base.js", "regimes.js", "models.js")
SHARES = ("recall", "few", "few_shifted", "few_train")
"""Columns in percent."""
MOST_CLASSES = 60
"""Classes of the table; of more, the rarest."""

COLUMNS = (
    ("method", "Method", "name of the method"),
    ("recall", "Recall", "mean over classes of the recall on test rows"),
    ("few", "Few", "the same for few-shot classes"),
    ("few_shifted", "Few, shifted", "few-shot recall once the scores of whole classes are shifted to suit balanced accuracy"),
    ("few_train", "Few, train", "few-shot recall on training rows"),
    (
        "nc1",
        "NC1",
        "spread of rows about their class mean over the spread of the means, training rows; 0: rows of a class are one",
    ),
    ("cdnv", "CDNV", "the same for pairs of classes, training rows"),
    ("cdnv_test", "CDNV, test", "the same on test rows"),
    ("nc4", "NC4", "share of training rows that the nearest class mean decides otherwise"),
    ("means_seli", "Means to SELI", "distance of the class means' Gram matrix from the one that the counts imply, 0 to 2"),
    ("means_etf", "to ETF", "the same from that of equal counts"),
    ("classifier_seli", "Classifier to SELI", "distance of the classifier's Gram matrix from the one that the counts imply"),
    ("classifier_etf", "to ETF", "the same from that of equal counts"),
    ("norms", "Many/few norm", "norm of many-shot over that of few-shot classifiers"),
    ("few_cosine", "Few cosine", "mean cosine of two few-shot classifiers; 1 is minority collapse"),
)
"""Of the table: key, heading, meaning."""


def models_page(facts: Json) -> str:
    """The page as text.

    Args:
        facts: of `steelyard.diagnosis.diagnose_models`, with "command".
    """
    return render("models.html", SCRIPTS, context(facts))


def context(facts: Json) -> Json:
    """What the template shows, numbers as text; the scripts get the numbers."""
    models = facts["models"]
    curved = [model for model in models if model["curvature"]]
    return {
        "title": facts["data"]["name"],
        "verdict": verdict(facts),
        "facts": headline_facts(facts),
        "columns": COLUMNS,
        "lines": model_lines(facts),
        "names": [model["method"] for model in models],
        "classes": _class_table(facts),
        "cut": len(facts["counts"]) > MOST_CLASSES,
        "curved": [line for model in curved for line in curved_lines(model)],
        "has": {
            "geometry": any(model["geometry"] for model in models),
            "places": bool(facts["inputs"]) or any(model["embeddings"] for model in models),
            "weights": any(model["weights"] for model in models),
            "curvature": bool(curved),
            "part": len(facts["shown"]) < len(facts["counts"]),
        },
        "shown": len(facts["shown"]),
        "notes": [*facts["notes"], *(f"{model['method']}: {note}" for model in models for note in model["notes"])],
        "command": facts["command"],
        "data": _payload(facts),
        "dash": DASH,
    }


def headline_facts(facts: Json) -> list[tuple[str, str]]:
    """The grid under the headline: label and value."""
    data, counts = facts["data"], [n for n in facts["counts"] if n > 0]
    rows = ", ".join(f"{n:,} {split}" for split, n in data["rows"].items())
    grid = [
        ("Rows", rows),
        ("Classes", f"{len(facts['counts']):,}"),
        ("Largest class to smallest", f"{max(counts) / min(counts):,.4g}"),
        ("Many / medium / few", str(facts["groups"]["rule"])),
        ("Models", f"{len(facts['models'])}, as they were after the last epoch"),
    ]
    if "seed" in facts:
        grid.append(("Seeds" if "," in str(facts["seed"]) else "Seed", str(facts["seed"])))
    if "regime" in facts:
        grid.append(("Regime of training", str(facts["regime"])))
    return grid


def verdict(facts: Json) -> list[str]:
    """What there is to say, in a few sentences."""
    said = []
    group, words = ("few", "few-shot classes") if _best(facts, "few") else ("all", "all classes")
    best = _best(facts, group)
    if best is not None:
        said.append(_found(facts, best, group, words))
        said += _lost(facts, best, group, words)
    collapsed = [model["method"] for model in facts["models"] if model["geometry"] and model["geometry"]["collapsed"]]
    if collapsed:
        what = "classifiers of few-shot classes point the same way (minority collapse)"
        said.append(f"In {listed(collapsed)} the {what}.")
    return said


def _best(facts: Json, group: str) -> Json | None:
    """The model with the highest test recall of a group; None where that is not known of any."""
    known = [model for model in facts["models"] if number(model["groups"].get(group, {}).get("recall")) is not None]
    return max(known, key=lambda model: float(model["groups"][group]["recall"])) if known else None


def _found(facts: Json, best: Json, group: str, words: str) -> str:
    """Who finds most of the rows of a group; equal ones, as they are shown, are named together."""
    share, rows = _percent(best["groups"][group]["recall"]), f"of the test rows of {words}"
    names = [model["method"] for model in facts["models"]]
    equal = [one["method"] for one in facts["models"] if _percent(one["groups"].get(group, {}).get("recall")) == share]
    if share == _percent(0.0):
        return f"{'None of these models' if len(names) > 1 else names[0]} finds {'any' if len(names) > 1 else 'none'} {rows}."
    if len(equal) == len(names) > 1:
        return f"All of these models find {share} {rows}."
    found = f"{listed(equal)} find{'' if len(equal) > 1 else 's'} {share} {rows}"
    return f"{found}{', the most of these models' if len(names) > 1 else ''}."


def _lost(facts: Json, model: Json, group: str, words: str) -> list[str]:
    """What the rest was lost to, in points of recall."""
    members = facts["groups"].get(group, range(len(facts["counts"])))
    parts = {}
    for name in ("shift", "rows", "fit"):
        values = [number(model["classes"][c]["lost"][name]) for c in members]
        kept = [value for value in values if value is not None]
        if not kept:
            return []
        parts[name] = sum(kept) / len(kept)
    if sum(parts.values()) < 0.005:
        return []
    points = {name: f"{100 * value:.1f}".replace("-", MINUS) for name, value in parts.items()}
    return [
        f"Of the {100 * sum(parts.values()):.1f} points that it lacks there, {points['shift']} would come back with a shift of "
        f"whole classes' scores, {points['rows']} are lost between training rows and new ones, and {points['fit']} were "
        "never learnt."
    ]


def model_lines(facts: Json) -> list[Json]:
    """A line a model, as text, by the keys of `COLUMNS`."""
    return [_line(model) for model in facts["models"]]


def numbers_of(model: Json) -> Json:
    """The numbers of a model by the keys of `COLUMNS`, None where one was not measured."""
    shape = model["geometry"] or {}
    means, head = shape.get("means") or {}, shape.get("classifier") or {}
    few = model["groups"].get("few", {})
    values: Json = {
        "recall": model["groups"]["all"]["recall"],
        "few": few.get("recall"),
        "few_shifted": few.get("shifted"),
        "few_train": few.get("train_recall"),
        "nc1": shape.get("nc1"),
        "cdnv": shape.get("cdnv"),
        "cdnv_test": (model["held_out"] or {}).get("cdnv"),
        "nc4": shape.get("nc4"),
        "means_seli": means.get("to_seli"),
        "means_etf": means.get("to_etf"),
        "classifier_seli": head.get("to_seli"),
        "classifier_etf": head.get("to_etf"),
        "norms": head.get("many_to_few"),
        "few_cosine": head.get("few_cosine"),
    }
    return {key: number(value) for key, value in values.items()}


def _line(model: Json) -> Json:
    shown: Json = {"method": model["method"]}
    for key, value in numbers_of(model).items():
        written = _percent if key in SHARES else _figure
        known = [one for one in model.get("over_seeds", {}).get(key, ()) if one is not None]
        if len(known) < 2:
            shown[key] = written(value)
            continue
        mean, _, high = t_interval(known)
        shown[key] = f"{written(mean).removesuffix(' %')} ±{written(high - mean)}"
    return shown


def _class_table(facts: Json) -> list[Json]:
    """Recall of each class by method, the rarest class last, as text."""
    counts = facts["counts"]
    order = sorted(range(len(counts)), key=lambda c: -counts[c])[-MOST_CLASSES:]
    return [
        {
            "name": facts["models"][0]["classes"][c]["name"],
            "rows": f"{counts[c]:,}",
            "cells": [
                f"{_percent(model['classes'][c]['recall'])} / {_percent(model['classes'][c]['train_recall'])}"
                for model in facts["models"]
            ],
        }
        for c in order
    ]


def curved_lines(model: Json) -> list[Json]:
    """A line for each group, or each class of two or three, of one model's curvature, as text."""
    found = model["curvature"]
    parts = found["means"].items() if found["means"] else ((part["name"], part) for part in found["parts"])
    lines = []
    for name, part in parts:
        low, high = part["intervals"]["lambda_max"]
        below, above = part["intervals"]["trace"]
        lines.append(
            {
                "method": model["method"],
                "part": name,
                "lambda_max": f"{_figure(part['lambda_max'])}{_span(low, high)}",
                "lambda_min": _figure(part["lambda_min"]),
                "trace": f"{_figure(part['trace'])}{_span(below, above)}",
            }
        )
    return lines


def _span(low: float | None, high: float | None) -> str:
    return f" ({_figure(low)} to {_figure(high)})" if number(low) is not None and number(high) is not None else ""


def _percent(value: Any) -> str:
    share = number(value)
    return DASH if share is None else f"{100 * share:.1f} %"


def _figure(value: Any) -> str:
    shown = number(value)
    return DASH if shown is None else f"{shown:.3g}".replace("-", MINUS)


def _payload(facts: Json) -> Json:
    """What the scripts draw. `methods`, `shown` and `epoch` are what the shared scripts expect of any page."""
    names = [model["method"] for model in facts["models"]]
    drawn = looks(names, set())
    keys = ("classes", "grams", "embeddings", "weights")
    models = [
        {"name": model["method"], "light": drawn[model["method"]].light, "dark": drawn[model["method"]].dark}
        | {"symbol": drawn[model["method"]].symbol}
        | {key: model[key] for key in keys}
        | {"curvature": _spectra(model["curvature"])}
        for model in facts["models"]
    ]
    return {
        "methods": [],
        "shown": [],
        "epoch": "last",
        "classes": [str(line["name"]) for line in facts["models"][0]["classes"]],
        "counts": facts["counts"],
        "pictured": facts["shown"],
        "ideal": facts["ideal"],
        "inputs": facts["inputs"],
        "map": facts["map"],
        "models": models,
    }


def _spectra(found: Json | None) -> list[Json] | None:
    """What is drawn of a curvature."""
    keys = ("name", "rows", "lambda_max", "lambda_min", "trace", "intervals", "spectrum", "converged")
    return None if found is None else [{key: part[key] for key in keys} for part in found["parts"]]
