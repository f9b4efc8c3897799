"""A run's identity, and its result on disk: JSON that is written atomically and has null where a number is undefined."""

from __future__ import annotations

import hashlib
import json
import math
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, TypeAlias

from steelyard.core.atomic import write_atomically
from steelyard.core.errors import ArgumentError, CheckpointError

Scalar: TypeAlias = "str | int | float | bool | None"
Record: TypeAlias = dict[str, Any]

METRIC_FIELDS = ("metrics", "selected_metrics")
"""Fields of a record that hold a number a metric; `null` in the file is NaN in Python."""


@dataclass(frozen=True, eq=False)
class Run:
    """What a run is; two runs with the same names, seed and settings are the same run.

    Args:
        problem: data and model, as the user named them.
        method: as the user named it, with its settings.
        regime: name of the training recipe.
        seed: of initial weights, order and everything else that is drawn.
        settings: what else decides the numbers; strings, numbers, bools and None.

    Raises:
        ArgumentError: a setting is not a scalar, or not finite.

    Example:
        >>> run = Run("digits", "la(tau=1.0)", "quick", 0, {"epochs": 30})
        >>> run.id == Run("digits", "la(tau=1.0)", "quick", 0, {"epochs": 30.0}).id, len(run.id)
        (True, 12)
    """

    problem: str
    method: str
    regime: str
    seed: int
    settings: Mapping[str, Scalar] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Check that the settings have one spelling as JSON."""
        for key, value in self.settings.items():
            if not isinstance(value, str | int | float | bool | None):
                raise ArgumentError(f"settings[{key!r}]", "a string, number, bool or None", f"{type(value).__name__}")
            if isinstance(value, float) and not math.isfinite(value):
                raise ArgumentError(f"settings[{key!r}]", "finite", value)

    @cached_property
    def id(self) -> str:
        """The first 12 hexadecimal digits of the SHA-256 of the run as canonical JSON."""
        settings = {key: _canonical(value) for key, value in self.settings.items()}
        text = json.dumps(self.to_json() | {"settings": settings}, sort_keys=True, separators=(",", ":"), allow_nan=False)
        return hashlib.sha256(text.encode()).hexdigest()[:12]

    def to_json(self) -> Record:
        """The run as a dictionary of JSON values."""
        return {
            "problem": self.problem,
            "method": self.method,
            "regime": self.regime,
            "seed": self.seed,
            "settings": dict(self.settings),
        }

    @classmethod
    def from_json(cls, record: Mapping[str, Any]) -> Run:
        """The run of what `to_json` gave, or of a record that holds the same fields.

        Example:
            >>> run = Run("digits", "ce", "quick", 1)
            >>> Run.from_json(run.to_json()) == run
            True
        """
        settings = record.get("settings") or {}
        return cls(record["problem"], record["method"], record["regime"], int(record["seed"]), settings)

    def __eq__(self, other: object) -> bool:
        return self.id == other.id if isinstance(other, Run) else NotImplemented

    def __hash__(self) -> int:
        return hash(self.id)


def _canonical(value: Scalar) -> Scalar:
    """1.0 as 1: the two are equal in Python and mean the same setting, but are two spellings in JSON."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def to_plain(value: Any) -> Any:
    """Anything that a record holds as JSON values: NaN and infinities become None, arrays lists, paths strings.

    Example:
        >>> import numpy as np
        >>> to_plain({"recall": np.array([1.0, np.nan]), "rows": np.int64(3), "path": Path("runs")})
        {'recall': [1.0, None], 'rows': 3, 'path': 'runs'}
    """
    import numpy as np

    if isinstance(value, Mapping):
        return {str(key): to_plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [to_plain(item) for item in (sorted(value) if isinstance(value, set | frozenset) else value)]
    if isinstance(value, np.ndarray | np.generic):
        return to_plain(value.tolist())
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, str | int | bool | None):
        return value
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    raise ArgumentError("value", "something that JSON can hold (numbers, strings, lists, dictionaries)", type(value).__name__)


def write_json(path: Path, value: Any) -> None:
    """Write JSON so that a reader, or a machine that lost power, finds the old content or the new, never a part.

    Args:
        path: the file; its folder is made when needed.
        value: as `to_plain` takes it.

    Raises:
        CheckpointError: no space, no permission, ...; the old file is as it was.
        ArgumentError: something in `value` has no JSON form.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp()) / "result.json"
        >>> write_json(path, {"few_recall": float("nan")}); read_json(path)
        {'few_recall': None}
    """
    payload = json.dumps(to_plain(value), indent=1, allow_nan=False, ensure_ascii=False).encode()
    write_atomically(path, payload)


def read_json(path: Path) -> Any:
    """Read a JSON file.

    Raises:
        CheckpointError: missing, unreadable or not JSON; the message names the file.
    """
    try:
        return json.loads(path.read_bytes())
    except OSError as error:
        raise CheckpointError(f"{path} cannot be read ({error.strerror or error})") from None
    except ValueError as error:
        raise CheckpointError(f"{path} is damaged: it is not JSON ({error})") from None


def write_result(folder: Path, record: Mapping[str, Any]) -> Path:
    """Write a finished run's record to `result.json` in its folder, and return that file."""
    path = folder / "result.json"
    write_json(path, record)
    return path


def read_result(path: Path) -> Record:
    """Read a finished run's record; metrics that are undefined are NaN again.

    Args:
        path: a `result.json`, or the run's folder.

    Raises:
        CheckpointError: missing, damaged, or without what a record must have; the message names the file.
    """
    file = path / "result.json" if path.is_dir() else path
    record = read_json(file)
    needed = ("problem", "method", "regime", "seed", "metrics")
    missing = [name for name in needed if name not in record] if isinstance(record, dict) else list(needed)
    if missing:
        raise CheckpointError(f"{file} is not the result of a run: it has no {', '.join(missing)}")
    record.setdefault("run_id", file.parent.name)
    return with_nan(record)


def with_nan(record: Record) -> Record:
    """A record with NaN in place of None in its metrics, intervals and per-class numbers."""
    for name in METRIC_FIELDS:
        if record.get(name) is not None:
            record[name] = {metric: _number(value) for metric, value in record[name].items()}
    for name in ("intervals", "per_class"):
        if record.get(name) is not None:
            record[name] = {key: [_number(value) for value in values] for key, values in record[name].items()}
    return record


def _number(value: Any) -> float:
    return math.nan if value is None else float(value)
