from __future__ import annotations

from pathlib import Path

import pytest

from steelyard.core.errors import SteelyardError
from steelyard.report.html import write_page


def test_a_page_replaces_an_older_one_and_leaves_no_draft(tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    path.write_text("old")
    assert write_page(path, "neu: ä") == path
    assert path.read_text(encoding="utf-8") == "neu: ä"
    assert list(tmp_path.iterdir()) == [path]


def test_a_page_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    with pytest.raises(SteelyardError, match="cannot be written"):
        write_page(tmp_path / "nowhere" / "report.html", "text")
    (tmp_path / "report.html").mkdir()
    with pytest.raises(SteelyardError, match="cannot be written"):
        write_page(tmp_path / "report.html", "text")
    assert [path.name for path in tmp_path.iterdir()] == ["report.html"]
