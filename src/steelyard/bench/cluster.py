"""Runs on a Ray cluster instead of local processes; the output folder must be one that every node sees."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

from steelyard.bench.pool import Outcome
from steelyard.core.errors import SteelyardError, TrainingError

Job = TypeVar("Job")


def run_jobs_on_ray(
    function: Callable[[Job], Any], jobs: Sequence[Job], *, address: str, workers: int, threads: int, idle: Callable[[], None]
) -> Iterator[Outcome[Job]]:
    """Run `function(job)` for every job as Ray tasks and give the outcomes as they come.

    Args:
        function: importable by name on every node.
        jobs: picklable.
        address: of the cluster ("auto" finds a running one), or "local" to start one here.
        workers: CPUs of a local cluster; ignored by a running one, which knows its own.
        threads: torch threads, and CPUs asked for, a task.
        idle: called several times a second while waiting.

    Raises:
        SteelyardError: ray is not installed, or no cluster answers at the address.
    """
    ray = _connect(address, workers * threads)
    remote = ray.remote(num_cpus=threads, max_retries=0)(_with_threads)
    pending = {remote.remote(function, job, threads): job for job in jobs}
    try:
        while pending:
            ready, _ = ray.wait(list(pending), num_returns=1, timeout=0.3)
            idle()
            for reference in ready:
                yield _outcome(ray, reference, pending.pop(reference))
    finally:
        for reference in pending:
            ray.cancel(reference, force=True)
        ray.shutdown()


def _connect(address: str, cpus: int) -> Any:
    try:
        import ray
    except ModuleNotFoundError:
        raise SteelyardError("--ray needs the library 'ray'; install it with: pip install 'steelyard[ray]'") from None
    _knock(address)
    try:
        if address == "local":
            ray.init(address="local", num_cpus=cpus, include_dashboard=False, log_to_driver=False, configure_logging=False)
        else:
            ray.init(address=address, log_to_driver=False, configure_logging=False)
    except (ConnectionError, ValueError, RuntimeError) as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise SteelyardError(f"no Ray cluster at '{address}': {reason}") from None
    return ray


def _knock(address: str) -> None:
    """Look whether anybody listens at host:port: Ray itself would go on trying for many minutes."""
    host, colon, port = address.rpartition("://")[2].rpartition(":")
    if not colon:
        return
    try:
        if not port.isdigit():
            raise OSError("the port is no number")
        socket.create_connection((host, int(port)), timeout=10).close()
    except OSError as error:
        raise SteelyardError(f"no Ray cluster at '{address}': {error.strerror or error}") from None


def _with_threads(function: Callable[[Any], Any], job: Any, threads: int) -> Any:
    import torch

    torch.set_num_threads(threads)
    try:
        return ("value", function(job))
    except SteelyardError as error:
        return ("error", error)


def _outcome(ray: Any, reference: Any, job: Any) -> Outcome[Any]:
    try:
        kind, value = ray.get(reference)
    except Exception as error:
        lines = str(error).strip().splitlines() or ["no message"]
        return Outcome(job, error=TrainingError(f"{type(error).__name__} on the cluster: {lines[-1]}"))
    return Outcome(job, value) if kind == "value" else Outcome(job, error=value)
