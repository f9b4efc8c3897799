from __future__ import annotations

from pathlib import Path

import pytest
from rich.console import Console

from steelyard.cli.show import show
from steelyard.core.errors import SteelyardError


def test_a_folder_without_a_comparison_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SteelyardError, match="run `steelyard compare` first"):
        show(Console(), tmp_path, report=False)
