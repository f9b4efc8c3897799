"""Names to modules: `ldam-drw` is the function `ldam_drw` of the module `steelyard.methods.ldam_drw`. There is no registry.

Methods for one kind of data only are in a package of that kind's name: `steelyard.methods.graphs.meta_gcn`.
"""

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


def known_names(kind: str, of: str = "") -> list[str]:
    """The names of a kind that come with steelyard: the public modules of its room, with dashes.

    Args:
        kind: "method", "regime" or "problem".
        of: a kind of data, for the methods that work on such data only; "" for those that work on any.

    Example:
        >>> "ldam-drw" in known_names("method")
        True
    """
    room = _room(kind)
    return [module.replace("_", "-") for module in public_modules(f"{room}.{of.replace('-', '_')}" if of else room)]


def data_kinds() -> list[str]:
    """The kinds of data that have methods of their own, with dashes, in alphabetical order."""
    path = importlib.import_module(ROOMS["method"]).__path__
    return sorted(found.name.replace("_", "-") for found in pkgutil.iter_modules(path) if found.ispkg)


def kind_of_method(name: str) -> str:
    """The kind of data that a method is for, by its name with or without settings; "" where it works on any.

    Example:
        >>> kind_of_method("la(tau=1.5)")
        ''
    """
    bare = name.partition("(")[0].strip()
    return next((of for of in data_kinds() if bare in known_names("method", of)), "")


def public_modules(package: str) -> list[str]:
    """The modules of a package whose names do not start with an underscore, in alphabetical order; packages left out."""
    path = importlib.import_module(package).__path__
    return sorted(found.name for found in pkgutil.iter_modules(path) if not found.name.startswith("_") and not found.ispkg)


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
    known, of = known_names(kind), kind_of_method(name) if kind == "method" else ""
    if of:
        room = f"{room}.{of.replace('-', '_')}"
    elif name.replace("_", "-") not in known:
        further = [one for other in data_kinds() for one in known_names(kind, other)] if kind == "method" else []
        raise UnknownName(kind, name, [*known, *further])
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
