"""What must not be in the tree: somebody's machine, somebody's index."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

PRIVATE = re.compile(r"(?<![\w.~])/(?:work|root|home|Users|opt|mnt|tmp/\w+)/\w", re.ASCII)
"""Absolute paths that exist on one machine only."""

INDEX = re.compile(r"(?:--)?(?:extra-index-url|index-url|find-links|trusted-host)[ =]|https?://\S*/simple\b", re.IGNORECASE)
"""Where packages come from is the user's setting, not ours."""

EMOJI = re.compile("[\U0001f300-\U0001faff\u2600-\u26ff\u2728\u2705\u274c]")

TEXT = {".py", ".md", ".toml", ".txt", ".yml", ".yaml", ".cfg", ".html", ".css", ".js", ".json", ".sh", ""}


def tracked(repo: Path) -> list[Path]:
    """Every text file that is committed or about to be."""
    if not (repo / ".git").exists():
        pytest.skip("not a git checkout")
    command = ["git", "-C", str(repo), "ls-files", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    found = [repo / name for name in names]
    return [path for path in found if path.suffix in TEXT and path.is_file()]


@pytest.mark.parametrize("pattern", [PRIVATE, INDEX, EMOJI], ids=["private paths", "package indices", "emoji"])
def test_the_tree_is_free_of(pattern: re.Pattern[str], repo: Path) -> None:
    found = []
    for path in tracked(repo):
        if path == Path(__file__):
            continue
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
            if pattern.search(line):
                found.append(f"{path.relative_to(repo)}:{number}: {line.strip()[:100]}")
    assert not found, "\n".join(found)


def test_the_pins_name_no_build(repo: Path) -> None:
    lines = [line for line in (repo / "constraints.txt").read_text().splitlines() if line and not line.startswith("#")]
    assert lines
    assert [line for line in lines if not re.fullmatch(r"[A-Za-z0-9._-]+==[0-9][0-9A-Za-z.]*", line)] == []
