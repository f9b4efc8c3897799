from __future__ import annotations

from rich.console import Console, RenderableType

from steelyard.listing import datasets_table, method_pages, methods_list
from steelyard.problems import catalogue
from steelyard.settings import describe_methods


def shown(what: RenderableType) -> str:
    console = Console(width=400, record=True, file=None, quiet=False)
    with console.capture() as capture:
        console.print(what)
    return capture.get()


def test_every_method_has_its_line_words_and_source() -> None:
    text = shown(methods_list(400))
    for info in describe_methods():
        (line,) = [line for line in text.splitlines() if line.startswith(f"{info.name} ")]  # the rest of a line is set in
        assert info.summary in line
        assert info.source[:60] in line
        assert all(f"{slot}: {word}" in line for slot, word in info.words.items())


def test_in_a_narrow_terminal_they_are_blocks() -> None:
    text = shown(methods_list(80))
    assert all(f"\n    {info.summary}" in text and info.source[:60] in text for info in describe_methods())


def test_every_data_set_has_its_line() -> None:
    text = shown(datasets_table())
    for info in catalogue():
        (line,) = [line for line in text.splitlines() if line.startswith(f"{info.name} ")]  # the rest of a line is set in
        assert f"{info.rows:,}" in line


def test_a_page_holds_settings_and_docstring() -> None:
    text = "".join(shown(part) for part in method_pages(("ldam-drw",)))
    assert "max_margin=0.5" in text
    assert "Departures:" in text
