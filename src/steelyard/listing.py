"""What exists, as tables for a terminal: methods and data sets."""

from __future__ import annotations

import inspect
from collections.abc import Iterator

from rich.console import RenderableType
from rich.markup import escape
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from steelyard.settings import describe_methods, resolve_method


def methods_table() -> Table:
    """Every method: name, summary, words and source."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), show_edge=False)
    for column in ("method", "what it does", "words", "source"):
        table.add_column(column, overflow="fold", no_wrap=column == "method")
    for info in describe_methods():
        words = ", ".join(f"{slot}: {word}" for slot, word in info.words.items()) or "none"
        name = escape(info.name) + (" [dim]control[/dim]" if info.control else "")
        table.add_row(name, escape(info.summary), escape(words), escape(info.source))
    table.caption = "Settings: `steelyard methods NAME`. Controls are the simple baselines that belong beside every comparison."
    table.caption_justify = "left"
    return table


def method_pages(names: tuple[str, ...]) -> Iterator[RenderableType]:
    """A method's settings and its whole docstring."""
    for name in names:
        recipe = resolve_method(name)
        settings = ", ".join(f"{key}={value}" for key, value in recipe.settings.items()) or "no settings"
        yield Text.assemble((recipe.name, "bold"), f"  ({settings})")
        yield Padding(Text(inspect.getdoc(recipe.function) or ""), (0, 0, 1, 2))


def datasets_table() -> Table:
    """Every built-in data set: name, summary, rows, classes, kind."""
    from steelyard.problems import catalogue

    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), show_edge=False)
    for column in ("name", "what it is", "rows", "classes", "kind"):
        table.add_column(column, justify="right" if column in ("rows", "classes") else "left")
    for info in catalogue():
        table.add_row(info.name, escape(info.summary), f"{info.rows:,}", str(info.classes), info.kind)
    return table
