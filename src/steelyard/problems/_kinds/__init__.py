"""Kinds of data that come with a protocol of their own (graphs, episodes, point clouds, ...): one function a file.

`--task "graphs(protocol=igl-lt-20)"` is the function `graphs` of the module `graphs` here, which is called with the data as
the user gave them, the settings of the problem, and its own keyword arguments, and returns a task. There is no registry.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable
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
    if text in PLAIN:
        return None
    name, texts = parse_call(text)
    if name not in kinds():
        raise UnknownName("task", name, [*PLAIN, *kinds()])
    function = function_of(name)
    own = {key: parameter for key, parameter in parameters_of(function).items() if not parameter.positional}
    settings = bind(f"task {name}", own, texts)

    def make(data: Any, problem: Any) -> Task:
        return function(data, problem, **settings)

    return make


def function_of(name: str) -> Callable[..., Task]:
    """The function that a kind's name stands for."""
    module = name.replace("-", "_")
    found: Callable[..., Task] = getattr(importlib.import_module(f"{__name__}.{module}"), module)
    return found
