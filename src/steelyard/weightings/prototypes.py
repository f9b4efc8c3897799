"""The running mean feature of each class, for ten classes or for a million."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from steelyard.core.counts import of_class
from steelyard.core.errors import ArgumentError
from steelyard.core.world import World
from steelyard.numeric.by_class import class_totals, first_of_class, widened

DENSE_NUMBERS = 1 << 24
"""`auto` keeps a row for every class up to this many numbers (64 MB), and rows of the classes seen beyond."""

REDUCED_NUMBERS = 1 << 20
"""Up to so many numbers several processes add up the sums of all classes; beyond, they show each other their rows."""


class Prototypes(nn.Module):
    """Exponential moving averages of features, one a class, begun at the class's first batch.

    Formula:
        `F_c <- momentum * F_c + (1 - momentum) * mean of the class's features in the batch`; at first sight the mean itself;
        classes without rows stay as they are.

    A step touches the rows of its own classes only, so that its time does not depend on C. Memory: `4 C` bytes for a table of
    places, and `4 d` bytes for each class of `"dense"` or each class seen of `"compact"`.

    Args:
        num_classes: C.
        momentum: in [0, 1); its half-life at 0.9 is 6.6 updates of that class.
        store: "dense": a row for every class. "compact": rows for the classes seen so far; on an accelerator it waits for
            the device when it grows. "auto": dense up to `DENSE_NUMBERS` numbers. Anything else names a folder, in which
            the rows are kept in a memory-mapped file that is gone with the process; the device is waited for at each step.

    Raises:
        ArgumentError: momentum outside [0, 1), no such folder, or too little room in it.

    State:
        `classes` `[S]` and `prototypes` `[S, d]` of the classes seen, whatever the store, so that one store can go on with
        what another has saved.

    Example:
        >>> prototypes = Prototypes(1_000_000, momentum=0.5)
        >>> prototypes.update(torch.tensor([[1.0, 0.0], [3.0, 0.0]]), torch.tensor([999_999, 999_999]))
        >>> prototypes.update(torch.tensor([[4.0, 2.0]]), torch.tensor([999_999]))
        >>> prototypes.of(torch.tensor([999_999, 0]), 2)
        (tensor([[3., 1.],
                [0., 0.]]), tensor([ True, False]))
    """

    rows: Tensor
    slot: Tensor
    used: Tensor

    def __init__(self, num_classes: int, momentum: float = 0.9, store: str = "auto") -> None:
        super().__init__()
        if not 0 <= momentum < 1:
            raise ArgumentError("momentum", "in [0, 1)", momentum)
        if store not in ("auto", "dense", "compact") and not Path(store).is_dir():
            raise ArgumentError("store", "'auto', 'dense', 'compact' or a folder that exists", repr(store))
        self.num_classes, self.momentum, self.store = num_classes, momentum, store
        self._most_used = 0
        self._empty(torch.device("cpu"))

    def _empty(self, device: torch.device) -> None:
        """Row 0 stands for every class not seen; a class's place is `slot`, and 0 before it is seen."""
        for name, value in (
            ("rows", torch.zeros(0, 0, device=device)),
            ("slot", torch.zeros(0, dtype=torch.int32, device=device)),
            ("used", torch.zeros((), dtype=torch.int64, device=device)),
        ):
            self.register_buffer(name, value, persistent=False)
        self._most_used = 0

    @property
    def width(self) -> int:
        """Features, 0 before any were seen."""
        return self.rows.shape[1]

    @property
    def kind(self) -> str:
        """What the store is, once the width is known: "dense", "compact" or "mapped"."""
        if self.store in ("dense", "compact"):
            return self.store
        if self.store != "auto":
            return "mapped"
        return "dense" if self.num_classes * max(self.width, 1) <= DENSE_NUMBERS else "compact"

    @torch.no_grad()
    def of(self, target: Tensor, width: int) -> tuple[Tensor, Tensor]:
        """Prototypes of the classes of `target`.

        Args:
            target: classes `[N]`.
            width: d, to be checked.

        Returns:
            Prototypes `[N, d]`, zero where the class was not seen, and whether it was `[N]`.
        """
        self._check_width(width)
        if not self.width:
            return torch.zeros(len(target), width, device=target.device), torch.zeros_like(target, dtype=torch.bool)
        place = of_class(self.slot, target.to(self.slot.device)).long()
        return self.rows[place].to(target.device), (place > 0).to(target.device)

    @torch.no_grad()
    def update(self, features: Tensor, target: Tensor, share: Tensor | None = None) -> None:
        """Take in a batch; several processes take in the batches of all.

        Args:
            features: `[N, d]`.
            target: classes `[N]`.
            share: how much each row counts `[N]`; None where each counts 1. Rows of share 0 are left out.
        """
        self._check_width(features.shape[1])
        if not self.width:
            self._open(features.shape[1], features.dtype, features.device)
        wide = widened(features)
        mass = torch.ones_like(wide[:, 0]) if share is None else share.to(wide.dtype)
        classes, totals = self._of_all(torch.cat([wide * mass[:, None], mass[:, None]], 1), target)
        self._write(classes.to(self.slot.device), totals.to(self.rows.device))

    def _of_all(self, sums: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        """Classes and, for each, features and mass summed over its rows in all processes; a class may come more than once."""
        world = World.current()
        if world.size == 1:
            return target, class_totals(sums, target)
        if self.num_classes * sums.shape[1] <= REDUCED_NUMBERS:
            everything = torch.zeros(self.num_classes, sums.shape[1], dtype=sums.dtype, device=sums.device)
            return torch.arange(self.num_classes, device=sums.device), world.sum(everything.index_add_(0, target, sums))
        own = torch.zeros(world.size, dtype=torch.int64, device=sums.device)
        own[world.rank] = len(target)
        sizes = world.sum(own).tolist()
        start = sum(sizes[: world.rank])
        rows = torch.zeros(sum(sizes), sums.shape[1], dtype=sums.dtype, device=sums.device)
        classes = torch.zeros(sum(sizes), dtype=torch.int64, device=sums.device)
        rows[start : start + len(target)] = sums
        classes[start : start + len(target)] = target
        rows, classes = world.sum(rows), world.sum(classes)
        return classes, class_totals(rows, classes)

    def _write(self, classes: Tensor, totals: Tensor) -> None:
        """Rows of one class bring the same numbers, so it does not matter which of them is written last."""
        mass = totals[:, -1]
        before = of_class(self.slot, classes).long()
        known, counted = before > 0, mass > 0
        place = torch.where(known, before, self._new_places(classes, counted & ~known))
        mean = totals[:, :-1] / mass.where(counted, 1.0)[:, None]
        old = self.rows[before].to(mean.dtype)
        moved = torch.where(known[:, None], self.momentum * old + (1 - self.momentum) * mean, mean)
        self.slot[classes] = place.to(self.slot.dtype)
        self.rows[place] = torch.where(counted[:, None], moved, old).to(self.rows.dtype)

    def _new_places(self, classes: Tensor, new: Tensor) -> Tensor:
        """Places for the classes of the rows that are `new`, 0 for the others `[N]`."""
        if self.kind != "compact":
            return (classes + 1).where(new, 0)
        self._make_room(len(classes))
        first = first_of_class(classes)
        fresh = new & (first == torch.arange(len(classes), device=classes.device))
        place = (self.used + fresh.cumsum(0))[first]
        self.used += fresh.sum()
        return place.where(new, 0)

    def _make_room(self, wanted: int) -> None:
        """Room for that many further classes; the device is asked how many are used only where there may be none left."""
        room = self.rows.shape[0] - 1
        if room < self.num_classes and self._most_used + wanted > room:
            self._most_used = int(self.used)
            if self._most_used + wanted > room:
                larger = min(self.num_classes, max(self._most_used + wanted, room + room // 2))
                grown = self.rows.new_zeros(larger + 1, self.width)
                grown[: room + 1] = self.rows
                self.rows = grown
        self._most_used += wanted

    def _open(self, width: int, dtype: torch.dtype, device: torch.device) -> None:
        """Make the tables, now that the width is known."""
        self._empty(device)
        self.rows = torch.zeros(0, width)  # for `kind`
        dtype = torch.float64 if dtype == torch.float64 else torch.float32
        if self.kind == "mapped":
            self._empty(torch.device("cpu"))
            self.rows = _mapped(Path(self.store), self.num_classes + 1, width, dtype)
        else:
            classes = self.num_classes if self.kind == "dense" else min(self.num_classes, 1024)
            self.rows = torch.zeros(classes + 1, width, dtype=dtype, device=device)
        self.slot = torch.zeros(self.num_classes, dtype=torch.int32, device=self.rows.device)

    def _check_width(self, width: int) -> None:
        if self.width and width != self.width:
            raise ArgumentError("features", f"of width {self.width} as before", f"width {width}")

    def _apply(self, fn: Any, recurse: bool = True) -> Prototypes:
        """Move to a device, unless the rows are in a file."""
        if self.width and self.kind == "mapped":
            return self
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        return self

    def _save_to_state_dict(self, destination: dict[str, Any], prefix: str, keep_vars: bool) -> None:
        super()._save_to_state_dict(destination, prefix, keep_vars)
        classes = self.slot.nonzero().flatten()
        destination[prefix + "classes"] = classes
        destination[prefix + "prototypes"] = self.rows[self.slot[classes].long()] if self.width else self.rows.clone()

    def _load_from_state_dict(self, state_dict: Any, prefix: str, *others: Any) -> None:
        _, _, missing, _, errors = others
        names = [prefix + "classes", prefix + "prototypes"]
        missing.extend(name for name in names if name not in state_dict)
        if any(name not in state_dict for name in names):
            return
        classes, rows = (state_dict[name] for name in names)
        if len(classes) and int(classes.max()) >= self.num_classes:
            errors.append(f"prototypes of class {int(classes.max())}, where there are {self.num_classes} classes")
            return
        device = self.slot.device
        self._empty(device)
        if rows.shape[1]:
            self._open(rows.shape[1], rows.dtype, device)
            # In rounds, so that a file larger than memory is not gone through at once.
            for some, part in zip(classes.split(1 << 16), rows.split(1 << 16), strict=True):
                sums = torch.cat([widened(part), widened(torch.ones_like(part[:, :1]))], 1)
                self._write(some.to(self.slot.device), sums.to(self.rows.device))

    def extra_repr(self) -> str:
        """Shown by print(prototypes)."""
        return f"classes={self.num_classes}, momentum={self.momentum}, store={self.store}"


def _mapped(folder: Path, rows: int, width: int, dtype: torch.dtype) -> Tensor:
    """Zeros `[rows, width]` in a file without a name; only pages that were written take room."""
    size = rows * width * dtype.itemsize
    free = shutil.disk_usage(folder).free
    if free < size:
        raise ArgumentError("store", f"a folder with room for {size:,} bytes", f"'{folder}' with {free:,} bytes free")
    handle, name = tempfile.mkstemp(prefix="prototypes-", dir=folder)
    os.close(handle)
    values = torch.from_file(name, shared=True, size=rows * width, dtype=dtype)
    with contextlib.suppress(PermissionError):  # Windows keeps the file as long as it is mapped
        os.unlink(name)
    return values.view(rows, width)
