"""The headline: which treatment works, by how much, at what cost, and how sure that is."""

from __future__ import annotations

from steelyard.report.board import Versus, estimate, judged, ranked, rows_of, versus
from steelyard.report.store import Comparison, Json
from steelyard.report.vocabulary import DASH, Metric, in_words, listed, metric_of, number, p_text, ratio_text


def verdict(comparison: Comparison) -> tuple[str, str]:
    """One sentence that says who is ahead, and one that says how much that can be trusted.

    A difference to plain cross-entropy is called clear of chance only where its p value, corrected over all methods
    (Holm), is below .05.
    """
    rows, epoch = rows_of(comparison.leaderboard), epoch_of(comparison)
    metric = metric_of(str(comparison.leaderboard.get("metric") or comparison.about.get("metric") or "balanced_accuracy"))
    with_value = [row for row in ranked(rows, metric, epoch) if estimate(row, metric.name, epoch).mean is not None]
    if not with_value:
        return "No verdict yet.", f"{len(comparison.runs)} runs are finished; the leaderboard has no {in_words(metric)} so far."
    top, seeds = with_value[0], len(comparison.about["seeds"])
    value = estimate(top, metric.name, epoch)
    score = f"{in_words(metric)} {metric.text(value.mean)}"
    score += (f" \N{PLUS-MINUS SIGN} {metric.text(value.half)}" if value.half is not None else "") + metric.unit
    if top["method"] == "ce":
        return (f"No treatment beats plain cross-entropy: {score}.", _close(comparison, top, seeds))
    against = versus(comparison.leaderboard, top, metric.name, epoch)
    if against.difference is None:
        return f"{top['method']} comes first: {score}.", _close(comparison, top, seeds)
    cost = number(top.get("cost_ratio"))
    gain = f"{metric.text(abs(against.difference))}{' points' if metric.percent else ''} "
    gain += "above" if against.difference > 0 else "below"
    price = f", at {ratio_text(cost)} its training cost" if cost is not None else ""
    first = f"{top['method']} comes first: {score}, {gain} plain cross-entropy{price}."
    return first, f"{_trust(against, metric, seeds)} {_close(comparison, top, seeds)}".strip()


def epoch_of(comparison: Comparison) -> str:
    """The epoch that the comparison judges: "last" or "best_valid"."""
    return judged(comparison.leaderboard or comparison.about)


def _trust(against: Versus, metric: Metric, seeds: int) -> str:
    if against.low is None or against.high is None:
        return f"With {_seeds(seeds)} there is no interval for that difference: it may be chance."
    span = f"(95 % interval {metric.signed(against.low)} to {metric.signed(against.high)}"
    span += f"; {p_text(against.p_holm)} after Holm's correction)" if against.p_holm is not None else ")"
    if against.p_holm is not None and against.p_holm < 0.05:
        return f"The difference is clear of chance over {_seeds(seeds)} {span}."
    if against.low <= 0 <= against.high:
        return f"The difference may be chance with {_seeds(seeds)} {span}."
    return f"The interval of the difference leaves out zero, yet {_seeds(seeds)} do not make a claim of it {span}."


def _close(comparison: Comparison, top: Json, seeds: int) -> str:
    """Who cannot be told from the first: the store pairs the methods by seed; overlap of intervals decides nothing."""
    level = comparison.leaderboard.get("level_with_best")
    near = [str(name) for name in level if name != top["method"]] if isinstance(level, list) and seeds > 1 else []
    if not near:
        return ""
    return (
        f"{listed(near)} cannot be told from it: {'its' if len(near) == 1 else 'their'} paired difference to it includes zero."
    )


def _seeds(seeds: int) -> str:
    return "1 seed" if seeds == 1 else f"{seeds} seeds"


def facts(comparison: Comparison) -> list[tuple[str, str]]:
    """What was compared, as label and value."""
    about = comparison.about
    data, regime, model = about["data"], about["regime"], about["model"]
    rows = data.get("rows") if isinstance(data.get("rows"), dict) else {}
    classes = len(comparison.class_names)
    factor, size = number(data.get("imbalance_factor")), comparison.counts
    chosen: list[tuple[str, str]] = [("Data", str(data.get("name") or about.get("task") or DASH))]
    counted = " / ".join(f"{int(rows[split]):,}" for split in ("train", "valid", "test") if number(rows.get(split)) is not None)
    splits = " / ".join(split for split in ("train", "valid", "test") if number(rows.get(split)) is not None)
    chosen.append((f"Rows ({splits})" if splits else "Rows", counted or DASH))
    chosen.append(("Classes", f"{classes:,}" + (f", {min(size):,} to {max(size):,} rows" if size else "")))
    chosen.append(("Imbalance factor", DASH if factor is None else f"{factor:,.3g}" if factor < 1000 else f"{factor:,.0f}"))
    parameters = number(model.get("parameters"))
    chosen.append(("Model", str(model.get("name") or DASH) + (f", {int(parameters):,} parameters" if parameters else "")))
    parts = [
        f"{regime['epochs']} epochs" if "epochs" in regime else "",
        f"batch {regime['batch_size']}" if "batch_size" in regime else "",
    ]
    parts.append(f"{regime['optimizer']}, lr {regime.get('lr', DASH)}" if "optimizer" in regime else "")
    chosen.append(("Regime", ", ".join(part for part in parts if part) or DASH))
    seeds = about["seeds"]
    chosen.append(("Seeds", f"{len(seeds)} ({', '.join(map(str, seeds[:6]))}{', ...' if len(seeds) > 6 else ''})"))
    chosen.append(("Date", str(about.get("created") or DASH)[:16].replace("T", " ")))
    return chosen
