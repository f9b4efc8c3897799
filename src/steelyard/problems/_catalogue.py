"""The problems that come with steelyard: the public modules here, each with a function of its own name and `ABOUT`."""

from __future__ import annotations

import importlib
import pkgutil
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class About:
    """A line of `steelyard datasets`.

    Attributes:
        name: on the command line.
        summary: one line.
        kind: "images", "tables", "arrays", or a kind with a protocol of its own.
        rows: in all splits.
        classes: C.
        needs: package that has the data, where steelyard itself does not depend on it.
    """

    name: str
    summary: str
    kind: str
    rows: int
    classes: int
    needs: str | None = None

    def to_json(self) -> dict[str, Any]:
        """Everything as JSON values."""
        return asdict(self)


def names() -> list[str]:
    """The names of the built-in problems, in alphabetical order."""
    room = importlib.import_module("steelyard.problems")
    return sorted(m.name.replace("_", "-") for m in pkgutil.iter_modules(room.__path__) if not m.name.startswith("_"))


def catalogue() -> list[About]:
    """What is built in.

    Example:
        >>> [about.name for about in catalogue()]
        ['blobs', 'breast-cancer', 'digits', 'mnist', 'trees', 'wine']
    """
    return [importlib.import_module(f"steelyard.problems.{name.replace('-', '_')}").ABOUT for name in names()]
