"""Checkpoints that can be trusted: written atomically, checked by SHA-256, never unpickled.

A checkpoint is `step-<n>.pt` with `step-<n>.pt.sha256` beside it (the format of `sha256sum -c`). The two newest are kept; a
truncated or altered one is named, and the one before it is used.
"""

from __future__ import annotations

import hashlib
import io
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from steelyard.core.atomic import write_atomically
from steelyard.core.errors import CheckpointError

KEEP = 2


class DamagedCheckpointWarning(UserWarning):
    """A checkpoint does not match its checksum and an older one is used."""


def save_state(path: Path, state: dict[str, Any]) -> None:
    """Write tensors, numbers, strings and containers of them, with a checksum beside the file."""
    buffer = io.BytesIO()
    torch.save(state, buffer)
    payload = buffer.getvalue()
    # The checksum goes first: a kill between the two leaves a checksum without a file, which nobody reads.
    digest = f"{hashlib.sha256(payload).hexdigest()}  {path.name}\n"
    write_atomically(checksum_of(path), digest.encode())
    write_atomically(path, payload)


def load_state(path: Path) -> dict[str, Any]:
    """Read what `save_state` wrote; tensors arrive on the CPU.

    Raises:
        CheckpointError: missing, truncated, altered, or not ours; the message names the file.
    """
    try:
        payload = path.read_bytes()
        expected = checksum_of(path).read_text().split()[0]
    except (OSError, IndexError, UnicodeDecodeError):
        raise CheckpointError(f"checkpoint {path} or its checksum {checksum_of(path).name} cannot be read") from None
    if hashlib.sha256(payload).hexdigest() != expected:
        raise CheckpointError(f"checkpoint {path} is damaged: its content does not match {checksum_of(path).name}")
    try:
        state: dict[str, Any] = torch.load(io.BytesIO(payload), map_location="cpu", weights_only=True)
    except Exception as error:
        raise CheckpointError(f"checkpoint {path} cannot be read: {str(error).splitlines()[0]}") from error
    return state


def checksum_of(path: Path) -> Path:
    """Where the checksum of a file lies."""
    return path.with_name(path.name + ".sha256")


class Checkpoints:
    """The checkpoints of one training run, newest first.

    Args:
        folder: theirs alone; made when needed.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __iter__(self) -> Iterator[Path]:
        found = [path for path in self.folder.glob("step-*.pt") if path.stem.removeprefix("step-").isdigit()]
        return iter(sorted(found, key=lambda path: int(path.stem.removeprefix("step-")), reverse=True))

    def save(self, step: int, state: dict[str, Any]) -> None:
        """Add a checkpoint and drop all but the newest two, and any of later steps: those were damaged and passed over."""
        path = self.folder / f"step-{step:09d}.pt"
        save_state(path, state)
        kept = list(self)
        for old in kept[: kept.index(path)] + kept[kept.index(path) + KEEP :]:
            old.unlink(missing_ok=True)
            checksum_of(old).unlink(missing_ok=True)

    def newest(self) -> dict[str, Any] | None:
        """The newest checkpoint that is whole; damaged ones are named in a `DamagedCheckpointWarning` and passed over."""
        for path in self:
            try:
                return load_state(path)
            except CheckpointError as error:
                warnings.warn(f"{error}; trying the one before it", DamagedCheckpointWarning, stacklevel=2)
        return None

    def clear(self) -> None:
        """Remove all checkpoints: the run is finished and its result is written."""
        for path in list(self):
            path.unlink(missing_ok=True)
            checksum_of(path).unlink(missing_ok=True)
