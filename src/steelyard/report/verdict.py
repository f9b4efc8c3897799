"""The headline: which treatment works, by how much, at what cost, and how sure that is."""

from __future__ import annotations

from steelyard.report.board import Versus, estimate, interval_name, judged, ranked, rows_of, versus
from steelyard.report.store import Comparison
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
    tied = [str(row["method"]) for row in with_value if estimate(row, metric.name, epoch).mean == value.mean]
    first = f"{listed(tied)} come{'s' if len(tied) == 1 else ''} first"
    score = f"{in_words(metric)} {metric.text(value.mean)}{metric.unit}"
    if value.low is not None:
        limits = f"{metric.text(value.low)} to {metric.text(value.high)}"
        score += f" ({interval_name(comparison.leaderboard)} {limits})"
    if "ce" in tied:
        doubt = "With 1 seed that may be chance." if seeds == 1 and len(rows) > 1 else _close(comparison, tied, seeds)
        return f"No treatment beats plain cross-entropy: {score}.", doubt
    against = versus(comparison.leaderboard, top, metric.name, epoch)
    if against.difference is None:
        return f"{first}: {score}.", _close(comparison, tied, seeds)
    cost = number(top.get("cost_ratio"))
    gain = f"{metric.text(abs(against.difference))}{' points' if metric.percent else ''} "
    gain += "above" if against.difference > 0 else "below"
    price = f", at {ratio_text(cost)} its training cost" if cost is not None and len(tied) == 1 else ""
    sentence = f"{first}: {score}, {gain} plain cross-entropy{price}."
    return sentence, f"{_trust(against, metric, seeds)} {_close(comparison, tied, seeds)}".strip()


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


def _close(comparison: Comparison, first: list[str], seeds: int) -> str:
    """Who cannot be told from the first: the store pairs the methods by seed; overlap of intervals decides nothing."""
    level = comparison.leaderboard.get("near_best")
    near = [str(name) for name in level if name not in first] if isinstance(level, list) and seeds > 1 else []
    if not near:
        return ""
    it, their = ("it" if len(first) == 1 else "them"), ("its" if len(near) == 1 else "their")
    return f"{listed(near)} cannot be told from {it}: {their} paired difference includes zero."


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
