"""Text to values: calls as text, strictly bound to the signatures of what they name."""

from __future__ import annotations

import ast
import inspect
import math
import re
import types
import typing
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Union

from steelyard.core.errors import ArgumentError, SteelyardError, UnknownName

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.:-]*")
_KEY = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_CLOSES = {"(": ")", "[": "]"}


def split_outside(text: str, separators: str) -> list[str]:
    """Split text at separators that are outside all parentheses; the parts are stripped.

    Raises:
        SteelyardError: parentheses do not match.

    Example:
        >>> split_outside("la(tau=1, x=2) + mixup", "+")
        ['la(tau=1, x=2)', 'mixup']
    """
    parts, start, open_ones = [], 0, list[str]()
    for position, letter in enumerate(text):
        if letter in _CLOSES:
            open_ones.append(_CLOSES[letter])
        elif letter in _CLOSES.values():
            if not open_ones or open_ones.pop() != letter:
                raise SteelyardError(f"'{text}' has a '{letter}' without its opening bracket")
        elif letter in separators and not open_ones:
            parts.append(text[start:position].strip())
            start = position + 1
    if open_ones:
        raise SteelyardError(f"'{text}' lacks a closing '{open_ones[-1]}'")
    return [*parts, text[start:].strip()]


def split_list(text: str) -> list[str]:
    """The items of a comma-separated list; commas inside parentheses belong to their item.

    Raises:
        SteelyardError: an item is empty, or parentheses do not match.

    Example:
        >>> split_list("ce,la(tau=1.5),ldam-drw")
        ['ce', 'la(tau=1.5)', 'ldam-drw']
    """
    if not text.strip():
        return []
    items = split_outside(text, ",")
    if not all(items):
        raise SteelyardError(f"the list '{text}' has an empty item: remove the extra comma")
    return items


def split_call(text: str) -> tuple[str, list[str]]:
    """Name and argument texts of `name` or `name(argument, ...)`.

    Raises:
        SteelyardError: the text is neither.

    Example:
        >>> split_call("deferred(inverse-frequency, after=0.8)")
        ('deferred', ['inverse-frequency', 'after=0.8'])
    """
    name, bracket, rest = text.strip().partition("(")
    name = name.strip()
    split_outside(text, ",")  # refuses unmatched parentheses
    if not _NAME.fullmatch(name) or (bracket and not rest.endswith(")")):
        raise SteelyardError(f"'{text}' should be a name, or a name with settings like la(tau=1.5)")
    inside = rest[:-1]
    return name, split_list(inside) if bracket else []


def split_setting(argument: str) -> tuple[str | None, str]:
    """Key and value text of `key=value`; the key is None for a value alone."""
    key, equals, value = argument.partition("=")
    if equals and _KEY.fullmatch(key.strip()):
        return key.strip(), value.strip()
    return None, argument.strip()


def parse_call(text: str) -> tuple[str, dict[str, str]]:
    """Name and settings, still as text, of `name` or `name(key=value, ...)`.

    Raises:
        SteelyardError: not of that form, a setting without a key, or a key given twice.

    Example:
        >>> parse_call("la(tau=1.5)")
        ('la', {'tau': '1.5'})
    """
    name, arguments = split_call(text)
    settings: dict[str, str] = {}
    for argument in arguments:
        key, value = split_setting(argument)
        if key is None or not value:
            raise SteelyardError(f"setting '{argument}' of '{name}' should be key=value, as in la(tau=1.5)")
        if key in settings:
            raise SteelyardError(f"setting '{key}' of '{name}' is given twice")
        settings[key] = value
    return name, settings


def read_call(text: str) -> tuple[str, dict[str, Any]]:
    """As `parse_call`, with each setting as the number, truth value, none or tuple that it is written like, else as text.

    For what says itself which settings it takes: nothing is known of their types here.

    Example:
        >>> read_call("lora(r=4, bias=none, target_modules=(q, v), init=false)")
        ('lora', {'r': 4, 'bias': None, 'target_modules': '(q, v)', 'init': False})
    """
    name, texts = parse_call(text)
    return name, {key: _literal(value) for key, value in texts.items()}


def _literal(text: str) -> Any:
    try:
        return ast.literal_eval({"true": "True", "false": "False", "none": "None"}.get(text, text))
    except (ValueError, SyntaxError):
        return text


def format_value(value: object) -> str:
    """A value as text that `convert` reads back."""
    if value is None or isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple | list):
        return "(" + ",".join(map(format_value, value)) + ")"
    return str(value)


def format_call(name: str, settings: Mapping[str, object]) -> str:
    """The text that `parse_call` reads back.

    Example:
        >>> format_call("la", {"tau": 1.5}), format_call("ce", {})
        ('la(tau=1.5)', 'ce')
    """
    inside = ",".join(f"{key}={format_value(value)}" for key, value in settings.items())
    return f"{name}({inside})" if inside else name


@dataclass(frozen=True)
class Parameter:
    """A parameter that can be set by name.

    Attributes:
        name: the key.
        annotation: its type.
        default: `inspect.Parameter.empty` where it must be given.
        positional: may it also be given without its key?
    """

    name: str
    annotation: Any
    default: Any
    positional: bool

    @property
    def required(self) -> bool:
        """Must it be given?"""
        return self.default is inspect.Parameter.empty


def parameters_of(function: Callable[..., Any], skip: Iterable[str] = ()) -> dict[str, Parameter]:
    """The parameters of a function or class that can be set by name, without those of `skip`."""
    target = function.__init__ if inspect.isclass(function) else function
    hints = _hints_of(target)
    passed_over = {*skip, "self"} if inspect.isclass(function) else set(skip)
    found = {}
    for name, parameter in inspect.signature(target).parameters.items():
        if name in passed_over or parameter.kind not in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY):
            continue
        annotation = hints.get(name, _type_of_default(parameter.default))
        positional = parameter.kind is parameter.POSITIONAL_OR_KEYWORD
        found[name] = Parameter(name, annotation, parameter.default, positional)
    return found


def _hints_of(target: Callable[..., Any]) -> dict[str, Any]:
    """Types by name; one whose names cannot be looked up is left out, and the default's type decides."""
    hints: dict[str, Any] = {}
    for name, annotation in getattr(target, "__annotations__", {}).items():
        alone = types.SimpleNamespace(__annotations__={name: annotation})
        with suppress(NameError, TypeError, AttributeError):
            hints |= typing.get_type_hints(alone, globalns=getattr(target, "__globals__", {}))
    return hints


def _type_of_default(default: object) -> Any:
    return str if default is inspect.Parameter.empty or default is None else type(default)


def bind(owner: str, known: Mapping[str, Parameter], texts: Mapping[str, str]) -> dict[str, Any]:
    """Settings as text to values of the right types; nothing is filled in.

    Args:
        owner: whose settings they are, for messages.
        known: its parameters.
        texts: key to value text.

    Raises:
        UnknownName: a key is not a parameter.
        ArgumentError: a text is not of the parameter's type.
        SteelyardError: a parameter without default is missing.

    Example:
        >>> def la(*, tau: float = 1.0): ...
        >>> bind("la", parameters_of(la), {"tau": "2"})
        {'tau': 2.0}
    """
    for key in texts:
        if key not in known:
            raise UnknownName(f"setting of {owner}", key, known)
    check_complete(owner, known, texts)
    return {key: convert(key, text, known[key].annotation) for key, text in texts.items()}


def check_complete(owner: str, known: Mapping[str, Parameter], given: Iterable[str]) -> None:
    """Refuse a call that lacks a parameter without default."""
    have = set(given)
    missing = [name for name, parameter in known.items() if parameter.required and name not in have]
    if missing:
        raise SteelyardError(f"'{owner}' needs a value for {' and '.join(missing)}: write {owner}({missing[0]}=...)")


def convert(key: str, text: str, annotation: Any) -> Any:
    """A value of a type from text.

    Args:
        key: for messages.
        text: what was written.
        annotation: int, float, bool (only true / false), str, Path, None, Literal, a union of these, or a tuple or sequence
            of numbers written as (0.8,0.9).

    Raises:
        ArgumentError: the text is no such value.

    Example:
        >>> convert("milestones", "(0.8,0.9)", tuple[float, ...]), convert("q", "none", float | None)
        ((0.8, 0.9), None)
    """
    for choice in choices_of(annotation):
        value = _read(text, choice)
        if value is not _UNREADABLE:
            return value
    raise ArgumentError(key, type_in_words(annotation), repr(text))


_UNREADABLE = object()
_WORDS = {
    int: "a whole number",
    float: "a finite number",
    bool: "true or false",
    str: "text",
    type(None): "none",
    Path: "a path",
}


def type_in_words(annotation: Any) -> str:
    """A type as a message names it.

    Example:
        >>> type_in_words(float | None), type_in_words(Literal["head", "tail"])
        ('a finite number or none', "'head' or 'tail'")
    """
    return " or ".join(_one_in_words(choice) for choice in sorted(choices_of(annotation), key=lambda c: c is type(None)))


def is_writable(annotation: Any) -> bool:
    """Whether some value of a type can be written as text; None alone does not count.

    Example:
        >>> is_writable(float | None), is_writable(tuple[float, ...]), is_writable(dict[str, float])
        (True, True, False)
    """
    plain = (int, float, bool, str, Path, Any, tuple, list)
    return any(
        choice in plain or typing.get_origin(choice) in (Literal, tuple, list, Sequence) for choice in choices_of(annotation)
    )


def _one_in_words(annotation: Any) -> str:
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is Literal:
        return " or ".join(map(repr, arguments))
    if origin in (tuple, list, Sequence):
        return f"values like ({_one_in_words(arguments[0])}, ...)" if arguments else "values in parentheses"
    return _WORDS.get(annotation, f"a {getattr(annotation, '__name__', annotation)} object, which cannot be written as text")


def choices_of(annotation: Any) -> list[Any]:
    """The members of a union type, those that accept fewer texts first; other types alone."""
    if typing.get_origin(annotation) in (Union, types.UnionType):
        order = [type(None), bool, int, float]
        members = list(typing.get_args(annotation))
        return sorted(members, key=lambda member: order.index(member) if member in order else len(order) + (member is str))
    return [type(None) if annotation is None else annotation]


def _read(text: str, annotation: Any) -> Any:
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is Literal:
        return next((value for value in arguments if format_value(value) == text), _UNREADABLE)
    if origin in (tuple, list, Sequence) or annotation in (tuple, list):
        return _read_several(text, origin or annotation, arguments)
    if annotation is type(None):
        return None if text.lower() == "none" else _UNREADABLE
    if annotation is bool:
        return {"true": True, "false": False}.get(text, _UNREADABLE)
    if annotation is int:
        return int(text) if re.fullmatch(r"[+-]?[0-9]+", text) else _UNREADABLE
    if annotation is float:
        return _read_float(text)
    if annotation is Path:
        return Path(text)
    return text if annotation in (str, Any) else _UNREADABLE


def _read_float(text: str) -> Any:
    try:
        value = float(text)
    except ValueError:
        return _UNREADABLE
    return value if math.isfinite(value) and "_" not in text else _UNREADABLE


def _read_several(text: str, origin: Any, arguments: tuple[Any, ...]) -> Any:
    if not (text.startswith(("(", "[")) and text.endswith((")", "]"))):
        return _UNREADABLE
    items = split_list(text[1:-1].rstrip().removesuffix(","))
    member_types = [a for a in arguments if a is not Ellipsis] or [float]
    fixed = origin is tuple and len(arguments) > 0 and Ellipsis not in arguments
    if fixed and len(items) != len(member_types):
        return _UNREADABLE
    kinds = member_types if fixed else [member_types[0]] * len(items)
    values = [
        next((v for v in (_read(item, c) for c in choices_of(kind)) if v is not _UNREADABLE), _UNREADABLE)
        for item, kind in zip(items, kinds, strict=True)
    ]
    if _UNREADABLE in values:
        return _UNREADABLE
    return list(values) if origin is list else tuple(values)
