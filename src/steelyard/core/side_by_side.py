"""Work on several members side by side: one thread of computation each, which waits for nobody before it is done."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import torch

_pools: dict[int, ThreadPoolExecutor] = {}
os.register_at_fork(after_in_child=_pools.clear)  # a child has none of its parent's threads


def side_by_side(work: Callable[[int], None], count: int) -> None:
    """Call `work(0)` to `work(count - 1)`, as many at a time as torch has threads; without gradients.

    Torch's own threads share one operation and wait for each other after it. For many small operations that costs more than it
    saves, most of all where other programs want the processor, too.

    Example:
        >>> found = [0, 0, 0]
        >>> side_by_side(lambda number: found.__setitem__(number, number + 1), 3)
        >>> found
        [1, 2, 3]
    """
    threads = max(min(torch.get_num_threads(), count), 1)

    def share(first: int) -> None:
        with torch.no_grad():
            for number in range(first, count, threads):
                work(number)

    if threads < 2:
        share(0)
        return
    for done in [_pool(threads).submit(share, first) for first in range(threads)]:
        done.result()


def _alone() -> None:
    torch.get_num_threads()  # a thread's first question sets its number to that of the program
    torch.set_num_threads(1)


def _pool(threads: int) -> ThreadPoolExecutor:
    if threads not in _pools:
        before, started = torch.get_num_threads(), Barrier(threads)
        pool = ThreadPoolExecutor(threads, "members", initializer=_alone)
        for waiting in [pool.submit(started.wait) for _ in range(threads)]:
            waiting.result()
        torch.set_num_threads(before)  # that of the threads here is each one's own, but some libraries keep only one number
        _pools[threads] = pool
    return _pools[threads]
