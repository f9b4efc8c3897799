"""What a method is, read from its docstring, its signature and a dry run."""

from __future__ import annotations

import importlib
import inspect
import re
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any

from steelyard.core.stage import Steps
from steelyard.settings.names import ROOMS, data_kinds, kind_of_method, known_names
from steelyard.settings.probe import dry_run, words_of
from steelyard.settings.recipe import Recipe, resolve_method


@dataclass(frozen=True)
class MethodInfo:
    """A line of `steelyard methods`.

    Attributes:
        name: on the command line.
        summary: first line of the docstring.
        source: the docstring's reference.
        words: which words it replaces, and by what; empty for plain cross-entropy training.
        settings: names and values; the defaults for a bare name.
        control: is it one of the controls that a comparison should always hold?
        of: the kind of data that it works on, where that is one only; "" for any.
    """

    name: str
    summary: str
    source: str
    words: dict[str, str] = field(default_factory=dict)
    settings: dict[str, Any] = field(default_factory=dict)
    control: bool = False
    of: str = ""

    def to_json(self) -> dict[str, Any]:
        """Everything as JSON values."""
        return asdict(self)


def describe_methods() -> list[MethodInfo]:
    """Every method that comes with steelyard, in alphabetical order, those for one kind of data after the others.

    Example:
        >>> [info.words for info in describe_methods() if info.name == "la"]
        [{'loss': 'logit-adjusted'}]
    """
    return [describe_method(name) for of in ("", *data_kinds()) for name in known_names("method", of)]


def describe_method(method: str | Callable[..., Steps]) -> MethodInfo:
    """A method, a combination or somebody's own function in a few words.

    Example:
        >>> describe_method("la").source.startswith("Menon")
        True
    """
    recipe = resolve_method(method)
    summary, source = _documentation(recipe)
    control = recipe.name in importlib.import_module(ROOMS["method"]).CONTROLS
    of = next((kind for part in recipe.parts or (recipe,) if (kind := kind_of_method(part.name))), "")
    return MethodInfo(recipe.name, summary, source, {} if of else _words(recipe), dict(recipe.settings), control, of)


def _words(recipe: Recipe) -> dict[str, str]:
    if not all(_is_ours(part) for part in (recipe.parts or (recipe,))):
        # Somebody's own method may need more of its task than a tiny one has; what it is called does not depend on that.
        try:
            return words_of(dry_run(recipe))
        except Exception:
            return {}
    return words_of(dry_run(recipe))


def _is_ours(recipe: Recipe) -> bool:
    return getattr(recipe.function, "__module__", "").startswith(ROOMS["method"])


def _documentation(recipe: Recipe) -> tuple[str, str]:
    if recipe.parts:
        documented = [_documentation(part) for part in recipe.parts]
        sources = dict.fromkeys(source for _, source in documented if source)
        return "Combination of " + " and ".join(part.name for part in recipe.parts) + ".", "; ".join(sources)
    if "=" in recipe.name.partition("(")[0]:
        return f"Cross-entropy training with {recipe.name}.", ""
    text = inspect.getdoc(recipe.function) or ""
    return text.partition("\n")[0], reference_in(text)


def reference_in(docstring: str) -> str:
    r"""The first paragraph of a docstring's "Reference:" section, as one line; empty where there is none.

    Example:
        >>> reference_in("One line.\n\nReference:\n    Menon et al.,\n    ICLR 2021.\n\nDepartures:\n    none")
        'Menon et al., ICLR 2021.'
    """
    found = re.search(r"^References?:\s*\n((?:[ \t]+\S.*(?:\n|$))+)", docstring, re.MULTILINE)
    return " ".join(found[1].split()) if found else ""
