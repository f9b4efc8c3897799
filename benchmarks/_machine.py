"""What the benchmarks ask of the machine, so that ratios are those of the work itself."""

from __future__ import annotations

import ctypes
import time
from contextlib import suppress

import torch

GIVE_BACK = {"MALLOC_MMAP_THRESHOLD_": str(1 << 20)}
"""For glibc: give large pieces of memory back at once. What is resident is then what is in use, without holes between."""


def keep_memory() -> None:
    """Let the process keep what it frees, as `steelyard compare` does for its processes.

    Else glibc gives it back and takes it again at some steps and not at others. That is a tenth of a step, and hits two passes
    in a row more often than one.
    """
    with suppress(OSError, AttributeError):  # glibc alone has it
        libc = ctypes.CDLL("libc.so.6")
        for option in (-1, -3):  # M_TRIM_THRESHOLD, M_MMAP_THRESHOLD
            libc.mallopt(option, 2**30)


def worked(device: torch.device) -> float:
    """Seconds of work so far: processor time on the CPU, which other work on the machine changes less than wall time."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
        return time.perf_counter()
    return time.process_time()
