"""What exists, as tables for a terminal: methods and data sets."""

from __future__ import annotations

import inspect
from collections.abc import Iterator

from rich.console import Group, RenderableType
from rich.markup import escape
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from steelyard.settings import MethodInfo, data_kinds, describe_methods, known_names, parameters_of, resolve_method
from steelyard.settings.text import format_value

WIDE = 200
"""Columns from which a method fits on a line."""

CAPTION = "Settings: `steelyard methods NAME`. Controls are the simple baselines that belong beside every comparison."


def methods_list(width: int) -> RenderableType:
    """Every method: name, summary, words and source; on a line each where there is room."""
    return _methods_table() if width >= WIDE else Group(*_methods_in_blocks())


def _methods_in_blocks() -> Iterator[RenderableType]:
    for info in describe_methods():
        name = Text.assemble((info.name, "bold"), (f"  {_standing(info)}", "dim"))
        words = ", ".join(f"{slot}: {word}" for slot, word in info.words.items()) or "no word changed"
        yield name
        yield Padding(Text.assemble(info.summary, "\n", words, "\n", (info.source, "dim")), (0, 0, 1, 4))
    yield Text(CAPTION, style="italic")


def _methods_table() -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), show_edge=False)
    for column in ("method", "", "what it does", "words", "source"):
        table.add_column(column, overflow="fold")
    for info in describe_methods():
        words = ", ".join(f"{slot}: {word}" for slot, word in info.words.items()) or "none"
        table.add_row(
            escape(info.name), f"[dim]{_standing(info)}[/dim]", escape(info.summary), escape(words), escape(info.source)
        )
    table.caption = CAPTION
    table.caption_justify = "left"
    return table


def _standing(info: MethodInfo) -> str:
    """What a reader should know first: a control, or of use for one kind of data only."""
    return f"for {info.of}" if info.of else "control" if info.control else ""


def tasks_list() -> RenderableType:
    """Every kind of data with a protocol of its own: name, what it is, and its settings with their defaults."""
    from steelyard.problems import kind_function, kinds

    blocks: list[RenderableType] = []
    for name in kinds():
        function = kind_function(name)
        known = parameters_of(function).values()
        settings = ", ".join(f"{p.name}={format_value(p.default)}" for p in known if not p.positional)
        summary = (inspect.getdoc(function) or "").partition("\n")[0]
        methods = ", ".join(known_names("method", name)) if name in data_kinds() else ""
        lines = Text.assemble(
            summary, "\n", f"settings: {settings or 'none'}", f"\nmethods of its own: {methods}" if methods else ""
        )
        blocks += [Text(name, style="bold"), Padding(lines, (0, 0, 1, 4))]
    blocks.append(Text("Use: steelyard compare DATA --task 'NAME(setting=value, ...)'.", style="italic"))
    return Group(*blocks)


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
