"""The model that the settings of a problem ask for: by name with settings, or made by somebody's own code."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any

from steelyard.nets.by_name import LIBRARIES
from steelyard.problems._settings import ProblemSettings
from steelyard.settings.names import resolve
from steelyard.settings.text import read_call


def model_of(settings: ProblemSettings) -> dict[str, Any]:
    """`model` and `model_settings`, with the settings that were written behind a name: "small-cnn(width=16)"."""
    model, extra = settings.model, dict(settings.model_settings)
    if isinstance(model, str) and "(" in model:
        model, written = read_call(model)
        extra = written | extra
    return {"model": model, "model_settings": extra}


def with_own_model(settings: ProblemSettings) -> ProblemSettings:
    """The same settings, where `module:function` names a model, with that function, given what was written behind it.

    Raises:
        SteelyardError: the module cannot be imported, or has no such function.

    Example:
        >>> with_own_model(ProblemSettings(model="torch.nn:Linear(in_features=4)")).model(out_features=3)
        Linear(in_features=4, out_features=3, bias=True)
    """
    factory = _own_factory(settings.model)
    if factory is None:
        return settings
    given = model_of(settings)["model_settings"]
    if given:
        filled = functools.partial(factory, **given)
        filled.__dict__["__name__"] = getattr(factory, "__name__", str(settings.model))  # shown in tables
        factory = filled
    return settings.replace(model=factory, model_settings={})


def own_model_file(model: Any) -> Path | None:
    """The file of the function that `module:function` names; None for other models, and where there is no such file."""
    factory = _own_factory(model)
    if factory is None:
        return None
    try:
        found = inspect.getsourcefile(factory)
    except TypeError:  # written in C
        return None
    return None if found is None or not Path(found).is_file() else Path(found)


def _own_factory(model: Any) -> Callable[..., Any] | None:
    name = model.partition("(")[0] if isinstance(model, str) else ""
    left, colon, right = name.partition(":")
    dotted = all(part.isidentifier() for part in (*left.split("."), *right.split(".")))
    return resolve("model", name) if colon and dotted and left not in LIBRARIES else None
