"""README and docs tell the truth: their Python runs, and their commands exist."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

REPO = Path(__file__).resolve().parents[2]
PAGES = [REPO / "README.md", *sorted((REPO / "docs").rglob("*.md"))]
FENCE = re.compile(r"^(?P<indent> *)```(?P<language>[\w-]*)[^\n]*\n(?P<code>.*?)^(?P=indent)```", re.MULTILINE | re.DOTALL)
SKIP = "<!-- not run"
"""An HTML comment just above a block that starts like this keeps it from being run; the reason follows in the comment."""


def blocks(page: Path, *languages: str) -> Iterator[tuple[int, str]]:
    """Line number and code of the fenced blocks in some languages, those marked as not run left out."""
    text = page.read_text(encoding="utf-8")
    for match in FENCE.finditer(text):
        before = text[: match.start()].rstrip().rpartition("\n")[2].strip()
        if match["language"] in languages and not before.startswith(SKIP):
            indent = match["indent"]
            code = "".join(line.removeprefix(indent) for line in match["code"].splitlines(keepends=True))
            yield text.count("\n", 0, match.start()) + 2, code


def with_python() -> list[Path]:
    return [page for page in PAGES if page.is_file() and any(blocks(page, "python"))]


def named(page: Path) -> str:
    return page.relative_to(REPO).as_posix()


@pytest.mark.parametrize("page", with_python(), ids=named)
def test_python_blocks_run(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The blocks of a page are one program, run from top to bottom in an empty folder."""
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {"__name__": "__page__"}
    for line, code in blocks(page, "python"):
        exec(compile("\n" * (line - 1) + code, str(page), "exec"), names)


def of_the_demo() -> list[tuple[str, str]]:
    """What `make demo` would run."""
    if shutil.which("make") is None:
        return []
    done = subprocess.run(["make", "-n", "demo"], cwd=REPO, capture_output=True, text=True, check=True)
    lines = done.stdout.replace("\\\n", " ").splitlines()
    return [("Makefile", "steelyard " + line.partition("/steelyard ")[2]) for line in lines if "/steelyard compare" in line]


def commands() -> list[tuple[str, str]]:
    """Page and text of every `steelyard ...` command in a shell block, continued lines joined, and of the demo's."""
    found = of_the_demo()
    for page in PAGES:
        if page.is_file():
            for _, code in blocks(page, "sh", "bash", "console", "shell"):
                for line in code.replace("\\\n", " ").splitlines():
                    command = line.strip().removeprefix("$ ").split("  #")[0]
                    if command.startswith("steelyard "):
                        found.append((named(page), command))
    return found


@pytest.mark.parametrize(("page", "command"), commands())
def test_commands_exist(page: str, command: str) -> None:
    """Command and options are known to the command line, and methods that are named exist."""
    import click

    from steelyard.cli import cli
    from steelyard.settings import resolve_method, split_list

    words = [word for word in shlex.split(command)[1:] if not word.startswith("<")]
    here: click.Command = cli
    while isinstance(here, click.Group) and words and not words[0].startswith("-"):
        assert words[0] in here.commands, f"{page}: no command {words[0]}"
        here = here.commands[words.pop(0)]
    known = {option for parameter in here.params for option in (*parameter.opts, *parameter.secondary_opts)} | {"--help"}
    given = {word.partition("=")[0] for word in words if word.startswith("--")}
    assert given <= known, f"{page}: {command}"
    if "--methods" in words:
        for method in split_list(words[words.index("--methods") + 1]):
            if "..." not in method:
                resolve_method(method)


def test_every_page_is_in_the_navigation() -> None:
    listed = set(re.findall(r"[\w/-]+\.md", (REPO / "mkdocs.yml").read_text()))
    there = {page.relative_to(REPO / "docs").as_posix() for page in PAGES if page.is_relative_to(REPO / "docs")}
    assert there == listed, f"not listed: {there - listed}; not there: {listed - there}"


def test_readme_says_the_two_commands() -> None:
    readme = (REPO / "README.md").read_text()
    assert "make demo" in readme
    assert "make test" in readme
