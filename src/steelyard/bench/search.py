"""What may be tuned: the settings of a method and of a regime, and the ranges that are declared for them.

A method declares its ranges in its file, next to the function: `SEARCH = {"tau": "0.5..2"}`. A word may do the same in its
file, a regime in its own, and `steelyard.regimes.SEARCH` holds for all regimes.
"""

from __future__ import annotations

import dataclasses
import importlib
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from steelyard.bench.ranges import Range, read_range
from steelyard.core.errors import ArgumentError, SteelyardError, UnknownName
from steelyard.core.regime import Regime
from steelyard.settings import Recipe, dry_run, format_call, parameters_of, resolve, resolve_method
from steelyard.settings.combine import WordMethod
from steelyard.settings.names import ROOMS
from steelyard.settings.text import Parameter
from steelyard.settings.words import Choice

OVER = ("both", "method", "regime")
"""Whose declared settings are tuned."""


@dataclass(frozen=True)
class Setting:
    """A setting that can be tuned.

    Attributes:
        key: how it is addressed: `tau`, `lr`, `ldam.max_margin`, `loss.tau`, `regime.momentum`.
        annotation: its type.
        value: what it is now.
        declared: the range that its owner declares, as text; None without one.
        chosen: has the user set it? It is then left alone unless a range is given for it.
        regime: does it belong to the regime?
    """

    key: str
    annotation: Any
    value: Any
    declared: str | None
    chosen: bool
    regime: bool = False


class Tunable:
    """A method under a regime, as settings that can be read and changed.

    Args:
        method: in canonical spelling, as `resolve_method(...).name` gives it.
        regime: the recipe, with what the user has changed.
        regime_name: that it was made from.
        changed: names of the regime's settings that the user has set.

    Example:
        >>> tunable = Tunable("la", Regime(lr=0.05), "short")
        >>> tunable.settings["tau"].value, tunable.changed({"tau": 1.5, "lr": 0.1})[0]
        (1.0, 'la(tau=1.5)')
    """

    def __init__(self, method: str, regime: Regime, regime_name: str, changed: Iterable[str] = ()) -> None:
        recipe = resolve_method(method)
        self.parts = recipe.parts or (recipe,)
        self.regime = regime
        several = len(self.parts) > 1
        found: dict[str, Setting] = {}
        for part in self.parts:
            for setting in _settings_of(part, several):
                found[setting.key] = setting
        self._regime_keys = {name: f"regime.{name}" if name in found else name for name in parameters_of(Regime)}
        declared, by_hand = _declared_by_regime(regime_name), set(changed)
        for name, parameter in parameters_of(Regime).items():
            key = self._regime_keys[name]
            text = declared.get(name)
            found[key] = Setting(key, parameter.annotation, getattr(regime, name), text, name in by_hand, regime=True)
        self.settings = found

    def find(self, name: str) -> Setting:
        """A setting by its key, or by the end of it where that is clear (`tau` for `loss.tau`).

        Raises:
            UnknownName: there is none.
            SteelyardError: several parts have one of that name.
        """
        if name in self.settings:
            return self.settings[name]
        ending = [key for key in self.settings if key.endswith(f".{name}")]
        if len(ending) > 1:
            raise SteelyardError(f"several parts have a setting '{name}': say which, {' or '.join(map(repr, ending))}")
        if not ending:
            raise UnknownName("setting to search", name, self.settings)
        return self.settings[ending[0]]

    def changed(self, values: Mapping[str, Any]) -> tuple[str, Regime]:
        """The method, as text, and the regime with other values.

        Args:
            values: by key.

        Raises:
            ArgumentError: the regime does not allow a value.
        """
        several = len(self.parts) > 1
        texts = [_written(part, values, several) for part in self.parts]
        of_regime = {name: values[key] for name, key in self._regime_keys.items() if key in values}
        return "+".join(texts), dataclasses.replace(self.regime, **of_regime)


def space_of(tunable: Tunable, over: str = "both", searched: Iterable[tuple[str, str]] = ()) -> dict[str, Range]:
    """The ranges that are searched, by key.

    Args:
        tunable: method and regime.
        over: "both", "method" or "regime": whose declared ranges are taken.
        searched: (key, range as text), in place of what is declared or in addition to it; a single value fixes a setting.

    Returns:
        The ranges; settings that are fixed are among them.

    Raises:
        UnknownName: no such setting; says the nearest.
        ArgumentError: a text is no range for the setting, or the setting cannot have its ends.
        SteelyardError: there is nothing to tune.

    Example:
        >>> space = space_of(Tunable("la", Regime(), "short"), "method")
        >>> {key: found.text for key, found in space.items()}
        {'tau': '0.5..2.0'}
    """
    if over not in OVER:
        raise ArgumentError("over", " or ".join(map(repr, OVER)), repr(over))
    space = {}
    for key, setting in tunable.settings.items():
        wanted = over == "both" or setting.regime == (over == "regime")
        if wanted and setting.declared is not None and not setting.chosen and not _without_multiples(setting):
            space[key] = read_range(key, setting.declared, setting.annotation, setting.value)
    given = set[str]()
    for name, text in searched:
        setting = tunable.find(name)
        if setting.key in given:
            raise SteelyardError(f"--search names '{setting.key}' twice: give it one range")
        given.add(setting.key)
        space[setting.key] = read_range(name, text, setting.annotation, setting.value)
    if all(found.fixed for found in space.values()):
        known = ", ".join(key for key, setting in tunable.settings.items() if not setting.regime) or "of the method none"
        raise SteelyardError(
            f"there is nothing to tune: no setting has a range; give one with --search, as in --search 'lr=log(1e-3..1)' "
            f"(settings of the method: {known})"
        )
    for key, found in space.items():
        for end in found.ends:
            _try(tunable, key, end)
    return space


def _without_multiples(setting: Setting) -> bool:
    """A declared multiple of something that is 0 or none now: there is nothing to multiply."""
    return "x" in (setting.declared or "") and (setting.value is None or setting.value == 0)


def _try(tunable: Tunable, key: str, value: Any) -> None:
    """Refuse a value that the regime, or the method on its own, does not allow."""
    method, _ = tunable.changed({key: value})
    if tunable.settings[key].regime:
        return
    try:
        dry_run(resolve_method(method))
    except ArgumentError as error:
        if error.argument == key.rpartition(".")[2]:
            raise
    except SteelyardError:
        return  # a method of somebody's own may need more of its task than a tiny one has


def _settings_of(part: Recipe, several: bool) -> Iterator[Setting]:
    if isinstance(part.method, WordMethod):
        yield from _settings_of_word(part.method.choice, part.method.choice.word)
        return
    declared = declared_in(part.function)
    prefix = f"{_base(part)}." if several else ""
    for key, parameter in _parameters(part).items():
        value = part.settings[key]
        yield Setting(f"{prefix}{key}", parameter.annotation, value, declared.get(key), value != parameter.default)


def _settings_of_word(choice: Choice, prefix: str) -> Iterator[Setting]:
    declared = declared_in(choice.target)
    for key, parameter in choice.parameters.items():
        value = choice.settings.get(key, parameter.default)
        if isinstance(value, Choice):
            yield from _settings_of_word(value, f"{prefix}.{key}")
        else:
            yield Setting(f"{prefix}.{key}", parameter.annotation, value, declared.get(key), key in choice.settings)


def declared_in(target: Any) -> dict[str, str]:
    """The ranges that the file of a function or class declares; of a name that it has not, nothing is said here.

    Example:
        >>> declared_in(resolve("method", "la"))
        {'tau': '0.5..2'}
    """
    module = sys.modules.get(getattr(target, "__module__", ""))
    found = getattr(module, "SEARCH", {})
    if not isinstance(found, dict) or not all(isinstance(text, str) for text in found.values()):
        expected = f"a dictionary from settings to ranges as text, such as {{'tau': '0.5..2'}}, in {target.__module__}"
        raise ArgumentError("SEARCH", expected, repr(found))
    return found


def _declared_by_regime(name: str) -> dict[str, str]:
    everywhere: dict[str, str] = importlib.import_module(ROOMS["regime"]).SEARCH
    return everywhere | declared_in(resolve("regime", name.partition("(")[0]))


def _base(part: Recipe) -> str:
    return part.name.partition("(")[0]


def _parameters(part: Recipe) -> dict[str, Parameter]:
    return {key: parameter for key, parameter in parameters_of(part.function).items() if key in part.settings}


def _written(part: Recipe, values: Mapping[str, Any], several: bool) -> str:
    """A part as text with other values."""
    if isinstance(part.method, WordMethod):
        choice = part.method.choice
        return f"{choice.word}={_replaced(choice, values, choice.word).text}"
    prefix = f"{_base(part)}." if several else ""
    settings = {key: values.get(f"{prefix}{key}", value) for key, value in part.settings.items()}
    known = _parameters(part)
    return format_call(_base(part), {key: value for key, value in settings.items() if value != known[key].default})


def _replaced(choice: Choice, values: Mapping[str, Any], prefix: str) -> Choice:
    settings = dict(choice.settings)
    for key, parameter in choice.parameters.items():
        inner = settings.get(key)
        if isinstance(inner, Choice):
            settings[key] = _replaced(inner, values, f"{prefix}.{key}")
        elif f"{prefix}.{key}" in values:
            settings[key] = values[f"{prefix}.{key}"]
            if key not in choice.settings and settings[key] == parameter.default:
                del settings[key]  # as it was written
    return dataclasses.replace(choice, settings=settings)
