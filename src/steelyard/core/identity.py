"""What a run is made of, in a few digits, so that its checkpoints are never taken for another's."""

from __future__ import annotations

import functools
import hashlib
import json
import re
import warnings
from collections.abc import Mapping
from types import CodeType
from typing import Any

import torch
from torch import Tensor, nn

from steelyard.core.errors import CheckpointError
from steelyard.core.regime import Regime
from steelyard.core.task import Source, Task

SAMPLED_ROWS = 64
"""Rows whose inputs are looked at: enough to notice other data, few enough to cost nothing where images must be decoded."""


class ResumedElsewhereWarning(UserWarning):
    """A checkpoint goes on where the last bits of a sum may differ: other threads, device or version of torch."""


_ADDRESS = re.compile(r" at 0x[0-9a-f]+")


def run_identity(task: Task, method: object, regime: Regime, seed: int, processes: int) -> str:
    """A SHA-256 of what decides a run's numbers: data, method and its own code, regime, seed, processes.

    Of the data it takes in all labels and the inputs of `SAMPLED_ROWS` rows of a split.
    """
    name = getattr(method, "name", None) or getattr(method, "__qualname__", type(method).__name__)
    data = {split: _data(task.splits[split]) for split in ("train", "valid") if split in task.splits}
    facts = [task.name, task.class_names, data, str(name), code_of(method), regime.settings(), seed, processes]
    return _digest(json.dumps(facts, sort_keys=True).encode())


def structure_of(model: nn.Module) -> str:
    """A SHA-256 of a model's layers and the shapes of its weights, not of their values."""
    shapes = {name: list(value.shape) for name, value in model.state_dict().items() if isinstance(value, Tensor)}
    return _digest(_plain(repr(model)).encode(), json.dumps(shapes).encode())


def check_structure(state: Mapping[str, Any], model: nn.Module) -> None:
    """Refuse a checkpoint of another model.

    Raises:
        CheckpointError: layers or shapes differ.
    """
    if state["structure"] != structure_of(model):
        raise CheckpointError(
            f"the folder holds the checkpoints of another run, whose model has other layers than this {type(model).__name__}: "
            "choose another folder, or delete it to start anew"
        )


def made_by(device: torch.device) -> dict[str, Any]:
    """What the last bits of sums depend on besides the run itself."""
    return {"torch": str(torch.__version__), "threads": torch.get_num_threads(), "device": device.type}


def warn_of_other_bits(state: Mapping[str, Any], device: torch.device) -> None:
    """Say so where a checkpoint was made with something else than what goes on from it."""
    before, now = state["made"], made_by(device)
    changed = [f"{name} {before[name]} before and {now[name]} now" for name in now if before[name] != now[name]]
    if changed:
        warnings.warn(
            f"training goes on from step {state['steps']} with {', '.join(changed)}: the result may differ in its last bits "
            "from that of an uninterrupted run",
            ResumedElsewhereWarning,
            stacklevel=4,
        )


def code_of(method: object) -> str:
    """A SHA-256 of the code of somebody's own method; empty for methods of steelyard, which has versions.

    Comments are not taken in, and neither are other functions that it calls.

    Example:
        >>> import textwrap
        >>> code_of(textwrap.dedent) == code_of(textwrap.indent), code_of(code_of)
        (False, '')
    """
    parts = getattr(method, "parts", ())
    if parts:
        return "".join(code_of(part) for part in parts)
    function: Any = getattr(method, "function", method)
    while isinstance(function, functools.partial):
        function = function.func
    code = getattr(function, "__code__", None) or getattr(type(function).__call__, "__code__", None)
    if code is None or str(getattr(function, "__module__", "")).startswith("steelyard."):
        return ""
    defaults = [getattr(function, name, None) for name in ("__defaults__", "__kwdefaults__")]
    return _digest(_plain(repr((_instructions(code), defaults))).encode())


def _instructions(code: CodeType) -> list[Any]:
    return [code.co_code, code.co_names, [_constant(value) for value in code.co_consts]]


def _constant(value: Any) -> Any:
    if isinstance(value, CodeType):
        return _instructions(value)
    return sorted(map(repr, value)) if isinstance(value, frozenset) else repr(value)  # sets have no order of their own


def _data(source: Source) -> str:
    rows = torch.linspace(0, len(source) - 1, min(SAMPLED_ROWS, len(source)), dtype=torch.float64).long()
    inputs = [_bytes(values) for _, values in source.stream([rows])] if len(rows) else []
    return _digest(_bytes(source.target), *inputs)


def _bytes(values: Any) -> bytes:
    if isinstance(values, Tensor):
        raw = values.detach().cpu().contiguous()
        return f"{raw.dtype}{list(raw.shape)}".encode() + raw.flatten().view(torch.uint8).numpy().tobytes()
    if isinstance(values, Mapping):
        return b"".join(str(name).encode() + _bytes(values[name]) for name in sorted(values, key=str))
    if isinstance(values, list | tuple):
        return b"".join(_bytes(value) for value in values)
    return type(values).__name__.encode()


def _plain(text: str) -> str:
    """A repr without the addresses of objects, which change from process to process."""
    return _ADDRESS.sub("", text)


def _digest(*parts: bytes) -> str:
    return hashlib.sha256(b"\0".join(parts)).hexdigest()
