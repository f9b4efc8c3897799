"""Peak memory of a piece of work: of the GPU where there is one, of the process otherwise."""

from __future__ import annotations

import ctypes
import gc
import sys
from contextlib import suppress
from pathlib import Path

import torch


def reset_peak(device: torch.device) -> None:
    """Start counting anew. On Linux this asks the kernel to forget the process' peak; elsewhere the peak is since start."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        return
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


def release() -> None:
    """Give back what nobody uses, so that it does not count in a peak that follows; takes a while in a large program."""
    gc.collect()
    with suppress(OSError, AttributeError):  # glibc alone has it: freed memory that is kept would count
        ctypes.CDLL("libc.so.6").malloc_trim(0)


def peak_mb(device: torch.device) -> float:
    """Peak in MiB since `reset_peak`: allocated GPU memory, or the resident memory of the process."""
    if device.type == "cuda":
        return float(torch.cuda.max_memory_allocated(device)) / 2**20
    try:
        status = Path("/proc/self/status").read_text()
        return int(status.split("VmHWM:")[1].split()[0]) / 2**10
    except (OSError, IndexError):
        import resource

        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak / 2**20 if sys.platform == "darwin" else peak / 2**10
