"""Regimes by name, and their settings as text."""

from __future__ import annotations

import dataclasses
from typing import Any

from steelyard.core.errors import ArgumentError, UnknownName
from steelyard.core.regime import Regime
from steelyard.settings.names import resolve
from steelyard.settings.text import Parameter, bind, parameters_of, parse_call


def resolve_regime(regime: str | Regime, **overrides: Any) -> Regime:
    """A regime from its name or itself, with some settings changed.

    Args:
        regime: a name (`short`), a name with settings (`short(epochs=10,lr=0.05)`), `module:function` of your own that returns
            a `Regime`, or a `Regime`.
        overrides: settings by name, as values or as text; None leaves a setting as it is. Write "none" as text to switch a
            setting off.

    Raises:
        UnknownName: no such regime or setting; says the nearest.
        ArgumentError: a setting is of the wrong type or out of range.

    Example:
        >>> resolve_regime("short(epochs=10)", lr="0.05").lr
        0.05
    """
    changes = {key: value for key, value in overrides.items() if value is not None}
    if isinstance(regime, Regime):
        return _changed(regime, changes)
    if not isinstance(regime, str):
        raise ArgumentError("regime", "a regime's name or a Regime", repr(regime))
    name, texts = parse_call(regime)
    function = resolve("regime", name)
    own = parameters_of(function)
    given = bind(name, own, {key: text for key, text in texts.items() if key in own})
    base = function(**given)
    if not isinstance(base, Regime):
        raise ArgumentError("regime", f"a function that returns a Regime, as '{name}' does not", type(base).__name__)
    return _changed(base, {key: text for key, text in texts.items() if key not in own} | changes)


def _changed(regime: Regime, changes: dict[str, Any]) -> Regime:
    known: dict[str, Parameter] = parameters_of(Regime)
    for key in changes:
        if key not in known:
            raise UnknownName("setting of a regime", key, known)
    texts = {key: value for key, value in changes.items() if isinstance(value, str)}
    return dataclasses.replace(regime, **changes | bind("regime", known, texts))
