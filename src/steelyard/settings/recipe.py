"""From what a user writes to a method: a name, a name with settings, a combination, a module's function, or a callable."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import nn

from steelyard.core.errors import ArgumentError, SteelyardError
from steelyard.core.stage import Steps
from steelyard.core.task import TaskView
from steelyard.settings.combine import Combination, WordMethod, check_combination
from steelyard.settings.names import ROOMS, resolve
from steelyard.settings.probe import started
from steelyard.settings.text import bind, check_complete, format_call, parameters_of, parse_call, split_outside
from steelyard.settings.words import choose

_WORD = re.compile(r"\s*([A-Za-z_][A-Za-z_-]*)\s*=(.*)", re.DOTALL)


@dataclass(frozen=True)
class Recipe:
    """A method with its settings: call it with a task view to get its stages. It can be pickled when its function can.

    Attributes:
        name: how it is written, settings that have their default left out; part of a run's identity.
        method: takes a task view.
        settings: all settings, defaults too; those of a combination are prefixed with the part's name.
        parts: the recipes that a combination is made of.
    """

    name: str
    method: Callable[[TaskView], Steps]
    settings: Mapping[str, Any] = field(default_factory=dict)
    parts: tuple[Recipe, ...] = ()

    def __call__(self, task: TaskView) -> Steps:
        """The stages."""
        return started(self.method, task)

    @property
    def function(self) -> Callable[..., Any]:
        """The function that a name stands for, where the docstring is."""
        return self.method.func if isinstance(self.method, functools.partial) else self.method


def resolve_method(method: str | Callable[..., Steps]) -> Recipe:
    """The one way from text or code to a method.

    Args:
        method: a name (`la`), a name with settings (`la(tau=1.5)`), parts joined by `+` or blanks (`ldam+drw`,
            `loss=la weighting=deferred(inverse-frequency) transform=mixup`), `module:function` of your own, or a generator
            function of a task view, whose other parameters are its settings.

    Raises:
        UnknownName: no such method, word or setting; says the nearest.
        ArgumentError: a setting is of the wrong type.
        CombinationError: the parts cannot be one method.
        SteelyardError: the text cannot be read, or the module not imported.

    Example:
        >>> resolve_method("la(tau=2)").name, resolve_method("la(tau=1.0)").name
        ('la(tau=2.0)', 'la')
        >>> resolve_method("la+ldam")
        Traceback (most recent call last):
        ...
        steelyard.core.errors.CombinationError: methods 'la' and 'ldam' cannot be combined: both set the loss
    """
    if isinstance(method, Recipe):
        return method
    if isinstance(method, str):
        parts = [part for piece in split_outside(method, "+") for part in _terms(piece, method)]
        return _read_term(parts[0]) if len(parts) == 1 else combine([_read_term(part) for part in parts])
    if isinstance(method, nn.Module) or not callable(method):
        expected = "a method's name ('la', 'loss=focal'), or a generator function of a task that yields stages"
        raise ArgumentError("method", expected, f"a {type(method).__name__}")
    return _from_callable(method)


def combine(parts: str | list[Recipe]) -> Recipe:
    """Several one-stage methods or words as one method.

    Args:
        parts: recipes, or a text like `ldam+drw`.

    Raises:
        CombinationError: two set the same word, one has several stages, or the class prior would be corrected twice.

    Example:
        >>> combine("ldam + drw").name
        'ldam+drw'
    """
    if isinstance(parts, str):
        return resolve_method(parts)
    named = tuple((part.name, part) for part in parts)
    check_combination(named)
    settings = {f"{part.name.partition('(')[0]}.{key}": value for part in parts for key, value in part.settings.items()}
    return Recipe("+".join(part.name for part in parts), Combination(named), settings, tuple(parts))


def _terms(piece: str, text: str) -> list[str]:
    """Blanks separate terms too; blanks around `=` and before `(` belong to their term."""
    if not piece:
        raise SteelyardError(f"method '{text}' has an empty part: write parts like ldam+drw")
    tight = re.sub(r"\s*=\s*", "=", piece)
    tight = re.sub(r"\s+\(", "(", tight)
    return [term for term in split_outside(tight, " \t\n") if term]


def _read_term(term: str) -> Recipe:
    word = _WORD.match(term)
    if word is not None:
        choice = choose(word[1], word[2].strip())
        settings = {
            key: str(value) if not isinstance(value, int | float | str | tuple | None) else value
            for key, value in choice.settings.items()
        }
        return Recipe(f"{choice.word}={choice.text}", WordMethod(choice), settings)
    name, texts = parse_call(term)
    function = resolve("method", name)
    known = _settings_of(function)
    return _bound(name, function, bind(name, known, texts))


def _from_callable(method: Callable[..., Steps]) -> Recipe:
    function, given = (method.func, dict(method.keywords)) if isinstance(method, functools.partial) else (method, {})
    qualified = getattr(function, "__qualname__", type(function).__name__)
    module = getattr(function, "__module__", "__main__")
    ours = module.startswith(ROOMS["method"] + ".") and module.rpartition(".")[2] == qualified
    name = qualified.replace("_", "-") if ours else f"{module}:{qualified}"
    check_complete(name, _settings_of(function), given)
    return _bound(name, function, given)


def _settings_of(function: Callable[..., Any]) -> dict[str, Any]:
    """All parameters but the first, which is the task."""
    known = parameters_of(function)
    first = next((parameter.name for parameter in known.values() if parameter.positional), None)
    return {key: parameter for key, parameter in known.items() if key != first}


def _bound(name: str, function: Callable[..., Steps], given: dict[str, Any]) -> Recipe:
    known = _settings_of(function)
    everything = {key: given.get(key, parameter.default) for key, parameter in known.items()}
    changed = {key: value for key, value in everything.items() if value != known[key].default}
    method = functools.partial(function, **given) if given else function
    return Recipe(format_call(name, changed), method, everything)
