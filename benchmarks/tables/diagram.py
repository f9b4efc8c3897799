"""The critical-difference diagram as SVG: mean ranks on a line, bars over those that do not differ."""

from __future__ import annotations

from html import escape

from benchmarks.tables.statistics import Ranking

WIDTH, MARGIN, TOP, ROW, BAR = 760, 210, 58, 20, 9
STYLE = "font-family:system-ui,sans-serif;font-size:13px"


def diagram(ranking: Ranking, title: str) -> str:
    """Draw it; the better half is named on the left, the other on the right.

    Args:
        ranking: mean ranks and cliques.
        title: above the diagram.
    """
    names = list(ranking.ranks)
    half = (len(names) + 1) // 2
    bars_end = TOP + 14 + BAR * len(ranking.cliques)
    height = bars_end + ROW * half + 24

    def x(value: float) -> float:
        return MARGIN + (WIDTH - 2 * MARGIN) * (value - 1) / max(len(names) - 1, 1)

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img" style="{STYLE}">',
        f"<title>{escape(title)}</title>",
        f'<rect width="{WIDTH}" height="{height}" fill="#ffffff"/>',
        f'<text x="{WIDTH / 2}" y="20" text-anchor="middle" font-weight="600">{escape(title)}</text>',
        _line(x(1), TOP, x(len(names)), TOP, "#222222", 1.2),
    ]
    for tick in range(1, len(names) + 1):
        parts += [_line(x(tick), TOP - 5, x(tick), TOP, "#222222", 1.2), _text(x(tick), TOP - 10, str(tick), "middle")]
    for number, clique in enumerate(ranking.cliques):
        y = TOP + 10 + BAR * number
        ends = [ranking.ranks[name] for name in clique]
        parts.append(_line(x(min(ends)) - 4, y, x(max(ends)) + 4, y, "#222222", 3.5))
    for place, name in enumerate(names):
        left = place < half
        y = bars_end + ROW * ((place if left else len(names) - 1 - place) + 1)
        at = x(ranking.ranks[name])
        end = MARGIN - 12 if left else WIDTH - MARGIN + 12
        colour = "#b3261e" if name.startswith("steelyard") else "#555555"
        label = f"{name}  {ranking.ranks[name]:.2f}" if left else f"{ranking.ranks[name]:.2f}  {name}"
        parts += [_line(at, TOP, at, y, colour, 1), _line(at, y, end, y, colour, 1)]
        parts.append(_text(end + (-5 if left else 5), y + 4, label, "end" if left else "start", colour))
    return "\n".join([*parts, "</svg>"]) + "\n"


def _line(x1: float, y1: float, x2: float, y2: float, colour: str, width: float) -> str:
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="{colour}" stroke-width="{width}"/>'


def _text(x: float, y: float, text: str, anchor: str, colour: str = "#222222") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill="{colour}">{escape(text)}</text>'
