"""What users write, strictly read: names to modules, settings to values, combinations to methods.

`resolve_method`, `resolve_regime` and `resolve` are the ways in; nothing here imports a method, a loss or a problem before it
is asked for by name.
"""

from steelyard.settings.describe import MethodInfo, describe_method, describe_methods
from steelyard.settings.names import data_kinds, imported, kind_of_method, known_names, resolve
from steelyard.settings.probe import DryRun, dry_run
from steelyard.settings.recipe import Recipe, combine, resolve_method
from steelyard.settings.regime import resolve_regime
from steelyard.settings.text import bind, convert, format_call, parameters_of, parse_call, split_list
from steelyard.settings.words import choose, words_in

__all__ = [
    "DryRun",
    "MethodInfo",
    "Recipe",
    "bind",
    "choose",
    "combine",
    "convert",
    "data_kinds",
    "describe_method",
    "describe_methods",
    "dry_run",
    "format_call",
    "imported",
    "kind_of_method",
    "known_names",
    "parameters_of",
    "parse_call",
    "resolve",
    "resolve_method",
    "resolve_regime",
    "split_list",
    "words_in",
]
