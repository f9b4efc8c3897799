"""Point clouds: a label for every point."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from steelyard.core.errors import DataError
from steelyard.core.task import Task
from steelyard.data.clouds import Cloud, forest, list_clouds, read_cloud
from steelyard.problems._settings import ProblemSettings
from steelyard.settings.text import parse_call
from steelyard.tasks.points.making import Protocol, point_task
from steelyard.tasks.points.samples import Cutting

USED = ("target", "test", "test_fraction", "valid_fraction", "seed", "model", "model_settings")
FOREST = ("0:ground", "1:wood", "2:leaf")


def points(
    data: Any,
    settings: ProblemSettings,
    *,
    classes: tuple[str, ...] = (),
    ignore: tuple[str, ...] = ("ground",),
    positive: str = "auto",
    group: str = "auto",
    radii: tuple[float, ...] = (0.3, 0.6, 0.9),
    grain: float = 0.1,
    voxel: float = 0.6,
    sample: int = 512,
) -> Task:
    """Point clouds (LAS, LAZ, PLY, text): a class for every point, such as leaf or wood.

    Each point gets geometric features at several radii; the cloud is cut into samples along geodesic distances; whole trees,
    or other groups of points, are held out.

    Args:
        data: a file, a folder of files, "trees" (a synthetic forest), or, in Python, a `Cloud` or a list of them.
        settings: of the problem; the column of labels is `target`, separate test clouds `test`, the model `model`
            ("pointnet2", "pointnet2-small", "point-mlp").
        classes: value and name of each class, as in (1:wood,2:leaf); points with other values are seen but not counted. Empty:
            every value is a class.
        ignore: classes whose points are taken out first: the ground, usually.
        positive: class that recall, specificity, ... are of; auto is leaf where there is one, else the last.
        group: what is held out as a whole: a column with tree numbers, islands (what hangs together), tiles, or auto.
        radii: of the neighbourhoods, in metres.
        grain: cells that stand for their points in the features, as a share of the radius; 0 for exact neighbourhoods.
        voxel: edge of a voxel of the decomposition, in metres.
        sample: points that the network sees at a time.

    Raises:
        DataError: no such file, no points, no labels, or too few groups to hold out.
        ArgumentError, UnknownName: a setting that such data have no use for, or of the wrong value.

    Reference:
        Bai, Durand, Vincent, Forbes: Semantic segmentation of sparse irregular point clouds for leaf/wood discrimination,
        NeurIPS 2023.
    """
    settings.refuse_others("point clouds", used=USED)
    synthetic = isinstance(data, str) and data == "trees" and not Path(data).exists()
    model, model_settings = settings.model, {key: str(value) for key, value in settings.model_settings.items()}
    if isinstance(model, str):
        model, texts = parse_call(model)
        model_settings = {**texts, **model_settings}
    protocol = Protocol(
        column=settings.target,
        classes=classes or (FOREST if synthetic else ()),
        ignore=ignore,
        positive=positive,
        group=group,
        radii=radii,
        grain=grain,
        cutting=Cutting(size=sample, voxel=voxel),
        test_fraction=settings.test_fraction,
        valid_fraction=settings.valid_fraction,
        seed=settings.seed,
    )
    return point_task(
        _name(data),
        [forest()] if synthetic else _clouds(data),
        protocol,
        test=[] if settings.test is None else _clouds(settings.test),
        model=model,
        model_settings=model_settings,
    )


def _clouds(data: Any) -> list[Cloud]:
    if isinstance(data, str | os.PathLike):
        path = Path(data)
        return [read_cloud(found) for found in list_clouds(path)] if path.is_dir() else [read_cloud(path)]
    if isinstance(data, Cloud):
        return [data]
    if isinstance(data, list | tuple) and data and not isinstance(data, Mapping):
        return [cloud for one in data for cloud in _clouds(one)]
    raise DataError(f"point clouds are files, folders of them, or Cloud objects; found {type(data).__name__}")


def _name(data: Any) -> str:
    if isinstance(data, str | os.PathLike):
        return Path(data).stem
    return data.name if isinstance(data, Cloud) else "clouds"
