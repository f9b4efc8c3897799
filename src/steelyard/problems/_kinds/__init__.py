"""Kinds of data that come with a protocol of their own (graphs, episodes, point clouds, ...): one function a file.

`--task "graphs(protocol=igl-lt-20)"` is the function `graphs` of the module `graphs` here, which is called with the data as
the user gave them, the settings of the problem, and its own keyword arguments, and returns a task. There is no registry.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Iterable
from pathlib import Path
from types import ModuleType
from typing import Any

from steelyard.core.errors import UnknownName
from steelyard.core.task import Task
from steelyard.settings.text import bind, parameters_of, parse_call

PLAIN = ("auto", "images", "tables", "arrays")
"""Kinds that need no protocol: rows with a class each."""


def kinds() -> list[str]:
    """The names of the kinds with a protocol, with dashes, in alphabetical order."""
    return sorted(m.name.replace("_", "-") for m in pkgutil.iter_modules(__path__) if not m.name.startswith("_"))


def maker(text: str) -> Callable[..., Task] | None:
    """What makes a task of data and settings, from the text of `--task`; None for a plain kind.

    Args:
        text: a name, or a name with settings: `graphs(protocol=igl-lt-20)`.

    Raises:
        UnknownName: no such kind, or no such setting of it; says the nearest.
        ArgumentError: a setting of the wrong type.

    Example:
        >>> maker("tables") is None
        True
    """
    name = kind_of(text)
    if name is None:
        return None
    function, settings = function_of(name), _settings_in(name, text)

    def make(data: Any, problem: Any) -> Task:
        return function(data, problem, **settings)

    return make


def kind_of(text: str) -> str | None:
    """The kind with a protocol that `--task` names; None for a plain one.

    Raises:
        UnknownName: no such kind; says the nearest.

    Example:
        >>> kind_of("graphs(protocol=igl-lt-20)"), kind_of("auto")
        ('graphs', None)
    """
    if text in PLAIN:
        return None
    name = parse_call(text)[0]
    if name not in kinds():
        raise UnknownName("task", name, [*PLAIN, *kinds()])
    return name


def files_beside(text: str, data: Any) -> list[Path]:
    """Files and folders that the settings of a kind name beside the data: a run belongs to what is in them, not to names.

    The module of a kind says which they are, in a function `files_beside(data, **settings)` of the settings that were given;
    of what it returns this leaves out what is no file or folder (a name on a hub, say).

    Args:
        text: of `--task`.
        data: as the user gave them.

    Raises:
        SteelyardError: as `maker`.
    """
    name = kind_of(text)
    found = None if name is None else getattr(_module_of(name), "files_beside", None)
    if name is None or found is None:
        return []
    named: Iterable[str | Path] = found(data, **_settings_in(name, text))
    return [Path(path) for path in named if str(path) and Path(path).exists()]


def function_of(name: str) -> Callable[..., Task]:
    """The function that a kind's name stands for."""
    found: Callable[..., Task] = getattr(_module_of(name), name.replace("-", "_"))
    return found


def _module_of(name: str) -> ModuleType:
    return importlib.import_module(f"{__name__}.{name.replace('-', '_')}")


def _settings_in(name: str, text: str) -> dict[str, Any]:
    """The settings that the text gives a kind, strictly bound."""
    own = {key: parameter for key, parameter in parameters_of(function_of(name)).items() if not parameter.positional}
    return bind(f"task {name}", own, parse_call(text)[1])
