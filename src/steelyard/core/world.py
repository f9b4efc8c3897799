"""The processes that train together: what is averaged between them, and when.

Data parallelism is an all-reduce of `.grad`, weighted by the rows behind it, so the step is that of one process on the whole
batch. Launch with `torchrun`, or let `launch` start the processes.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

from steelyard.core.errors import ArgumentError, SteelyardError, TrainingError
from steelyard.numeric.normalise import divisor

IMPORTABLE = "define models, methods and listeners in a module, and start from a script below `if __name__ == '__main__':`"
"""What Python asks of code that runs in several processes."""


@dataclass(frozen=True)
class World:
    """This process among those that train together.

    Attributes:
        rank: this process.
        size: how many there are.
    """

    rank: int = 0
    size: int = 1

    @classmethod
    def current(cls) -> World:
        """The world of torch.distributed where it is set up, else one process."""
        if dist.is_available() and dist.is_initialized():
            return cls(dist.get_rank(), dist.get_world_size())
        return cls()

    def local_batch(self, batch_size: int) -> int:
        """Rows of a batch that this process takes."""
        if batch_size % self.size:
            raise ArgumentError("regime.batch_size", f"a multiple of the {self.size} processes", batch_size)
        return batch_size // self.size

    def average_gradients(self, params: Iterable[Tensor], mass: Tensor | int) -> None:
        """Replace gradients by their mean over processes, each weighted by its `mass` (rows, or sum of shares)."""
        if self.size == 1:
            return
        grads = [p.grad for p in params if p.grad is not None]
        flat = torch.cat([g.flatten() for g in grads])
        own = torch.as_tensor(mass, dtype=flat.dtype, device=flat.device).detach().reshape(1)
        packed = torch.cat([flat * own, own])
        dist.all_reduce(packed)
        mean = packed[:-1] / divisor(packed[-1])  # no row of any process counts: zeros
        for grad, part in zip(grads, torch.split(mean, [g.numel() for g in grads]), strict=True):
            grad.copy_(part.view_as(grad))

    def average_buffers(self, model: nn.Module) -> None:
        """Replace floating buffers (BatchNorm statistics) by their mean over processes; done before a model is judged."""
        if self.size == 1:
            return
        for buffer in model.buffers():
            if buffer.is_floating_point():
                dist.all_reduce(buffer)
                buffer /= self.size

    def sum(self, values: Tensor) -> Tensor:
        """The sum of a tensor over the processes, as a new tensor."""
        total = values.clone()
        if self.size > 1:
            dist.all_reduce(total)
        return total

    def share_start(self, module: nn.Module) -> None:
        """Give every process the parameters and buffers of process 0."""
        if self.size > 1:
            for value in module.state_dict().values():
                if isinstance(value, Tensor):
                    dist.broadcast(value, 0)

    def gather(self, value: Any) -> list[Any]:
        """The values of all processes, in order of rank."""
        if self.size == 1:
            return [value]
        everyone: list[Any] = [None] * self.size
        dist.all_gather_object(everyone, value)
        return everyone

    def mean(self, value: float) -> float:
        """The mean of a number over the processes; NaN for all where one has NaN."""
        return float(sum(self.gather(value))) / self.size

    def agree(self, value: Any) -> Any:
        """The value of process 0, everywhere."""
        if self.size == 1:
            return value
        held = [value]
        dist.broadcast_object_list(held, 0)
        return held[0]


def join() -> World:
    """Join the processes that `torchrun` started (RANK and WORLD_SIZE in the environment); one process otherwise."""
    if int(os.environ.get("WORLD_SIZE", "1")) > 1 and not dist.is_initialized():
        dist.init_process_group("nccl" if torch.cuda.is_available() else "gloo", timeout=timedelta(minutes=30))
    return World.current()


def local_device(device: str | torch.device = "auto") -> torch.device:
    """The device of this process: "auto" is this process' GPU where there is one, else the CPU."""
    if str(device) != "auto":
        try:
            chosen = torch.device(device)
            torch.empty(0, device=chosen)
        except (RuntimeError, AssertionError):  # no such kind, none of it in this machine, or torch built without it
            raise ArgumentError("device", "'auto', 'cpu' or a device of this machine", repr(str(device))) from None
        return chosen
    if torch.cuda.is_available():
        return torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")) % torch.cuda.device_count())
    return torch.device("cpu")


def launch(function: Callable[..., Any], processes: int, *arguments: Any) -> Any:
    """Run `function(*arguments)` in `processes` local processes and return what process 0 returned.

    Args:
        function: importable by name, as the processes are spawned.
        processes: how many; 1 runs it here.
        arguments: picklable.

    Raises:
        SteelyardError: what a process raised, or something cannot be sent to another process.
        TrainingError: a process died or failed otherwise.
    """
    if processes < 1:
        raise ArgumentError("processes", "at least 1", processes)
    if processes == 1:
        return function(*arguments)
    import pickle
    import tempfile

    from torch.multiprocessing.spawn import ProcessExitedException, ProcessRaisedException, spawn

    with tempfile.TemporaryDirectory() as folder:
        outcome = Path(folder) / "outcome"
        try:
            spawn(_enter, (processes, folder, function, arguments), nprocs=processes)
        except (pickle.PicklingError, AttributeError, TypeError) as error:
            raise SteelyardError(
                f"this cannot be sent to {processes} processes ({error}): {IMPORTABLE}, or use one process"
            ) from None
        except ProcessExitedException as died:
            _raise_what_one_wrote(folder)
            if not _done(folder, died.error_index).exists():  # else it died of its own end, when all was done and written
                hint = f"; its message is above (if it could not find something: {IMPORTABLE})" if died.exit_code == 1 else ""
                raise TrainingError(
                    f"process {died.error_index} of {processes} died with exit code {died.exit_code}{hint}"
                ) from None
        except ProcessRaisedException as raised:
            _raise_what_one_wrote(folder)
            last = str(raised).strip().splitlines()[-1]
            raise TrainingError(f"process {raised.error_index} of {processes} failed: {last}") from raised
        return pickle.loads(outcome.read_bytes())


def _done(folder: str, rank: int) -> Path:
    """What a process leaves when all have finished their work."""
    return Path(folder) / f"done-{rank}"


def _raise_what_one_wrote(folder: str) -> None:
    """Raise the error of ours that a process left, if any: the others then fail too, for want of it, and may be heard first."""
    import pickle

    for failure in sorted(Path(folder).glob("failure-*")):
        raise pickle.loads(failure.read_bytes()) from None


def _enter(rank: int, size: int, folder: str, function: Callable[..., Any], arguments: tuple[Any, ...]) -> None:
    import pickle

    backend = "nccl" if torch.cuda.is_available() else "gloo"
    os.environ["LOCAL_RANK"] = str(rank)
    dist.init_process_group(backend, init_method=f"file://{folder}/meet", rank=rank, world_size=size)
    try:
        value = function(*arguments)
        if rank == 0:
            (Path(folder) / "outcome").write_bytes(pickle.dumps(value))
        dist.barrier()  # whoever is done first would take the connections from under the others
        _done(folder, rank).touch()  # threads of gloo's now and then outlive their process group, and abort the process
    except SteelyardError as error:
        written = Path(folder) / f"writing-{rank}"
        written.write_bytes(pickle.dumps(error))
        written.rename(Path(folder) / f"failure-{rank}")  # complete, or not there
        raise
    finally:
        dist.destroy_process_group()
