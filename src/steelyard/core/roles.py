"""When a part acts outside `forward`: it says so in its class header, and the module tree is the event bus."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from torch import nn

if TYPE_CHECKING:
    from steelyard.core.measure import Report
    from steelyard.core.oracle import Oracle
    from steelyard.core.rows import Batch, Evidence


class Prepares(ABC):
    """Acts before the gradient: teaches weights, solves a transport plan."""

    @abstractmethod
    def prepare(self, oracle: Oracle, batch: Batch) -> None:
        """Called with the batch that the step will use."""


class Follows(ABC):
    """Acts after the step and may look at the moved parameters: weights taught by the update that was really made."""

    @abstractmethod
    def follow(self, oracle: Oracle, batch: Batch) -> None:
        """Called after the optimiser's step, with the batch that the step used."""


class Observes(ABC):
    """Acts after the step: prototypes, counters, per-row buffers."""

    @abstractmethod
    def observe(self, evidence: Evidence) -> None:
        """Called with the evidence of the step just made, at the parameters before it."""


class Assesses(ABC):
    """Acts after an epoch, on the validation split only: class difficulty, early stop, logging."""

    @abstractmethod
    def assess(self, report: Report) -> None:
        """Called with the measured validation split."""


ROLES = (Prepares, Follows, Observes, Assesses)
"""All roles there are."""


@dataclass(frozen=True)
class Heard:
    """Who is told what.

    Attributes:
        preparing: before the gradient.
        following: after the step, with the oracle.
        observing: after the step.
        assessing: after the epoch.
    """

    preparing: list[Prepares]
    following: list[Follows]
    observing: list[Observes]
    assessing: list[Assesses]


def parts_of(roots: Iterable[object]) -> Iterator[object]:
    """Every part below the roots, each once: modules are searched through, other objects stand for themselves."""
    heard: set[int] = set()
    for root in roots:
        for part in root.modules() if isinstance(root, nn.Module) else (root,):
            if id(part) not in heard:
                heard.add(id(part))
                yield part


def playing(roots: Iterable[object]) -> Heard:
    """The parts below the roots by the roles they play, in module order."""
    parts = list(parts_of(roots))
    return Heard(
        [part for part in parts if isinstance(part, Prepares)],
        [part for part in parts if isinstance(part, Follows)],
        [part for part in parts if isinstance(part, Observes)],
        [part for part in parts if isinstance(part, Assesses)],
    )
