"""How data become a problem: which rows train, which test, and what is done to them."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from steelyard.core.errors import ArgumentError, UnknownName
from steelyard.data.noise import KINDS as NOISES
from steelyard.data.profiles import KINDS as PROFILES
from steelyard.data.scale import RESIDENCES
from steelyard.problems._kinds import maker
from steelyard.problems._partition import parse_split

ORDERS = ("index", "size", "random")
MISSING = ("error", "median", "indicator")
MOST_PIXELS = 4096
"""Wide and high, of resized images; a typing error would otherwise fill the memory."""


@dataclass(frozen=True)
class ProblemSettings:
    """Settings of a problem. They belong to the data: a run's seed changes none of them.

    The order of events: the test rows are those given, or are cut from the data as they are (`split`); what is left is
    training data, of which `max_rows`, then `factor` choose rows, `noise` changes labels, and from which the validation rows
    are cut (`split` again). So validation rows are as imbalanced and as noisy as training rows, and test rows are neither.

    Attributes:
        target: column of classes, for tables.
        task: "images", "tables" or "arrays" (any numbers, unchanged); "auto" goes by the data. Or a kind of data with a
            protocol of its own, with its settings: "graphs(protocol=igl-lt-20)" (see `steelyard.problems.kinds`).
        test: a separate file or folder of test rows.
        factor: make training data this imbalanced: largest over smallest class, 1 or more; None leaves them as they are.
        profile: shape between the two: "exp", "step", "linear" or "pareto".
        class_order: which class becomes the largest: "index" (class 0 first, as in CIFAR-LT), "size" (the largest first), or
            "random" (a permutation by `seed`).
        noise: share of training labels that are replaced, in [0, 1).
        noise_kind: "symmetric", "asymmetric" or "imbalance" (see `steelyard.data.label_noise`).
        valid_fraction: share of the training data that becomes the validation split, in [0, 1), where none was given.
        test_fraction: share of the data that becomes the test split, in (0, 1), where none was given.
        seed: of the splits, of the chosen rows and of the noise.
        split: how rows are held out, for tables: "random" (stratified), "time:COL" (the last ones by column COL), or
            "group:COL" (rows with the same value of COL together). COL is no feature then; "keep-time:COL" keeps it as one.
        drop: columns to leave out (a tuple of names, or one name).
        missing: "error" refuses missing values, "median" fills in the training median, "indicator" also says where they were.
        model: a name, `module:function` of your own code, a module, or a function that makes one; "auto" goes by the task.
        model_settings: further arguments for a model by name.
        resize: make images resize x resize pixels.
        max_rows: use at most about this many training rows (stratified), for a quick look.
        residence: "auto" keeps inputs of up to 2 GiB on the device and streams larger ones; "resident", "streamed".
        workers: processes that read ahead where inputs are streamed.

    Raises:
        ArgumentError: a value out of range, or one that would do nothing.
        UnknownName: no such profile or kind of noise.

    Example:
        >>> ProblemSettings(factor=100).profile
        'exp'
    """

    target: str | None = None
    task: str = "auto"
    test: Any = None
    factor: float | None = None
    profile: str = "exp"
    class_order: str = "index"
    noise: float = 0.0
    noise_kind: str = "symmetric"
    valid_fraction: float = 0.1
    test_fraction: float = 0.25
    seed: int = 0
    split: str = "random"
    drop: tuple[str, ...] = ()
    missing: str = "error"
    model: Any = "auto"
    model_settings: dict[str, Any] = field(default_factory=dict)
    resize: int | None = None
    max_rows: int | None = None
    residence: str = "auto"
    workers: int = 0

    def __post_init__(self) -> None:
        given: Any = self.drop
        object.__setattr__(self, "drop", (given,) if isinstance(given, str) else tuple(given))
        checks = (
            ("factor", self.factor is None or (_finite(self.factor) and self.factor >= 1), "a number of 1 or more"),
            ("class_order", self.class_order in ORDERS, " or ".join(map(repr, ORDERS))),
            ("noise", _finite(self.noise) and 0 <= self.noise < 1, "from 0 to below 1"),
            ("valid_fraction", _finite(self.valid_fraction) and 0 <= self.valid_fraction < 1, "from 0 to below 1"),
            ("test_fraction", _finite(self.test_fraction) and 0 < self.test_fraction < 1, "between 0 and 1"),
            ("missing", self.missing in MISSING, " or ".join(map(repr, MISSING))),
            ("resize", self.resize is None or 1 <= self.resize <= MOST_PIXELS, f"from 1 to {MOST_PIXELS} pixels, or none"),
            ("max_rows", self.max_rows is None or self.max_rows >= 1, "at least 1, or none"),
            ("residence", self.residence in RESIDENCES, " or ".join(map(repr, RESIDENCES))),
            ("workers", self.workers >= 0, "0 or more"),
        )
        for name, holds, expected in checks:
            if not holds:
                raise ArgumentError(name, expected, repr(getattr(self, name)))
        maker(self.task)
        parse_split(self.split)
        if self.profile not in PROFILES:
            raise UnknownName("profile", self.profile, PROFILES)
        if self.noise_kind not in NOISES:
            raise UnknownName("kind of noise", self.noise_kind, NOISES)
        if self.factor is None and (self.profile != PROFILES[0] or self.class_order != ORDERS[0]):
            name = "profile" if self.profile != PROFILES[0] else "class_order"
            raise ArgumentError(name, "given with a factor, as it shapes the tail", f"{getattr(self, name)!r} without a factor")
        if self.noise == 0 and self.noise_kind != NOISES[0]:
            raise ArgumentError("noise_kind", "given with a noise above 0", f"{self.noise_kind!r} without noise")

    def replace(self, **changes: Any) -> ProblemSettings:
        """A copy with some settings changed.

        Raises:
            UnknownName: no such setting.
        """
        known = [item.name for item in dataclasses.fields(self)]
        for name in changes:
            if name not in known:
                raise UnknownName("setting of the data", name, known)
        return dataclasses.replace(self, **changes)

    def refuse_others(self, kind: str, used: Iterable[str]) -> None:
        """Refuse settings that a kind of data has no use for.

        Args:
            kind: for the message.
            used: names of the settings that it does use.

        Raises:
            ArgumentError: another setting is not at its default.
        """
        known = {"task", *used}
        usual = ProblemSettings()
        for name in (item.name for item in dataclasses.fields(self)):
            if name not in known and getattr(self, name) != getattr(usual, name):
                raise ArgumentError(name, f"left out, as {kind} have no use for it", repr(getattr(self, name)))

    def to_json(self) -> dict[str, Any]:
        """All settings as JSON values; a model or test data that are objects by their type's name.

        A random split is left out: what was compared before there were others is still found under its name.
        """
        written = {item.name: _plain(getattr(self, item.name)) for item in dataclasses.fields(self)}
        if self.split == "random":
            del written["split"]
        return written


def _finite(value: Any) -> bool:
    return isinstance(value, int | float) and math.isfinite(value)


def _plain(value: Any) -> Any:
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, tuple | list):
        return [_plain(item) for item in value]
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    return getattr(value, "__name__", type(value).__name__)
