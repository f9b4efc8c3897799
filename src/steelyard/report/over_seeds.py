"""What was found of the models of several seeds, as one: means, and intervals over the seeds."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from steelyard.report.vocabulary import number

Json = dict[str, Any]
AVERAGED = ("groups", "classes", "geometry", "held_out")
"""What of a model is averaged; what is drawn of it (Gram matrices, embeddings, weights, curvature) stays that of one seed."""


def over_seeds(found: Sequence[Json], numbers_of: Callable[[Json], Json]) -> Json:
    """The facts of the first seed with means over all seeds in place of its numbers.

    Each model gets "over_seeds": the values of `numbers_of` by seed. A method that a seed lacks is averaged over the others.

    Args:
        found: of `steelyard.diagnosis.diagnose_models`, with "seed", one a seed.
        numbers_of: the numbers of a model that are to have intervals, by name.

    Example:
        >>> def facts(seed, recall):
        ...     return {"seed": seed, "notes": [], "models": [{"method": "ce", "groups": {"all": recall}}]}
        >>> made = over_seeds([facts(0, 0.4), facts(1, 0.6)], lambda model: {"recall": model["groups"]["all"]})
        >>> made["models"][0]
        {'method': 'ce', 'groups': {'all': 0.5}, 'over_seeds': {'recall': [0.4, 0.6]}}
    """
    first, seeds = found[0], [str(facts["seed"]) for facts in found]
    models = []
    for model in first["models"]:
        same = [other for facts in found for other in facts["models"] if other["method"] == model["method"]]
        means = {key: _mean([other[key] for other in same]) for key in AVERAGED if key in model}
        values = [numbers_of(other) for other in same]
        models.append(model | means | {"over_seeds": {key: [one[key] for one in values] for key in values[0]}})
    said = (
        f"numbers are means over the seeds {', '.join(seeds)}, with 95 % t intervals over them in the table; what is drawn of "
        f"class means, classifiers, embeddings, weights and curvature is that of seed {seeds[0]}"
    )
    notes = [said, *dict.fromkeys(note for facts in found for note in facts["notes"])] if len(found) > 1 else first["notes"]
    return first | {"seed": ", ".join(seeds), "models": models, "notes": notes}


def _mean(values: Sequence[Any]) -> Any:
    """The mean of numbers, also inside dictionaries and lists of one shape; of anything else the first."""
    first = values[0]
    if isinstance(first, dict):
        alike = [value for value in values if isinstance(value, dict)]
        return {key: _mean([value[key] for value in alike if key in value]) for key in first}
    if isinstance(first, list):
        rows = [value for value in values if isinstance(value, list) and len(value) == len(first)]
        return [_mean(list(column)) for column in zip(*rows, strict=True)]
    if isinstance(first, bool | str):
        return first
    known = [value for value in map(number, values) if value is not None]
    if not known:
        return first
    return first if all(value == first for value in known) else sum(known) / len(known)
