"""The words of a step by name: `loss=la`, `weighting=deferred(inverse-frequency, after=0.8)`."""

from __future__ import annotations

import functools
import importlib
import inspect
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from steelyard.core.descent import plain
from steelyard.core.errors import CombinationError, SteelyardError, UnknownName
from steelyard.core.loss import CrossEntropy, Loss
from steelyard.core.sampler import Sampler, ShuffledSampler
from steelyard.core.transform import untouched
from steelyard.core.weighting import Uniform, Weighting
from steelyard.settings.names import ROOMS, imported, known_names, public_modules
from steelyard.settings.text import (
    Parameter,
    check_complete,
    convert,
    format_call,
    is_writable,
    parameters_of,
    split_call,
    split_setting,
)

WORDS = ("loss", "weighting", "sampler", "transform", "descent", "decision")
_ROOMS = {word: f"steelyard.{word}s" if word != "loss" else "steelyard.losses" for word in WORDS}
_BASES: dict[str, type] = {"loss": Loss, "weighting": Weighting, "sampler": Sampler}
_IDENTITIES: dict[str, dict[str, Any]] = {
    "loss": {"cross-entropy": CrossEntropy},
    "weighting": {"uniform": Uniform},
    "sampler": {"shuffled": ShuffledSampler},
    "transform": {"untouched": untouched},
    "descent": {"plain": plain},
    "decision": {},
}
SHORT_NAMES: dict[str, dict[str, str]] = {
    "loss": {
        "ce": "cross-entropy",
        "la": "logit-adjusted",
        "gla": "generalized-logit-adjusted",
        "gca": "generalized-class-aware",
    },
    "weighting": {
        "class-balanced": "effective-number",
        "cb": "effective-number",
        "cdb": "class-difficulty",
        "rdr": "density-ratio",
        "ot": "optimal-transport",
        "l2rw": "learn-to-reweight",
        "mw-net": "meta-weight-net",
        "cmw-net": "class-aware-meta-weight-net",
        "curvenet": "loss-curve-net",
    },
    "transform": {"m2m": "major-to-minor", "cutmix": "cut-mix"},
    "descent": {
        "metabalance": "meta-balance",
        "cc-sam": "class-conditional-sam",
        "sam-a": "asymmetric-sam",
        "imbsam": "imb-sam",
    },
    "decision": {"tau-norm": "tau-normalize"},
}
"""What some of them are called everywhere else."""

_FROM_TASK = ("class_counts", "num_classes", "rows")
"""Class sizes `[C]`, C, and the number of training rows."""
_FROM_LOOP = ("targets", "seed", "rank", "world_size", "reduction")


def kebab(name: str) -> str:
    """A class name as written on the command line.

    Example:
        >>> kebab("LogitAdjusted"), kebab("LDAM"), kebab("ImbSAM"), kebab("ARBLoss")
        ('logit-adjusted', 'ldam', 'imb-sam', 'arb-loss')
    """
    spaced = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "-", name)
    return spaced.replace("_", "-").lower()


def words_in(word: str) -> dict[str, Any]:
    """Everything that a word can be: names to classes or functions.

    Example:
        >>> words_in("loss")["cross-entropy"].__name__
        'CrossEntropy'
    """
    found = dict(_IDENTITIES[word])
    package = _ROOMS[word]
    for name in public_modules(package):
        module = importlib.import_module(f"{package}.{name}")
        for key, value in vars(module).items():
            if not key.startswith("_") and getattr(value, "__module__", None) == module.__name__ and _is_word(word, value):
                found[name_of_word(value)] = value
    return found


def name_of_word(value: Any) -> str:
    """The name of a class, function or object of one of the rooms, or of somebody's own code.

    Example:
        >>> name_of_word(CrossEntropy), name_of_word(ShuffledSampler)
        ('cross-entropy', 'shuffled')
    """
    named = value if inspect.isclass(value) or inspect.isfunction(value) else type(value)
    name = kebab(named.__name__)
    return name.removesuffix("-sampler") or name


def _is_word(word: str, value: Any) -> bool:
    if word in _BASES:
        return inspect.isclass(value) and issubclass(value, _BASES[word]) and not inspect.isabstract(value)
    if word == "decision":
        return inspect.isclass(value) and "forward" in vars(value) and _arguments(vars(value)["forward"]) == ["logits"]
    if inspect.isclass(value):
        called = vars(value).get("__call__") or vars(value).get("forward")
        return called is not None and not inspect.isabstract(value) and _acts_on_a_batch(called)
    return inspect.isfunction(value) and _acts_on_a_batch(value)


def _acts_on_a_batch(function: Any) -> bool:
    """Whether it is a transform or a descent: called with an oracle and a batch."""
    return _arguments(function) == ["oracle", "batch"]


def _arguments(function: Any) -> list[str]:
    return [name for name in inspect.signature(function).parameters if name != "self"]


@dataclass(frozen=True)
class Choice:
    """A word and what it shall be.

    Attributes:
        word: one of `WORDS`.
        name: as known in its room.
        target: class or function.
        settings: its arguments, without those that come from the task or the loop; may hold further choices.
    """

    word: str
    name: str
    target: Any
    settings: Mapping[str, Any]

    @property
    def text(self) -> str:
        """How it is written."""
        return format_call(self.name, self.settings)

    @property
    def parameters(self) -> dict[str, Parameter]:
        """What can be set by name: the parameters that come neither from the task nor from the loop."""
        return _parameters_of(self.word, self.target)

    def __str__(self) -> str:
        return self.text

    def build(self, class_counts: Tensor) -> Any:
        """The object, for a task with these training rows per class `[C]`."""
        if not inspect.isclass(self.target) and self.word in ("transform", "descent"):
            return self.target
        given = {key: value.build(class_counts) if isinstance(value, Choice) else value for key, value in self.settings.items()}
        names = inspect.signature(self.target).parameters
        facts = {"class_counts": class_counts, "num_classes": len(class_counts), "rows": int(class_counts.sum())}
        given |= {key: value for key, value in facts.items() if key in names}
        if self.word == "sampler":
            return functools.partial(self.target, **given) if given else self.target
        return self.target(**given)


def choose(word: str, text: str) -> Choice:
    """Read what a word shall be.

    Args:
        word: one of `WORDS`.
        text: a name with settings; a first value without key goes to the first parameter. Another word may be a value.

    Raises:
        UnknownName: no such word, name or setting.
        ArgumentError: a value is not of its parameter's type.
        CombinationError: it needs something that text cannot give (a meta set, a model); says which method brings it.
        SteelyardError: a setting is missing, given twice, or the text cannot be read.

    Example:
        >>> choose("weighting", "deferred(inverse-frequency, after=0.9)").text
        'deferred(weighting=inverse-frequency,after=0.9)'
    """
    if word not in WORDS:
        raise UnknownName("word", word, WORDS)
    name, arguments = split_call(text)
    if ":" in name:
        target: Any = imported(word, name)
    else:
        room = words_in(word)
        name = SHORT_NAMES.get(word, {}).get(name, name)
        if name not in room:
            is_method = f"'{name}' is a method: write it beside other words, without '{word}='"
            hint = is_method if name in known_names("method") else None
            raise UnknownName(word, name, [*room, *SHORT_NAMES.get(word, {})], hint)
        target = room[name]
    return Choice(word, name, target, _bind(word, name, target, arguments))


def _bind(word: str, name: str, target: Any, arguments: list[str]) -> dict[str, Any]:
    known = _parameters_of(word, target)
    _refuse_what_text_cannot_give(word, name, target, known)
    free = [parameter.name for parameter in known.values() if parameter.positional]
    settings: dict[str, Any] = {}
    for position, argument in enumerate(arguments):
        key, value = split_setting(argument)
        if key is None:
            if position >= len(free):
                raise SteelyardError(f"{word} '{name}' takes no further value: '{argument}' should be key=value")
            key = free[position]
        if key not in known:
            raise UnknownName(f"setting of {name}", key, known)
        if key in settings:
            raise SteelyardError(f"setting '{key}' of {word} '{name}' is given twice")
        inner = _word_of_type(known[key].annotation)
        settings[key] = convert(key, value, known[key].annotation) if inner is None else choose(inner, value)
    check_complete(name, known, settings)
    return settings


def _parameters_of(word: str, target: Any) -> dict[str, Parameter]:
    if not inspect.isclass(target) and word in ("transform", "descent"):
        return {}  # the thing itself, not what makes it
    return parameters_of(target, skip=_FROM_TASK + _FROM_LOOP)


def _refuse_what_text_cannot_give(word: str, name: str, target: Any, known: Mapping[str, Parameter]) -> None:
    """A word alone has no rows or models to offer: those come with a method."""
    lacking = [
        parameter.name
        for parameter in known.values()
        if parameter.required and _word_of_type(parameter.annotation) is None and not is_writable(parameter.annotation)
    ]
    if not lacking:
        return
    bringing = methods_with(target)
    instead = (
        f"use the method {' or '.join(map(repr, bringing))}, which brings it, in place of '{word}={name}'"
        if bringing
        else "build it in a method of your own"
    )
    raise CombinationError(f"{word} '{name}' needs `{lacking[0]}`, which cannot be written as text: {instead}")


def methods_with(target: Any) -> list[str]:
    """The methods of steelyard that use a class or function, by name.

    Example:
        >>> from steelyard.core.weighting import Uniform
        >>> methods_with(Uniform)
        []
    """
    room = ROOMS["method"]
    modules = {name: importlib.import_module(f"{room}.{name.replace('-', '_')}") for name in known_names("method")}
    return [name for name, module in modules.items() if any(value is target for value in vars(module).values())]


def _word_of_type(annotation: Any) -> str | None:
    """The word that a parameter's type asks for, None for plain values."""
    for word, base in _BASES.items():
        if inspect.isclass(annotation) and issubclass(annotation, base):
            return word
    if getattr(annotation, "__name__", "") == "SamplerFactory":
        return "sampler"
    return None
