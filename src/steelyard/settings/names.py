"""Names to modules: `ldam-drw` is the function `ldam_drw` of the module `steelyard.methods.ldam_drw`. There is no registry."""

from __future__ import annotations

import importlib
import os
import pkgutil
import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any

from steelyard.core.errors import ArgumentError, SteelyardError, UnknownName

ROOMS = {"method": "steelyard.methods", "regime": "steelyard.regimes", "problem": "steelyard.problems"}


def known_names(kind: str) -> list[str]:
    """The names of a kind that come with steelyard: the public modules of its room, with dashes.

    Example:
        >>> "ldam-drw" in known_names("method")
        True
    """
    return [module.replace("_", "-") for module in public_modules(_room(kind))]


def public_modules(package: str) -> list[str]:
    """The modules of a package whose names do not start with an underscore, in alphabetical order."""
    path = importlib.import_module(package).__path__
    return sorted(found.name for found in pkgutil.iter_modules(path) if not found.name.startswith("_"))


def resolve(kind: str, name: str) -> Callable[..., Any]:
    """What a name stands for.

    Args:
        kind: "method", "regime" or "problem".
        name: of something that comes with steelyard, with dashes; or `module:attribute` of anything that can be imported,
            from the current folder too.

    Raises:
        UnknownName: no such name; says the nearest.
        SteelyardError: the module cannot be imported, or lacks the attribute.

    Example:
        >>> resolve("method", "ldam-drw").__name__
        'ldam_drw'
    """
    if ":" in name:
        return imported(kind, name)
    room, module = _room(kind), name.replace("-", "_")
    if module not in public_modules(room):
        raise UnknownName(kind, name, known_names(kind))
    found: Any = getattr(importlib.import_module(f"{room}.{module}"), module, None)
    if not callable(found):
        raise UnknownName(kind, name, [known for known in known_names(kind) if known != name])
    return found  # type: ignore[no-any-return]


def imported(kind: str, name: str) -> Callable[..., Any]:
    """The callable `module:attribute` of somebody's own code.

    Args:
        kind: what it is, for messages ("model", "method", ...).
        name: `package.module:function`.

    Raises:
        SteelyardError: the module cannot be imported, or the attribute is missing or not callable.
    """
    module_name, _, attribute = name.partition(":")
    module = _import(kind, name, module_name)
    found: Any = module
    for part in attribute.split("."):
        found = getattr(found, part, None)
    if not callable(found):
        public = ", ".join(key for key, value in vars(module).items() if callable(value) and not key.startswith("_"))
        raise SteelyardError(
            f"{kind} '{name}': module '{module_name}' has no function '{attribute}'; it has: {public or 'no public functions'}"
        )
    return found  # type: ignore[no-any-return]


def _import(kind: str, name: str, module_name: str) -> ModuleType:
    if os.getcwd() not in sys.path and "" not in sys.path:
        sys.path.append(os.getcwd())  # a console script does not look in the current folder, where own code mostly is
    try:
        return importlib.import_module(module_name)
    except Exception as error:
        raise SteelyardError(
            f"{kind} '{name}': module '{module_name}' cannot be imported ({type(error).__name__}: {error}); "
            "check its name, or run from the folder that holds it"
        ) from error


def _room(kind: str) -> str:
    if kind not in ROOMS:
        raise ArgumentError("kind", " or ".join(map(repr, ROOMS)), repr(kind))
    return ROOMS[kind]
