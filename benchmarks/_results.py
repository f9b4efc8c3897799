"""Where the benchmarks put what they measured."""

from __future__ import annotations

import json
import os
import platform
from pathlib import Path
from typing import Any

import torch


def with_threads(threads: int) -> str:
    """The name under which results with so many threads are kept."""
    return f"{threads} thread{'s' * (threads > 1)}"


def write(out: Path, where: str, result: dict[str, Any]) -> None:
    """Put a result under where it was measured, beside those of elsewhere."""
    stored: dict[str, Any] = json.loads(out.read_text()) if out.exists() else {}
    machine = {"torch": torch.__version__, "python": platform.python_version(), "cores": os.cpu_count()}
    stored[where] = machine | result
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps(stored, indent=1) + "\n")
    print(f"written to {out}")
