"""From clouds and settings to a task."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from steelyard.core.errors import ArgumentError, DataError, UnknownName
from steelyard.data.clouds import Cloud
from steelyard.data.resident import ResidentSource
from steelyard.tasks.models import Model
from steelyard.tasks.points.geometry import RADII, feature_names, geometric_features
from steelyard.tasks.points.holding import deal, groups_of
from steelyard.tasks.points.labels import Labels, find_labels
from steelyard.tasks.points.models import point_builder
from steelyard.tasks.points.samples import Cutting, cut
from steelyard.tasks.points.shown import shown_of
from steelyard.tasks.points.task import PointTask


@dataclass(frozen=True)
class Protocol:
    """How clouds become a task.

    Attributes:
        column: of the labels; None to look for it.
        classes: "value:name" of each class; empty for every value.
        ignore: classes, or values, whose points are taken out of the cloud first.
        positive: name of the class that the numbers are of; "auto" for leaf, or else the last one.
        group: how whole groups of points are held out: "auto", "islands", "tiles" or a column.
        radii: of the neighbourhoods that features are of, in metres.
        grain: of the features (see `geometric_features`).
        cutting: of samples.
        test_fraction: of the labelled points, where no test clouds are given.
        valid_fraction: of the others.
        seed: of the deal.
    """

    column: str | None = None
    classes: tuple[str, ...] = ()
    ignore: tuple[str, ...] = ("ground",)
    positive: str = "auto"
    group: str = "auto"
    radii: tuple[float, ...] = RADII
    grain: float = 0.1
    cutting: Cutting = field(default_factory=Cutting)
    test_fraction: float = 0.25
    valid_fraction: float = 0.1
    seed: int = 0


@dataclass(frozen=True)
class _Scene:
    """A cloud without what is left out, with the class and the group of each point."""

    cloud: Cloud
    label: np.ndarray
    group: np.ndarray
    held: str


def point_task(
    name: str,
    clouds: Sequence[Cloud],
    protocol: Protocol,
    *,
    test: Sequence[Cloud] = (),
    model: Model = "auto",
    model_settings: Mapping[str, str] | None = None,
) -> PointTask:
    """Make a task of clouds.

    Args:
        name: shown in tables.
        clouds: with labels.
        protocol: how.
        test: separate clouds to judge on; without them, groups of `clouds` are held out.
        model: see `point_builder`.
        model_settings: of a model by name.

    Raises:
        DataError: something about the clouds that cannot be learnt from.
        ArgumentError, UnknownName: a setting that they have no use for.
    """
    if not protocol.radii:
        raise ArgumentError("radii", "at least one, in metres, such as (0.3,0.6,0.9)", "none")
    labels = find_labels([*clouds, *test], protocol.column, protocol.classes, protocol.ignore)
    positive = _positive(protocol.positive, labels.names)
    scenes = [_scene(cloud, labels, protocol.group) for cloud in (*clouds, *test)]
    own, separate = scenes[: len(clouds)], scenes[len(clouds) :]
    shares = {"train": 1.0, "valid": protocol.valid_fraction * (1 if test else 1 - protocol.test_fraction)}
    shares |= {} if test else {"test": protocol.test_fraction}
    own, dealt = _dealt(own, shares, protocol)
    parts: dict[str, list[dict[str, np.ndarray]]] = {split: [] for split in (*shares, "test") if shares.get(split, 1) > 0}
    for scene, split in zip(own, dealt, strict=True):
        samples = _samples(scene, protocol)
        of_sample = split[samples["rows"][:, 0]]
        for number, part in enumerate(shares):
            if part in parts:
                parts[part].append({key: values[of_sample == number] for key, values in samples.items()})
    for scene in separate:
        parts["test"].append(_samples(scene, protocol))
    sources = _sources(parts, len(labels.names))
    build = point_builder(model, len(labels.names), 4 * len(protocol.radii), protocol.cutting.size, model_settings or {})
    task = PointTask(name, labels.names, sources, build, positive=positive, notes=_notes(own, labels, positive, bool(test)))
    tests = zip(separate or own, parts.get("test", ()), strict=False)  # no test points where the share is 0
    task.shown = shown_of([(scene.cloud, part["rows"][part["asked"]]) for scene, part in tests])
    task.features = "x, y, z, " + ", ".join(feature_names(protocol.radii))
    task.facts["recipe"] = recipe(
        labels, positive, protocol, build.name if isinstance(model, str) else None, model_settings or {}
    )
    return task


def recipe(labels: Labels, positive: str, protocol: Protocol, model: str | None, settings: Mapping[str, str]) -> dict[str, Any]:
    """What is needed to prepare another cloud for a trained model, as JSON values."""
    return {
        "column": labels.column,
        "positive": positive,
        "classes": list(labels.names),
        "values": list(labels.values),
        "radii": list(protocol.radii),
        "grain": protocol.grain,
        "cutting": asdict(protocol.cutting),
        "group": protocol.group,
        "model": model,
        "model_settings": dict(settings),
    }


def _positive(asked: str, names: Sequence[str]) -> str:
    if asked == "auto":
        return "leaf" if "leaf" in names else names[-1]
    if asked not in names:
        raise UnknownName("class", asked, names)
    return asked


def _scene(cloud: Cloud, labels: Labels, group: str) -> _Scene:
    label, kept = labels.of(cloud.check())
    if not (label[kept] >= 0).any():
        raise DataError(f"no point of {cloud.name} has one of the labels {', '.join(labels.values)} in '{labels.column}'")
    cloud, label = cloud.take(kept), label[kept]
    number, held = groups_of(cloud, group)
    return _Scene(cloud, label, number, held)


def _dealt(own: list[_Scene], shares: Mapping[str, float], protocol: Protocol) -> tuple[list[_Scene], list[np.ndarray]]:
    """The scenes, and the number of the split of each of their points; by tiles where nothing else was asked for or will do."""

    def deal_all(scenes: Sequence[_Scene]) -> list[np.ndarray]:
        first = np.cumsum([0, *(int(scene.group.max()) + 1 for scene in scenes)])
        group = np.concatenate([scene.group + offset for scene, offset in zip(scenes, first[:-1], strict=True)])
        split = deal(group, np.concatenate([scene.label for scene in scenes]), shares, protocol.seed)
        return np.split(split, np.cumsum([len(scene.cloud) for scene in scenes])[:-1])

    try:
        return own, deal_all(own)
    except DataError:
        if protocol.group != "auto" or any(scene.held.startswith("column") for scene in own):
            raise
    # Few parts hang together, and not every class is in enough of them.
    tiled = list[_Scene]()
    for scene in own:
        number, held = groups_of(scene.cloud, "tiles")
        tiled.append(replace(scene, group=number, held=held))
    return tiled, deal_all(tiled)


def _samples(scene: _Scene, protocol: Protocol) -> dict[str, np.ndarray]:
    """Samples of a scene with features and labels; those without a labelled point are left out."""
    features = geometric_features(scene.cloud.xyz, protocol.radii, grain=protocol.grain)
    found = cut(scene.cloud.local()[0], scene.group, protocol.cutting)
    label = scene.label[found.rows]
    asked = found.asked & (label >= 0)
    of_use = asked.any(1)
    return {
        "rows": found.rows[of_use],
        "xyz": found.xyz[of_use],
        "features": features[found.rows[of_use]],
        "label": label[of_use],
        "asked": asked[of_use],
    }


def _sources(parts: Mapping[str, Sequence[Mapping[str, np.ndarray]]], classes: int) -> dict[str, ResidentSource]:
    inputs: dict[str, dict[str, Tensor]] = {}
    for split, scenes in parts.items():
        asked = torch.from_numpy(np.concatenate([scene["asked"] for scene in scenes]))
        point = torch.full(asked.shape, -1, dtype=torch.int64)
        point[asked] = torch.arange(int(asked.sum()))
        joined = {
            key: torch.from_numpy(np.concatenate([scene[key] for scene in scenes])) for key in ("xyz", "features", "label")
        }
        inputs[split] = {**joined, "asked": asked, "point": point}
    tables = {split: _table(found["label"], found["asked"], classes) for split, found in inputs.items()}
    prior = tables["train"].sum(0).clamp_min(1)
    # Which class is most over-represented: what a sampler of samples can balance by.
    return {split: ResidentSource(inputs[split], (table / prior).argmax(1)) for split, table in tables.items()}


def _table(label: Tensor, asked: Tensor, classes: int) -> Tensor:
    """Labelled points of each class in each sample `[M, C]`."""
    one_hot = torch.nn.functional.one_hot(label.clamp_min(0), classes)
    return (one_hot * asked.unsqueeze(-1)).sum(1).double()


def _notes(scenes: Sequence[_Scene], labels: Labels, positive: str, separate: bool) -> list[str]:
    notes = [
        f"the positive class is {positive}: {positive} specificity is the share of the other points that are decided as such"
        + (f", the recall of {next(name for name in labels.names if name != positive)}" if len(labels.names) == 2 else "")
    ]
    held = " and ".join(dict.fromkeys(scene.held for scene in scenes))
    notes.append(f"held out are whole groups of points, by {held}" + (" (validation only)" if separate else ""))
    if labels.ignored:
        notes.append(f"points with the label {' or '.join(labels.ignored)} in '{labels.column}' were taken out first")
    lacking = sum(int((scene.label < 0).sum()) for scene in scenes)
    if lacking:
        notes.append(f"{lacking:,} points have no label: they are seen, and not counted")
    return notes
