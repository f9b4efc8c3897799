"""Files that are there whole or not at all; without torch, as the bench and the report use them too."""

from __future__ import annotations

import os
from pathlib import Path

from steelyard.core.errors import CheckpointError


def write_atomically(path: Path, payload: bytes) -> None:
    """Write a file so that a reader finds the old content or the new, never a part.

    Raises:
        CheckpointError: no space, no permission, ...; the old file is as it was.
    """
    partial = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with partial.open("wb") as file:
            file.write(payload)
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial, path)
    except OSError as error:
        partial.unlink(missing_ok=True) if path.parent.is_dir() else None
        reason = error.strerror or str(error)
        raise CheckpointError(
            f"could not write {path} ({reason}); what was saved before is intact: make room or choose another folder, and run "
            "the same command again to continue"
        ) from error
