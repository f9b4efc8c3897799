"""Members side by side: a thread for some of them each, which waits for nobody before it is done.

Torch's own threads share one operation and wait for each other after it, turning all the while. A step of several small
networks is hundreds of operations of some 30 microseconds, for which that costs about as much as it saves. Threads of Python
do better where they seldom need the interpreter, which one thread has at a time: so what they run is TorchScript, a sequence
of operations that Python does not see, and numpy, in few calls: each gives the interpreter away. While they work, torch's own
threads must not: there would be more of them than processors.
"""

from __future__ import annotations

import os
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import pairwise
from typing import Any, TypeVar

import torch

Found = TypeVar("Found")


class _Here(threading.local):
    """What a thread of Python may use."""

    threads = 1


_here = _Here()
_lock = threading.Lock()
_pools: dict[int, ThreadPoolExecutor] = {}
if sys.platform != "win32":  # a child has none of its parent's threads
    os.register_at_fork(after_in_child=_pools.clear)


@contextmanager
def own_threads(wanted: bool = True) -> Iterator[None]:
    """Within, `side_by_side` has as many threads as torch had, and torch has one.

    Args:
        wanted: False to leave all as it is.
    """
    before = torch.get_num_threads()
    if not wanted or before < 2:
        yield
        return
    _here.threads = before
    torch.set_num_threads(1)
    try:
        yield
    finally:
        _here.threads = 1
        torch.set_num_threads(before)


def has_threads() -> bool:
    """Does `side_by_side` have several threads here?"""
    return _here.threads > 1


def side_by_side(work: Callable[[int, int], Found], count: int) -> list[Found]:
    """Call `work(first, last)` for ranges that make up 0 to `count`, in order, without gradients.

    One range for each thread within `own_threads`, the first of them for the thread that asks; else one for all.

    Example:
        >>> side_by_side(lambda first, last: list(range(first, last)), 3)
        [[0, 1, 2]]
    """
    before = _here.threads
    threads = min(before, count)
    if threads < 2:
        return [_without_gradients(work, 0, count)]
    ends = [count * number // threads for number in range(threads + 1)]
    waiting = [_pool(threads).submit(_without_gradients, work, first, last) for first, last in pairwise(ends[1:])]
    _here.threads = 1  # of a range, too
    try:
        own = _without_gradients(work, 0, ends[1])
    finally:
        _here.threads = before
    return [own, *(each.result() for each in waiting)]


def _without_gradients(work: Callable[[int, int], Found], first: int, last: int) -> Found:
    with torch.no_grad():
        return work(first, last)


class Compiled:
    """A function in TorchScript, which needs no compiler on the machine; as it is, where this torch does not take it.

    Compiled when it is first called, in some hundredths of a second.

    Args:
        function: of tensors, numbers and lists of them, with types that TorchScript knows.
    """

    def __init__(self, function: Callable[..., Any]) -> None:
        self.function = function
        self._found: Callable[..., Any] | None = None

    def __call__(self, *given: Any) -> Any:
        """What the function gives."""
        return (self._found or self.compiled())(*given)

    def compiled(self) -> Callable[..., Any]:
        """The function, in TorchScript where possible."""
        with _lock:
            if self._found is None:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")  # deprecated, for something that asks for a compiler
                    try:
                        self._found = torch.jit.script(self.function)
                    except Exception:  # whatever a later torch thinks of it
                        self._found = self.function
            return self._found


def _pool(threads: int) -> ThreadPoolExecutor:
    """Threads beside the one that asks."""
    with _lock:
        if threads not in _pools:
            _pools[threads] = ThreadPoolExecutor(threads - 1, "members", initializer=_alone)
        return _pools[threads]


def _alone() -> None:
    torch.get_num_threads()  # a thread's first question sets its number to that of the program
    torch.set_num_threads(1)
