"""How large data may be to live on the device."""

from __future__ import annotations

from steelyard.core.errors import ArgumentError

RESIDENT_BYTES = 2 * 2**30
"""Inputs of up to 2 GiB (all splits together, decoded) are resident; larger ones are streamed."""
RESIDENCES = ("auto", "resident", "streamed")


def is_resident(size: int, residence: str = "auto") -> bool:
    """Should inputs of `size` bytes live on the device? Batches are the same either way; only the speed differs.

    Args:
        size: bytes.
        residence: "auto" by size, "resident" or "streamed".

    Raises:
        ArgumentError: `residence` is none of these.

    Example:
        >>> is_resident(10), is_resident(10, "streamed"), is_resident(2**40)
        (True, False, False)
    """
    if residence not in RESIDENCES:
        raise ArgumentError("residence", " or ".join(map(repr, RESIDENCES)), repr(residence))
    return size <= RESIDENT_BYTES if residence == "auto" else residence == "resident"
