"""What is compared with what: the data, the methods, the regime, the seeds; and the runs that follow from it."""

from __future__ import annotations

import json
import platform
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

from steelyard.bench.records import Run
from steelyard.core.errors import ArgumentError
from steelyard.core.regime import Regime

REFERENCE = "ce"
"""The method that the others are paired with."""


@dataclass(frozen=True)
class Comparison:
    """One problem and one regime for several methods and seeds.

    Attributes:
        data: a built-in name or a path, as the user gave it.
        methods: as typed on the command line ("la(tau=1.5)").
        regime: the same for all.
        regime_name: shown in the report.
        seeds: each gives one run a method, with initial weights and data order that depend on the seed alone.
        problem: further arguments of `steelyard.problems.load`; scalars.
        fingerprint: of the data's content.
        metric: what the leaderboard is sorted by.
        device: "auto", or a torch device.
    """

    data: str
    methods: tuple[str, ...]
    regime: Regime
    regime_name: str
    seeds: tuple[int, ...]
    problem: Mapping[str, Any] = field(default_factory=dict)
    fingerprint: str = ""
    metric: str = "balanced_accuracy"
    groups: str = "auto"
    device: str = "auto"

    def __post_init__(self) -> None:
        """Refuse empty or repeated lists."""
        for name, values in (("methods", self.methods), ("seeds", self.seeds)):
            if not values:
                raise ArgumentError(name, "at least one", "none")
            twice = sorted({str(value) for value in values if values.count(value) > 1})
            if twice:
                raise ArgumentError(name, "without repetitions", f"{', '.join(twice)} more than once")

    def runs(self) -> list[Run]:
        """Every run, all methods of the first seed first, so that an early look compares like with like."""
        shared = {f"problem.{key}": _scalar(value) for key, value in self.problem.items() if value is not None}
        shared |= {f"regime.{key}": _scalar(value) for key, value in self.regime.settings().items()}
        shared |= {"fingerprint": self.fingerprint, "device": self.device, "groups": self.groups}
        settings = {method: shared | _own_code(method) for method in self.methods}
        return [
            Run(self.data, method, self.regime_name, seed, settings[method]) for seed in self.seeds for method in self.methods
        ]


def _own_code(method: str) -> dict[str, str]:
    """What tells a user's own method from the same one before it was edited; empty for those of steelyard."""
    if ":" not in method:
        return {}
    from steelyard.core.identity import code_of
    from steelyard.settings import resolve_method

    return {"method.code": code_of(resolve_method(method))}


def _scalar(value: Any) -> Any:
    return json.dumps(value, sort_keys=True) if isinstance(value, list | tuple | dict) else value


@cache
def versions() -> dict[str, str]:
    """Versions of what the numbers depend on."""
    found = {"python": platform.python_version(), "platform": f"{sys.platform}-{platform.machine()}"}
    for name in ("steelyard", "torch", "numpy", "scikit-learn", "scipy"):
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            found[name] = "not installed as a package"
    return found


@cache
def git_commit() -> str | None:
    """Commit of the working folder, with "+changes" where files differ from it; None outside a repository."""
    try:
        commit = _git("rev-parse", "HEAD")
        return commit + ("+changes" if _git("status", "--porcelain", "--untracked-files=no") else "")
    except (OSError, subprocess.SubprocessError):
        return None


def _git(*arguments: str) -> str:
    done = subprocess.run(["git", *arguments], capture_output=True, text=True, check=True, timeout=10, cwd=Path.cwd())
    return done.stdout.strip()
