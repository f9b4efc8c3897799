"""Something that ends training in its midst, as whatever ends a process would."""

from __future__ import annotations

from steelyard.core.roles import Observes
from steelyard.core.rows import Evidence


class Interrupt(Exception):
    """Stands for whatever ends a process."""


class Bomb(Observes):
    """Ends training after a number of steps."""

    def __init__(self, steps: int, raises: type[BaseException] = Interrupt) -> None:
        self.left, self.raises = steps, raises

    def observe(self, evidence: Evidence) -> None:
        self.left -= 1
        if self.left == 0:
            raise self.raises
