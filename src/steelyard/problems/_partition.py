"""Which rows are cut from others: by chance, by time, or by group."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from torch import Tensor

from steelyard.core.errors import ArgumentError, UnknownName
from steelyard.core.seeds import derive
from steelyard.data.memory import is_frame
from steelyard.data.raw import Raw
from steelyard.data.splits import Fractions, by_group, by_time, hold_out, refuse_singletons, times_of

RULES = ("time", "keep-time", "group")


def parse_split(text: Any) -> tuple[str, str]:
    """Rule and column of `random`, `time:COL`, `keep-time:COL` or `group:COL`.

    Raises:
        ArgumentError: it is none of these.

    Example:
        >>> parse_split("time:opened: date"), parse_split("random")
        (('time', 'opened: date'), ('random', ''))
    """
    if text == "random":
        return "random", ""
    rule, _, column = text.partition(":") if isinstance(text, str) else ("", "", "")
    if rule not in RULES or not column:
        raise ArgumentError("split", "'random', 'time:COL', 'keep-time:COL' or 'group:COL'", repr(text))
    return rule, column


class Partition:
    """How held-out rows are chosen.

    Args:
        rule: "random", "time", "keep-time" or "group".
        column: that says when a row was, or what it belongs to.
        values: of that column, of the training part `[N]`; None for "random".
        seed: of the splits.
    """

    def __init__(self, rule: str = "random", column: str = "", values: Any = None, seed: int = 0) -> None:
        self.rule, self.column, self._values, self._seed = rule, column, values, seed

    @property
    def is_random(self) -> bool:
        """Are rows held out by chance, class by class?"""
        return self.rule == "random"

    def cut(self, target: Tensor, rows: Tensor, share: float, which: str, names: tuple[str, ...], least: int = 2) -> Any:
        """Places of the rows that stay and of those that are held out, both ascending.

        Args:
            target: classes of the rows `[n]`.
            rows: their row numbers `[n]`.
            share: of the rows, to be held out.
            which: "test" or "valid".
            names: of the classes.
            least: rows from which a class gives at least one; by chance only.
        """
        if self.is_random:
            if which == "test":
                refuse_singletons(target, names)
            return hold_out(target, share, seed=derive(self._seed, which), least=least)
        fractions: Fractions = (1.0 - share, share if which == "valid" else 0.0, share if which == "test" else 0.0)
        values = self._values.iloc[rows.numpy()].reset_index(drop=True)
        what = f"column '{self.column}'"
        if self.rule == "group":
            seed = derive(self._seed, which)
            split = by_group(values, target, fractions, seed=seed, class_names=names, what=what)
        else:
            split = by_time(values, fractions, target=target, class_names=names, what=what)
        return split.train, split.valid if which == "valid" else split.test

    def facts(self, part: dict[str, str], rows: dict[str, Tensor]) -> tuple[dict[str, Any], list[str]]:
        """What to say of the splits that were cut: JSON values, and sentences."""
        if self.is_random:
            return {}, []
        cut = {split: self._values.iloc[rows[split].numpy()] for split in rows if part[split] == "train"}
        told: dict[str, Any] = {"rule": "group" if self.rule == "group" else "time", "column": self.column}
        if self.rule == "group":
            told["groups"] = {split: int(values.nunique()) for split, values in cut.items()}
            shown = ", ".join(f"{count:,} {split}" for split, count in told["groups"].items())
            return {"split": told}, [f"rows were split by '{self.column}', no value of which is in two splits: {shown} values"]
        notes = [f"rows were split by time, column '{self.column}': later rows test what was learnt from earlier ones"]
        if self.rule == "time":
            notes.append(f"column '{self.column}' is not used as a feature (--split keep-time:{self.column} keeps it)")
        return {"split": told}, notes


def partition_of(raw: Raw, split: str, seed: int) -> Partition:
    """The partition that a setting asks for, with the values of its column.

    Raises:
        ArgumentError: the data are no table, or come with all splits already.
        UnknownName: there is no such column.
    """
    rule, column = parse_split(split)
    if rule == "random":
        return Partition(seed=seed)
    frame = raw.parts["train"].inputs
    if raw.kind != "tables" or not is_frame(frame):
        raise ArgumentError("split", "'random', as the data have no named columns", repr(split))
    if "valid" in raw.parts and "test" in raw.parts:
        raise ArgumentError("split", "'random', as the data come with validation and test rows", repr(split))
    if f"'{column}'" in raw.target:
        raise ArgumentError("split", "by another column than the target", repr(split))
    if column not in frame.columns:
        raise UnknownName("column", column, list(frame.columns))
    return Partition(rule, column, frame[column].reset_index(drop=True), seed)


def without_column(raw: Raw, partition: Partition) -> Raw:
    """The data without the column that only says how to split them; where it is kept, dates that are text become dates."""
    if partition.is_random:
        return raw
    name, frames = partition.column, {split: part.inputs for split, part in raw.parts.items()}
    for split, frame in frames.items():
        if partition.rule != "keep-time":
            frames[split] = frame.drop(columns=name, errors="ignore")
        elif name in frame.columns:
            frames[split] = frame.assign(**{name: times_of(frame[name], f"column '{name}'")})
    return replace(raw, parts={split: replace(part, inputs=frames[split]) for split, part in raw.parts.items()})


def shared_groups(raw: Raw, partition: Partition) -> list[str]:
    """A note on groups that training rows share with rows that were given apart."""
    notes = []
    if partition.rule == "group":
        own = set(raw.parts["train"].inputs[partition.column].dropna())
        for split in ("valid", "test"):
            frame = raw.parts[split].inputs if split in raw.parts else None
            if frame is not None and partition.column in frame.columns:
                rows = int(np.asarray(frame[partition.column].isin(own)).sum())
                if rows:
                    notes.append(f"{rows:,} of {len(frame):,} {split} rows share a '{partition.column}' with training data")
    return notes
