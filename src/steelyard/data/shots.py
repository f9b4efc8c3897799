"""Count profiles: how many examples each class of an episode, or of a set of training classes, gets."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from steelyard.core.errors import ArgumentError, UnknownName
from steelyard.core.seeds import generator as seeded

PROFILES = ("balanced", "linear", "step", "random", "random-step", "unbiased", "tail")
DRAWN = ("random", "random-step", "unbiased")
"""Profiles whose counts differ from draw to draw; those of the others only change places."""
MINORITY = 0.2
EXPONENT = 4.0


@dataclass(frozen=True)
class Shots:
    """How many examples each of some classes gets, drawn anew for every episode.

    Called with a number of classes N and a generator, it gives counts `[N]` in random order, so that no label is always the
    rarest. With x_j = j / (N - 1) from the rarest (0) to the most frequent class (1)::

        balanced     (low + high) / 2, rounded down, for all
        linear       round(low - 0.49 + x (high - low + 0.98)), halves to even
        step         low for round(minority * N) classes, high for the others
        random       each uniform in low..high
        random-step  step, with 1 to N - 1 minority classes, equally likely
        unbiased     one of all multisets of N counts from low..high, equally likely
        tail         high ((1 - p) x^exponent + p), p = low / high, rounded down

    Args:
        profile: one of these.
        low: examples of the rarest class, 1 or more.
        high: examples of the most frequent class, `low` or more.
        minority: for "step", the share of classes that get `low`, in (0, 1); None for 0.2.
        exponent: for "tail", above 0; None for 4.

    Attributes:
        most: examples that a class gets at most.

    Raises:
        UnknownName: no such profile.
        ArgumentError: a count out of range, or `minority` or `exponent` for a profile that has none.

    Reference:
        Ochal, Patacchiola, Vazquez, Storkey, Wang: Few-shot learning with class imbalance, IEEE Transactions on Artificial
        Intelligence 4(5), 2023.

    Departures:
        The number of minority classes is rounded; released code cuts it off (29 % of 100 classes are 28 there). Every profile
        is permuted, with the generator given; there only those called "shuffled", with NumPy's global one. The capped and the
        "constant controlled" profile, which have errors there, are left out.

    Example:
        >>> Shots("linear", 1, 9).ordered(5).tolist(), Shots("step", 1, 9).ordered(5).tolist()
        ([1, 3, 5, 7, 9], [1, 9, 9, 9, 9])
    """

    profile: str = "balanced"
    low: int = 5
    high: int = 5
    minority: float | None = None
    exponent: float | None = None

    def __post_init__(self) -> None:
        if self.profile not in PROFILES:
            raise UnknownName("profile of shots", self.profile, PROFILES)
        if self.low < 1:
            raise ArgumentError(
                "shots", "at least 1 example of every class, as a class without support cannot be told", self.low
            )
        if self.high < self.low:
            raise ArgumentError("shots", "LOW-HIGH with LOW at most HIGH", f"{self.low}-{self.high}")
        if self.minority is not None and (self.profile != "step" or not 0 < self.minority < 1):
            expected = "a share in (0, 1)" if self.profile == "step" else f"left out, as '{self.profile}' has no minority"
            raise ArgumentError("minority", expected, self.minority)
        if self.exponent is not None and not (self.profile == "tail" and 0 < self.exponent < math.inf):
            expected = "a number above 0" if self.profile == "tail" else f"left out, as '{self.profile}' has no exponent"
            raise ArgumentError("exponent", expected, self.exponent)

    @classmethod
    def parse(cls, text: str, profile: str, minority: float | None = None, exponent: float | None = None) -> Shots:
        """Shots from "LOW-HIGH" or one number.

        Raises:
            ArgumentError: the text is neither.

        Example:
            >>> Shots.parse("1-9", "random").high
            9
        """
        parts = [part.strip() for part in str(text).split("-")]
        if len(parts) > 2 or not all(part.isdecimal() for part in parts):
            raise ArgumentError("shots", "LOW-HIGH, such as 1-9, or one number", repr(text))
        return cls(profile, int(parts[0]), int(parts[-1]), minority, exponent)

    @property
    def most(self) -> int:
        """Examples that a class gets at most."""
        return (self.low + self.high) // 2 if self.profile == "balanced" else self.high

    def possible(self, classes: int) -> list[int]:
        """The counts that can occur, ascending."""
        if self.profile in ("random", "unbiased"):
            return list(range(self.low, self.high + 1))
        return sorted({self.low, self.high} if self.profile == "random-step" else set(self.ordered(classes).tolist()))

    def __call__(self, classes: int, generator: torch.Generator) -> Tensor:
        """Counts `[classes]` in random order, int64."""
        counts = self.ordered(classes, generator)
        return counts[torch.randperm(classes, generator=generator)]

    def ordered(self, classes: int, generator: torch.Generator | None = None) -> Tensor:
        """Counts `[classes]`, ascending; those of the profiles that draw come from `generator` (None for a fixed one).

        Raises:
            ArgumentError: too few classes for the profile.
        """
        self.check(classes)
        low, high = self.low, self.high
        stream = seeded(0, "shots") if generator is None else generator
        place = torch.linspace(0, 1, classes, dtype=torch.float64)
        if self.profile == "balanced":
            return torch.full((classes,), (low + high) // 2)
        if self.profile == "linear":
            return torch.linspace(low - 0.49, high + 0.49, classes, dtype=torch.float64).round().long()
        if self.profile == "step":
            return self._step(classes, self._few(classes))
        if self.profile == "random":
            return torch.randint(low, high + 1, (classes,), generator=stream).sort().values
        if self.profile == "random-step":
            return self._step(classes, int(torch.randint(1, classes, (1,), generator=stream)))
        if self.profile == "unbiased":  # stars and bars: subsets of classes numbers in a longer range are the multisets
            chosen = torch.randperm(high - low + classes, generator=stream)[:classes].sort().values
            return low + chosen - torch.arange(classes)
        share = low / high
        curve = high * ((1 - share) * place ** (EXPONENT if self.exponent is None else self.exponent) + share)
        return (curve + 1e-9 * high).floor().long()  # a whole number up to rounding is that number

    def check(self, classes: int) -> None:
        """Find out whether that many classes can have the profile.

        Raises:
            ArgumentError: fewer than 2 classes, or no class on one side of a step.
        """
        if classes < 2:
            raise ArgumentError("way", "at least 2 classes", classes)
        if self.profile == "step" and not 1 <= self._few(classes) <= classes - 1:
            found = f"{self._few(classes)} of {classes} with minority={self.minority or MINORITY:g}"
            raise ArgumentError("minority", "a share that leaves a class on both sides of the step", found)

    def _few(self, classes: int) -> int:
        return round((MINORITY if self.minority is None else self.minority) * classes)

    def _step(self, classes: int, few: int) -> Tensor:
        return torch.tensor([self.low] * few + [self.high] * (classes - few))
