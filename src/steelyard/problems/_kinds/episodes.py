"""Few-shot episodes whose classes have unequal support."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from steelyard.core.errors import ArgumentError, DataError
from steelyard.core.seeds import generator
from steelyard.core.task import Task
from steelyard.data import ResidentSource, Shots
from steelyard.data.encoded import decode
from steelyard.data.files import TABLE_SUFFIXES, suffix_of
from steelyard.data.image_classes import has_image_classes, read_image_classes
from steelyard.data.memory import check_array
from steelyard.data.raw import Part, Raw
from steelyard.problems._model import model_of
from steelyard.problems._settings import ProblemSettings
from steelyard.tasks.episodes import Classes, EpisodeTask, Plan
from steelyard.tasks.episodes.backbones import backbone_builder

Profile = Literal["balanced", "linear", "step", "random", "random-step", "unbiased", "tail"]
USED = ("model", "model_settings", "seed", "test_fraction", "valid_fraction", "resize")
GREY_PIXELS, COLOUR_PIXELS = 28, 84
"""Sizes of Omniglot and Mini-ImageNet in the literature: larger images are made this size unless told otherwise."""


def episodes(
    data: Any,
    settings: ProblemSettings,
    *,
    way: int = 5,
    shots: str = "1-9",
    profile: Profile = "random",
    minority: float | None = None,
    exponent: float | None = None,
    queries: int = 10,
    training: Literal["standard", "random-shot", "same"] = "standard",
    episodes: int = 100,
    test_episodes: int = 200,
    images: str | None = None,
    images_profile: Profile | None = None,
    images_minority: float | None = None,
) -> Task:
    """Few-shot episodes of unseen classes, with unequal numbers of support examples.

    Classes are split into training, validation and test classes, by the split seed; `--test-fraction` and `--valid-fraction`
    are shares of the classes. Imbalance within episodes is set by `shots` and `profile`, imbalance of the training classes by
    `images` and `images_profile`.

    Args:
        data: a zip archive or folder of images by class (folders within folders are classes of their own; a folder may hold
            archives), an .npz file with X and y, the name of a built-in problem of images, or (X, y).
        settings: of the problem.
        way: classes of an episode, 2 or more.
        shots: support examples of the rarest and the most frequent class of a test episode, LOW-HIGH.
        profile: how counts lie between the two, see `steelyard.data.Shots`.
        minority: for profile=step, the share of classes with LOW examples; none for 0.2.
        exponent: for profile=tail; none for 4.
        queries: of each class of an episode, 1 or more; the same for all.
        training: support of training episodes: "standard" (the mean of LOW and HIGH), "random-shot" (each uniform in LOW to
            HIGH) or the "same" profile as in the test.
        episodes: training episodes an epoch.
        test_episodes: test episodes, the same for all methods and seeds; a quarter as many are for validation.
        images: keep only LOW-HIGH images of each training class.
        images_profile: how these numbers are spread over the training classes, at random.
        images_minority: for images_profile=step, the share of classes with LOW images.

    Raises:
        SteelyardError: the data have too few classes, or a class too few examples, for such episodes.

    Reference:
        Ochal, Patacchiola, Vazquez, Storkey, Wang: Few-shot learning with class imbalance, IEEE Transactions on Artificial
        Intelligence 4(5), 2023.

    Departures:
        10 queries a class (published: 15), as Omniglot has 20 images a class; fewer episodes.
    """
    settings.refuse_others("episodes", USED)
    support = Shots.parse(shots, profile, minority, exponent)
    support.check(way)
    for name, value in (("queries", queries), ("episodes", episodes), ("test_episodes", test_episodes)):
        if value < 1:
            raise ArgumentError(name, "at least 1", value)
    kept = _image_counts(images, images_profile, images_minority)
    raw = _read(data, settings)
    inputs, target, names, given, notes = _examples(raw, settings)
    chosen = given or _split_classes(names, way, settings)
    if kept is not None:
        inputs, target = _thinned(inputs, target, names, chosen["train"], kept, settings.seed)
        sizes = torch.bincount(target, minlength=len(names))[list(chosen["train"])]
        notes += (f"training classes keep {sizes.min()} to {sizes.max()} images ({images_profile}), {sizes.sum()} in all",)
    if "valid" not in chosen and settings.valid_fraction > 0:
        notes += ("there are no validation classes, as all are needed for training and test",)
    count = {"train": episodes, "valid": max(test_episodes // 4, 1), "test": test_episodes}
    plan = Plan(way, support, queries, training, count, settings.seed)
    asked = model_of(settings)
    build = backbone_builder(asked["model"], asked["model_settings"], shape=tuple(inputs.shape[1:]))
    return EpisodeTask(raw.name, Classes(inputs, target, names, chosen), plan, build, notes)


def _image_counts(images: str | None, profile: str | None, minority: float | None) -> Shots | None:
    if images is None:
        for name, value in (("images_profile", profile), ("images_minority", minority)):
            if value is not None:
                raise ArgumentError(name, "given with images=LOW-HIGH, which it spreads over the training classes", repr(value))
        return None
    if profile is None:
        raise ArgumentError("images_profile", "given with images=LOW-HIGH, such as linear", "none")
    return Shots.parse(images, profile, minority)


def _read(data: Any, settings: ProblemSettings) -> Raw:
    """Data as read, images by the folder that holds them."""
    from steelyard.problems import _load

    if isinstance(data, Raw):
        return data
    if isinstance(data, str | os.PathLike):
        path = Path(data)
        if path.exists() and has_image_classes(path):
            return read_image_classes(path)
        if path.is_file() and suffix_of(path) in TABLE_SUFFIXES:
            raise DataError(f"episodes are made of images, or of an .npz file with X and y; {path} is a table")
        function = _load._function_named(str(data))
        if function is not None:
            made = function(ProblemSettings(seed=settings.seed))
            if isinstance(made, Task):
                return _rows_of(made)
            return made if isinstance(made, Raw) else _load._read(made, ProblemSettings())
    return _load._read(data, ProblemSettings())


def _rows_of(task: Task) -> Raw:
    """All rows of a built-in problem."""
    sources = list(task.splits.values())
    held = [source.inputs for source in sources if isinstance(source, ResidentSource) and isinstance(source.inputs, Tensor)]
    if len(held) < len(sources):
        raise DataError(f"episodes are made of images or of vectors of numbers; the inputs of '{task.name}' are neither")
    inputs, target = torch.cat(held), torch.cat([source.target for source in sources]).numpy()
    return Raw(task.name, "images" if inputs.ndim == 4 else "arrays", {"train": Part(inputs, target)}, task.class_names)


def _examples(
    raw: Raw, settings: ProblemSettings
) -> tuple[Tensor, Tensor, tuple[str, ...], dict[str, tuple[int, ...]] | None, tuple[str, ...]]:
    """Inputs, classes 0..C-1, their names, the classes of each split where the data come with such a split, and notes."""
    notes = list(raw.notes)
    labels = {split: _labels(part, raw) for split, part in raw.parts.items()}
    names = tuple(sorted({name for own in labels.values() for name in own}, key=_natural))
    place = {name: number for number, name in enumerate(names)}
    inputs, resized = _inputs(raw, settings)
    notes += resized
    target = torch.tensor([place[name] for own in labels.values() for name in own])
    held = {split: {place[name] for name in own} for split, own in labels.items()}
    if len(held) == 1:
        return inputs, target, names, None, tuple(notes)
    if sum(map(len, held.values())) > len(names):
        notes.append("the data's own splits share classes, so their rows were put together and split by class")
        return inputs, target, names, None, tuple(notes)
    if "test" not in held:
        raise DataError(f"'{raw.name}' has a split for {' and '.join(held)} and none for test: add one, or remove the split")
    return inputs, target, names, {split: tuple(sorted(own)) for split, own in held.items()}, tuple(notes)


def _labels(part: Part, raw: Raw) -> list[str]:
    values = np.asarray(part.labels)
    if values.ndim != 1:
        raise DataError(f"{raw.target} should hold one class a row; found shape {list(values.shape)}")
    if values.dtype.kind == "f" and not np.isfinite(values).all():
        raise DataError(f"{raw.target} has rows without a class: remove them")
    if raw.class_names is not None and values.dtype.kind in "iu":
        return [raw.class_names[int(value)] for value in values]
    return [str(int(value)) if values.dtype.kind == "f" and float(value).is_integer() else str(value) for value in values]


def _natural(name: str) -> tuple[int, float, str]:
    return (0, float(name), "") if name.lstrip("-").isdecimal() else (1, 0.0, name)


def _inputs(raw: Raw, settings: ProblemSettings) -> tuple[Tensor, list[str]]:
    """All inputs as one tensor: images `[N, C, H, W]` or vectors `[N, d]`."""
    from steelyard.problems import _load

    parts = [part.inputs for part in raw.parts.values()]
    if raw.kind == "images" and not isinstance(parts[0], np.ndarray | Tensor):
        return _decoded(parts, settings.resize)
    if settings.resize is not None:
        raise ArgumentError("resize", "none, as these inputs are arrays and of one size already", settings.resize)
    arrays = []
    for values in parts:
        if not isinstance(values, np.ndarray | Tensor):
            raise DataError(f"episodes are made of images or of vectors of numbers; '{raw.name}' holds {type(values).__name__}")
        check_array(values, f"X of {raw.name}")
        shaped = _load._channels_first(values, "given") if values.ndim in (3, 4) else torch.as_tensor(values)
        if shaped.ndim not in (2, 4):
            raise DataError(f"X should hold images or vectors of numbers; found shape {list(values.shape)}")
        arrays.append(shaped if shaped.dtype == torch.uint8 and shaped.ndim == 4 else shaped.float())
    if len({values.shape[1:] for values in arrays}) > 1:
        raise DataError(f"inputs of the splits have different shapes: {', '.join(str(list(v.shape)) for v in arrays)}")
    return torch.cat(arrays), []


def _decoded(parts: list[Any], size: int | None) -> tuple[Tensor, list[str]]:
    notes: list[str] = []
    if size is None:
        sample = decode(parts[0], [0]).pixels
        first = decode(parts[0], list(range(min(64, len(parts[0])))), size=8)
        most = GREY_PIXELS if first.grey else COLOUR_PIXELS
        if max(sample.shape[2:]) > most:
            size = most
            notes = [
                f"images of {sample.shape[3]}x{sample.shape[2]} pixels were made {most}x{most}: --resize sets another size"
            ]
    decoded = [decode(images, size=size) for images in parts]
    if len({images.pixels.shape[2:] for images in decoded}) > 1:
        raise DataError(
            "images of the splits have different sizes: make them one size with --resize PIXELS (in Python resize=...)"
        )
    channels = 1 if all(images.grey for images in decoded) else 3
    return torch.cat([images.pixels[:, :channels] for images in decoded]).contiguous(), notes


def _split_classes(names: tuple[str, ...], way: int, settings: ProblemSettings) -> Mapping[str, tuple[int, ...]]:
    """Classes of each split, at random, at least `way` in each."""
    total = len(names)
    if total < 2 * way:
        raise DataError(
            f"{way}-way episodes need {way} training and {way} other test classes, {2 * way} in all; "
            f"the data have {total}: lower way"
        )
    test = min(max(round(settings.test_fraction * total), way), total - way)
    valid = max(round(settings.valid_fraction * (total - test)), way) if settings.valid_fraction > 0 else 0
    valid = valid if total - test - valid >= way else 0
    order = torch.randperm(total, generator=generator(settings.seed, "classes")).tolist()
    found = {"train": order[test + valid :], "valid": order[test : test + valid], "test": order[:test]}
    return {split: tuple(sorted(own)) for split, own in found.items() if own}


def _thinned(
    inputs: Tensor, target: Tensor, names: tuple[str, ...], classes: tuple[int, ...], kept: Shots, seed: int
) -> tuple[Tensor, Tensor]:
    """Only some images of each training class, as many as the profile gives it."""
    counts = kept(len(classes), generator(seed, "images"))
    keep = torch.ones(len(target), dtype=torch.bool)
    for label, count in zip(classes, counts.tolist(), strict=True):
        rows = (target == label).nonzero().flatten()
        if count > len(rows):
            raise DataError(f"images: class '{names[label]}' has {len(rows)} and should keep {count}: lower images")
        keep[rows[torch.randperm(len(rows), generator=generator(seed, "images", label))[count:]]] = False
    return inputs[keep], target[keep]
