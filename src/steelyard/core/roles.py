"""When a part acts outside `forward`: it says so in its class header, and the module tree is the event bus."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
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


class Explains(ABC):
    """Can say at the end of training what it has learnt, for the result of the run and its report.

    Not one of `ROLES`, since the loop does not call it: `fit` asks the parts of the last stage once, when they have learnt.
    """

    @abstractmethod
    def explain(self) -> dict[str, Any]:
        """What was learnt, as values that JSON can hold, a function of the part's saved state alone.

        A learned function from losses to weights is `{"loss": [x, ...], "weight": {"label": [y, ...], ...}}`: a grid of losses,
        and at each of them the weight, a line for each head or cluster. The report draws it. It also
        draws the pictures under "figures", by names, made with `steelyard.core.figure`. Other keys are kept as they are.
        """


ROLES = (Prepares, Follows, Observes, Assesses)
"""All roles that the loop calls."""


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


@torch.no_grad()
def explanations(roots: Mapping[str, nn.Module]) -> dict[str, dict[str, Any]]:
    """What the parts below the roots that play `Explains` have learnt, by their paths ("objective.weighting")."""
    found: dict[str, dict[str, Any]] = {}
    met: set[nn.Module] = set()
    for name, root in roots.items():
        for path, part in root.named_modules(met, prefix=name):
            if isinstance(part, Explains):
                found[path] = part.explain()
    return found
