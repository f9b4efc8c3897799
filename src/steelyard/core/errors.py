"""Errors a user can act on: each names the argument, what was found and what to do."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class SteelyardError(ValueError):
    """Base of every error that steelyard raises on purpose; its message is one plain sentence."""


class ArgumentError(SteelyardError):
    """An argument has a value that cannot be used.

    Args:
        argument: the name as the caller wrote it.
        expected: what would have been right, and, where it is not obvious, what to do.
        found: what was given.
    """

    def __init__(self, argument: str, expected: str, found: object) -> None:
        self.argument, self.expected, self.found = argument, expected, found
        super().__init__(f"argument `{argument}` should be {expected}; found {found}")

    def __reduce__(self) -> tuple[type, tuple[str, str, object]]:
        return type(self), (self.argument, self.expected, self.found)


class DataError(SteelyardError):
    """The data cannot be learnt from as they are (missing file, one class only, NaN features, ...)."""


class UnknownName(SteelyardError):
    """A method, data set, column, regime or setting does not exist.

    Args:
        kind: what was looked up, in the singular ("method", "column").
        name: what was asked for.
        known: the names that exist.
        hint: what to do; None for the names that are nearest.
    """

    def __init__(self, kind: str, name: str, known: Iterable[str], hint: str | None = None) -> None:
        self.kind, self.name, self.known, self.hint = kind, name, tuple(known), hint
        super().__init__(f"unknown {kind} '{name}'" + (self._hint() if hint is None else f"; {hint}"))

    def __reduce__(self) -> tuple[type, tuple[str, str, tuple[str, ...], str | None]]:
        return type(self), (self.kind, self.name, self.known, self.hint)

    def _hint(self) -> str:
        close = nearest(self.name, self.known)
        if close:
            return f"; did you mean {' or '.join(repr(name) for name in close)}?"
        if not self.known:
            return "; there are none to choose from"
        shown = ", ".join(self.known[:12]) + (", ..." if len(self.known) > 12 else "")
        return f"; known: {shown}"


class CombinationError(SteelyardError):
    """Two methods or words were asked for together and cannot work together; the message says why."""


class CheckpointError(SteelyardError):
    """A checkpoint could not be written or read; the message names the file."""


class TrainingError(SteelyardError):
    """Training cannot go on (a loss that is not finite, say); the message says when and what to try."""


def said_of(error: Exception) -> str:
    """What went wrong, in one line: the message of an error of ours; of any other its kind, too.

    Example:
        >>> said_of(SteelyardError("no rows")), said_of(IndexError("out of range"))
        ('no rows', 'IndexError: out of range')
    """
    line = next((line.strip() for line in str(error).splitlines() if line.strip()), "")
    if isinstance(error, SteelyardError) and line:
        return line
    return ": ".join(filter(None, (type(error).__name__, line)))


def nearest(name: str, known: Iterable[str], most: int = 3) -> list[str]:
    """The known names closest to `name`, best first, at most `most`."""
    by_fold = {candidate.casefold(): candidate for candidate in known}
    return [by_fold[fold] for fold in difflib.get_close_matches(name.casefold(), by_fold, n=most, cutoff=0.5)]
