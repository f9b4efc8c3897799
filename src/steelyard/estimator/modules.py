"""The networks that methods leave behind, as JSON: which wrappers and classifiers are around a network known by name."""

from __future__ import annotations

from typing import Any, TypeAlias

import torch
from torch import nn

from steelyard.core.errors import DataError
from steelyard.core.head import find_head
from steelyard.decisions import Adjusted, LogitShift, TauNormalize
from steelyard.decisions.scale import Scale
from steelyard.nets import FrozenStatistics, ScaledScores, build, with_head
from steelyard.nets.cosine_head import NormedLinear
from steelyard.nets.nearest_mean import NearestMean

Json: TypeAlias = "dict[str, Any]"


def describe(module: nn.Module) -> Json:
    """What `network_of` needs, beside the network's own name and sizes, to build a module of this shape.

    Raises:
        DataError: a wrapper, decision or classifier that is not one of ours.

    Example:
        >>> from steelyard.nets import MLP
        >>> describe(Adjusted(MLP(2, 3), LogitShift([9, 1])))
        {'adjusted': {'network': {}}, 'decision': {'logit_shift': 2}}
    """
    if isinstance(module, Adjusted):
        return {"adjusted": describe(module.model), "decision": _decision(module.decision)}
    if isinstance(module, ScaledScores):
        return {"scaled": describe(module.model), "classes": len(module.scale)}
    if isinstance(module, FrozenStatistics):
        return {"frozen": describe(module.model)}
    found = find_head(module)
    return {"network": {} if found is None else _head(found[1])}


def network_of(about: Json, spec: Json) -> nn.Module:
    """A module of the described shape with weights that mean nothing yet.

    Args:
        about: from `describe`.
        spec: name and sizes of the network (`name`, `num_classes`, `input_shape`, `cardinalities`, `settings`).

    Raises:
        DataError: not such a description.
    """
    with torch.random.fork_rng(devices=[]):
        return _built(about, spec)


def _built(about: Json, spec: Json) -> nn.Module:
    match about:
        case {"adjusted": inner, "decision": decision}:
            return Adjusted(_built(inner, spec), _decision_of(decision))
        case {"scaled": inner, "classes": classes}:
            return ScaledScores(_built(inner, spec), classes)
        case {"frozen": inner}:
            return FrozenStatistics(_built(inner, spec))
        case {"network": head}:
            sizes = {name: spec[name] for name in ("num_classes", "input_shape", "cardinalities")}
            network = build(spec["name"], **sizes, **spec["settings"])
            return with_head(network, _head_of(head)) if head else network
    raise DataError(f"the model's description has a part that this version does not know: {sorted(about)}")


def _decision(decision: nn.Module) -> Json:
    if isinstance(decision, Scale):
        return {"scale": 1}
    if isinstance(decision, LogitShift):
        return {"logit_shift": len(decision.shift)}
    if isinstance(decision, TauNormalize):
        return {"tau_normalize": decision.tau, "keep_bias": decision.keep_bias}
    raise DataError(f"a model with a {type(decision).__name__} behind it cannot be written without Python's pickle")


def _decision_of(about: Json) -> nn.Module:
    match about:
        case {"scale": _}:
            return Scale(1.0)
        case {"logit_shift": classes}:
            return LogitShift([1] * classes)
        case {"tau_normalize": tau, "keep_bias": keep_bias}:
            return TauNormalize(tau, keep_bias=keep_bias)
    raise DataError(f"the model's description has a decision that this version does not know: {sorted(about)}")


def _head(head: nn.Module) -> Json:
    if isinstance(head, nn.Linear):
        return {}
    if isinstance(head, NormedLinear):
        return {"normed": [head.in_features, head.out_features]}
    if isinstance(head, NearestMean):
        return {"nearest_mean": [head.in_features, head.out_features], "distance": head.distance}
    raise DataError(f"a model that ends in a {type(head).__name__} cannot be written without Python's pickle")


def _head_of(about: Json) -> nn.Module:
    match about:
        case {"normed": [features, classes]}:
            return NormedLinear(features, classes)
        case {"nearest_mean": [features, classes], "distance": distance}:
            return NearestMean(torch.zeros(classes, features), [1] * classes, distance=distance)
    raise DataError(f"the model's description has a classifier that this version does not know: {sorted(about)}")
