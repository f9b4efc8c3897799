"""Which rows train, validate and test, decided before any image is decoded or any column is looked at."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from steelyard.core.counts import count
from steelyard.core.errors import DataError
from steelyard.core.seeds import derive
from steelyard.data import label_noise, subsample
from steelyard.data.labels import encode_labels
from steelyard.data.profiles import class_permutation, longest_tail
from steelyard.data.raw import Raw
from steelyard.data.splits import thin
from steelyard.problems._partition import Partition
from steelyard.problems._settings import ProblemSettings

VALIDATED_ROWS = 5
"""Training rows from which a class gives at least one to the validation split."""


@dataclass(frozen=True)
class Arranged:
    """Rows of every split.

    Attributes:
        class_names: `[C]`.
        part: which part of the raw data a split's rows are of.
        rows: their numbers there `[N]`, ascending.
        target: their classes `[N]`, with noise in "train" and "valid" where that was asked for.
        notes: a sentence for each thing a user should know.
        facts: further JSON values about the data.
        transition: of label noise `[C, C]`: row i is how class i was relabelled; None without noise.
    """

    class_names: tuple[str, ...]
    part: Mapping[str, str]
    rows: Mapping[str, Tensor]
    target: Mapping[str, Tensor]
    notes: tuple[str, ...] = ()
    facts: Mapping[str, Any] = field(default_factory=dict)
    transition: Tensor | None = None


def arrange(raw: Raw, settings: ProblemSettings, partition: Partition | None = None) -> Arranged:
    """Decide on the rows of every split.

    Args:
        raw: the data.
        settings: how they become a problem.
        partition: how rows are held out; None for by chance.

    Raises:
        SteelyardError: labels that cannot be used, or too few rows for what the settings ask.
    """
    class_names, target = encode_labels(
        {split: part.labels for split, part in raw.parts.items()}, raw.class_names, target=raw.target
    )
    if len(class_names) > len(target["train"]):
        raise DataError(f"{raw.target} has {len(class_names)} classes but the training data only {len(target['train'])} rows")
    partition = partition or Partition(seed=settings.seed)
    work = _Work(class_names, target["train"], settings)
    part = {split: split for split in raw.parts}
    rows = {split: torch.arange(len(labels)) for split, labels in target.items()}
    if "test" not in raw.parts:
        work.rows, rows["test"] = partition.cut(work.labels, work.rows, settings.test_fraction, "test", class_names)
        target["test"], part["test"] = target["train"][rows["test"]], "train"
    work.thin()
    work.tail()
    work.add_noise()
    if "valid" not in raw.parts and settings.valid_fraction > 0:
        kept, held = partition.cut(work.labels, work.rows, settings.valid_fraction, "valid", class_names, least=VALIDATED_ROWS)
        if len(held):
            rows["valid"], target["valid"], part["valid"] = work.rows[held], work.labels[held], "train"
            work.keep(kept)
    rows["train"], target["train"] = work.rows, work.labels
    order = [split for split in ("train", "valid", "test") if split in rows]
    facts, told = partition.facts(part, {split: rows[split] for split in order})
    notes = (*raw.notes, *told, *work.notes, *_coverage(target, class_names, settings))
    return Arranged(
        class_names,
        {split: part[split] for split in order},
        {split: rows[split] for split in order},
        {split: target[split] for split in order},
        notes,
        facts | work.facts,
        work.transition,
    )


class _Work:
    """The training rows on their way through the settings."""

    def __init__(self, class_names: tuple[str, ...], target: Tensor, settings: ProblemSettings) -> None:
        self.class_names, self.settings = class_names, settings
        self.rows = torch.arange(len(target))
        self._target = target
        self.notes: list[str] = []
        self.facts: dict[str, Any] = {}
        self.transition: Tensor | None = None

    @property
    def labels(self) -> Tensor:
        """Classes of the rows that are left."""
        return self._target[self.rows]

    def keep(self, places: Tensor) -> None:
        """Keep some of the rows."""
        self.rows = self.rows[places]

    def thin(self) -> None:
        """Take `max_rows`."""
        most = self.settings.max_rows
        if most is not None and most < len(self.rows):
            before = len(self.rows)
            self.keep(thin(self.labels, most, seed=derive(self.settings.seed, "max_rows")))
            self.notes.append(f"{len(self.rows)} of {before} training rows are used (max_rows={most})")

    def tail(self) -> None:
        """Give the rows a long tail."""
        settings = self.settings
        if settings.factor is None:
            return
        labels, before = self.labels, len(self.rows)
        sizes = count(labels, len(self.class_names))
        if int(sizes.min()) == 0:
            raise DataError(
                f"class '{self.class_names[int(sizes.argmin())]}' has no training rows, so no profile can be cut from them"
            )
        order = self._class_order()
        wanted = longest_tail(labels, settings.factor, settings.profile, order=order)
        largest = int(wanted.max())
        if largest < settings.factor:
            raise DataError(
                f"factor={settings.factor:g} is more than the data allow: the largest class can have {largest} training rows, "
                f"so a class {settings.factor:g} times smaller would have none"
            )
        self.keep(subsample(labels, wanted, derive(settings.seed, "profile")))
        self.notes.append(
            f"{len(self.rows)} of {before} training rows are used, for the profile '{settings.profile}' with imbalance factor "
            f"{settings.factor:g}"
        )

    def _class_order(self) -> Tensor | str | None:
        """Classes from the largest to the smallest, as `longest_tail` takes them."""
        if self.settings.class_order != "random":
            return "size" if self.settings.class_order == "size" else None
        order = class_permutation(len(self.class_names), derive(self.settings.seed, "class order"))
        self.facts["class_order"] = [self.class_names[c] for c in order.tolist()]
        return order

    def add_noise(self) -> None:
        """Change labels."""
        settings = self.settings
        if settings.noise == 0:
            return
        noisy, transition = label_noise(
            self.labels,
            settings.noise,
            settings.noise_kind,
            derive(settings.seed, "noise"),
            class_counts=count(self.labels, len(self.class_names)),
        )
        changed = int((noisy != self.labels).sum())
        self._target = self._target.clone()
        self._target[self.rows] = noisy
        self.notes.append(
            f"{changed} of {len(noisy)} training labels (and so validation labels) were replaced: {settings.noise_kind} noise, "
            f"rate {settings.noise:g}"
        )
        self.facts["label_noise"] = {"kind": settings.noise_kind, "rate": settings.noise, "changed": changed}
        self.transition = transition


def _coverage(target: Mapping[str, Tensor], class_names: tuple[str, ...], settings: ProblemSettings) -> list[str]:
    """Notes on classes that a split lacks."""
    notes = []
    sizes = {split: count(labels, len(class_names)) for split, labels in target.items()}
    for split, size in sizes.items():
        lacking = [name for name, n in zip(class_names, size.tolist(), strict=True) if n == 0]
        if lacking:
            shown = ", ".join(f"'{name}'" for name in lacking[:8]) + (", ..." if len(lacking) > 8 else "")
            notes.append(f"{len(lacking)} of {len(class_names)} classes have no {split} rows: {shown}")
    if "valid" not in target and settings.valid_fraction > 0:
        notes.append(f"there is no validation split: no class has {VALIDATED_ROWS} training rows")
    return notes
