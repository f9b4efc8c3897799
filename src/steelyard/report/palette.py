"""One look a method, the same on every plot: colour, marker and dash."""

from __future__ import annotations

from dataclasses import dataclass

# After Okabe and Ito (2008) and Tol (2021), in an order in which neighbours differ most for all common kinds of colour
# vision; the second of a pair is for a dark background. More methods than colours differ by marker and dash as well.
COLOURS = (
    ("#0072b2", "#4aa8e0"),
    ("#d55e00", "#f08a4b"),
    ("#009e73", "#2fc79c"),
    ("#b5598a", "#dd93bb"),
    ("#c98a00", "#f0b93a"),
    ("#3b9fd1", "#8fd3f7"),
    ("#7a2550", "#c97aa3"),
    ("#33877a", "#6cc7ba"),
    ("#78782a", "#c3c36a"),
    ("#4338a8", "#9b93f0"),
)
NEUTRAL = ("#5b6068", "#b4bac4")
SYMBOLS = ("circle", "square", "diamond", "triangle-up", "cross")
DASHES = ("solid", "dashdot", "longdash", "longdashdot", "solid")


@dataclass(frozen=True)
class Look:
    """How a method is drawn: colours on light and dark ground, marker, line."""

    light: str
    dark: str
    symbol: str
    dash: str
    control: bool


def looks(methods: list[str], controls: set[str]) -> dict[str, Look]:
    """Assign a look to every method; plain cross-entropy is grey, controls are dashed (and drawn lighter).

    Args:
        methods: names, in the order of the comparison.
        controls: those that are controls.

    Example:
        >>> looks(["ce", "la"], {"ce"})["ce"].dash
        'dash'
    """
    chosen: dict[str, Look] = {}
    others = [name for name in methods if name != "ce"]
    for index, name in enumerate(others):
        light, dark = COLOURS[index % len(COLOURS)]
        lap = index // len(COLOURS) % len(SYMBOLS)
        control = name in controls
        chosen[name] = Look(light, dark, SYMBOLS[lap], "dash" if control else DASHES[lap], control)
    if "ce" in methods:
        chosen["ce"] = Look(*NEUTRAL, "circle", "dash", True)
    return chosen
