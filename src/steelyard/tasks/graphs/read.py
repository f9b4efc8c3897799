"""From a folder, a file, a table with a rule for edges, or objects in Python to a graph."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from steelyard.core.errors import ArgumentError, DataError, UnknownName, nearest
from steelyard.data.files import reading
from steelyard.data.labels import encode_labels
from steelyard.data.read import read_path
from steelyard.data.tabular import drop_columns
from steelyard.tasks.graphs.columns import node_features
from steelyard.tasks.graphs.graph import Graph, checked
from steelyard.tasks.graphs.planetoid import NAMES, downloaded, planetoid_folder, read_planetoid

MASKS = {"train": ("train_mask",), "valid": ("val_mask", "valid_mask"), "test": ("test_mask",)}
MOST_EDGES = 50_000_000
"""Of a rule: more are a mistake in the threshold."""


@dataclass(frozen=True)
class EdgeRule:
    """Two rows of a table are neighbours where they differ by less than `threshold` in `column`.

    Attributes:
        column: of numbers.
        threshold: above 0.
        keep: the column is a feature, too.

    Raises:
        ArgumentError: one of the two is missing, or the threshold is not above 0.
    """

    column: str | None
    threshold: float | None
    keep: bool = False

    def __post_init__(self) -> None:
        """Check that both are there."""
        for name, value in (("edge_column", self.column), ("edge_threshold", self.threshold)):
            if value is None:
                raise ArgumentError(name, "given for a table: rows that differ by less in that column are neighbours", None)
        if self.threshold is not None and not self.threshold > 0:
            raise ArgumentError("edge_threshold", "above 0", self.threshold)


def read_graph(
    data: Any,
    *,
    target: str | None = None,
    rule: EdgeRule | None = None,
    directed: bool = False,
    drop: Sequence[str] = (),
    missing: str = "error",
) -> Graph:
    """A graph of whatever holds one.

    Args:
        data: "cora", "citeseer" or "pubmed" (fetched once into `$STEELYARD_CACHE`, or ~/.cache/steelyard); a folder of raw
            Planetoid files; an .npz file with `x`, `edge_index` and `y`, and masks where it has them; a table (CSV, Parquet)
            with a `rule` for its edges; a `torch_geometric.data.Data`, or a mapping with the keys of the .npz file.
        target: column of classes, for tables.
        rule: which rows are neighbours, for tables.
        directed: keep edges one-way.
        drop: columns to leave out, for tables.
        missing: "error", "median" or "indicator", for tables (see `steelyard.tasks.graphs.columns.node_features`).

    Raises:
        DataError: it holds no graph that can be learnt from.
        ArgumentError: a setting that such data have no use for.
        UnknownName: no such graph or column.
    """
    table = {"target": target, "edge_column": None if rule is None else rule.column, "drop": ", ".join(drop) or None}
    table["missing"] = None if missing == "error" else missing
    if isinstance(data, str | os.PathLike):
        path = Path(data)
        if path.is_file() and path.suffix != ".npz":
            return _of_table(path, target, rule or EdgeRule(None, None), directed, drop, missing)
        _refuse(table, "these data are no table")
        if not path.exists():
            return _by_name(str(data))
        if path.is_file():
            return _of_npz(path, directed)
        folder = planetoid_folder(path)
        if folder is None:
            raise DataError(f"{path} holds no raw Planetoid files (ind.NAME.x, ind.NAME.graph, ...)")
        if directed:
            raise ArgumentError("directed", "left out, as the edges of Planetoid graphs have no direction", "true")
        return read_planetoid(folder)
    _refuse(table, "these data are no table")
    if isinstance(data, Mapping):
        return _of_mapping("graph", data, directed)
    if callable(getattr(data, "to_dict", None)) and getattr(data, "edge_index", None) is not None:
        return _of_mapping("graph", data.to_dict(), directed)
    found = type(data).__name__
    raise DataError(f"a graph should be a path, a torch_geometric Data, or a mapping with x, edge_index and y; found {found}")


def _refuse(settings: Mapping[str, Any], why: str) -> None:
    for name, value in settings.items():
        if value is not None:
            raise ArgumentError(name, f"left out, as {why}", repr(value))


def _by_name(name: str) -> Graph:
    if name.lower() in NAMES:
        cache = os.environ.get("STEELYARD_CACHE")
        return downloaded(name.lower(), (Path(cache) if cache else Path.home() / ".cache" / "steelyard") / "planetoid")
    if nearest(name, NAMES) and not Path(name).suffix and len(Path(name).parts) == 1:
        raise UnknownName("graph", name, NAMES)
    raise DataError(f"there is no file or folder {name}")


def _of_npz(path: Path, directed: bool) -> Graph:
    try:
        with reading(path), np.load(path, allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
    except ValueError as error:
        if "allow_pickle" not in str(error):
            raise DataError(f"{path} cannot be read ({error})") from error
        raise DataError(f"{path} holds Python objects, which are never unpickled: save numbers") from None
    return _of_mapping(path.stem, arrays, directed)


def _of_mapping(name: str, data: Mapping[str, Any], directed: bool) -> Graph:
    missing = [key for key in ("x", "edge_index", "y") if data.get(key) is None]
    if missing:
        found = ", ".join(map(str, data)) or "nothing"
        raise DataError(f"graph '{name}' lacks {' and '.join(missing)}; it has: {found}")
    labels = np.asarray(data["y"].cpu() if isinstance(data["y"], Tensor) else data["y"])
    labels = labels[:, 0] if labels.ndim == 2 and labels.shape[1] == 1 else labels
    names = None
    if labels.dtype.kind in "UO":
        names, numbered = encode_labels({"train": labels}, target="y")
        labels = numbered["train"].numpy()
    masks: dict[str, Tensor] = {}
    for split, keys in MASKS.items():
        key = next((key for key in keys if data.get(key) is not None), None)
        if key is not None:
            masks[split] = _nodes_of(torch.as_tensor(data[key]), len(labels), key, name)
    if masks and "train" not in masks:
        raise DataError(f"graph '{name}' has {', '.join(masks)} masks and no train_mask")
    return checked(
        name, data["x"], data["edge_index"], labels, directed=directed, class_names=names, masks=masks if masks else {}
    )


def _nodes_of(mask: Tensor, nodes: int, key: str, name: str) -> Tensor:
    if mask.ndim == 2 and mask.shape[0] == nodes:
        raise DataError(f"{key} of graph '{name}' holds {mask.shape[1]} splits side by side: give one of them, {key}[:, 0]")
    if mask.shape != (nodes,) or mask.dtype not in (torch.bool, torch.uint8):
        raise DataError(f"{key} of graph '{name}' should hold true or false for each of the {nodes} nodes")
    return mask.bool().nonzero().flatten()


def _of_table(path: Path, target: str | None, rule: EdgeRule, directed: bool, drop: Sequence[str], missing: str) -> Graph:
    if directed:
        raise ArgumentError("directed", "left out, as edges of a rule have no direction", "true")
    raw = read_path(path, target, "tables", drop=drop)
    part = raw.parts["train"]
    frame: Any = part.inputs
    if rule.column not in frame.columns:
        raise UnknownName("column", str(rule.column), [str(column) for column in frame.columns])
    if rule.column in drop:
        raise ArgumentError("drop", "without edge_column, which is no feature unless keep_edge_column=true", rule.column)
    if frame[rule.column].dtype.kind not in "iuf":
        raise DataError(
            f"column '{rule.column}' of {path} holds no numbers: rows are neighbours by how far theirs differ, so edge_column "
            "should be a column of numbers"
        )
    values = torch.from_numpy(frame[rule.column].to_numpy(np.float64, copy=True))
    if bool(torch.isnan(values).any()):
        raise DataError(f"column '{rule.column}' of {path} has missing values: fill them in, or leave those rows out")
    rest = drop_columns(frame, drop, target)
    rest = rest if rule.keep else rest.drop(columns=[rule.column])
    if rest.shape[1] == 0:
        raise DataError(f"{path} has no feature column beside '{rule.column}'")
    found = node_features(rest, str(path), missing=missing)
    names, numbered = encode_labels({"train": np.asarray(part.labels)}, target=raw.target)
    also = "a feature, too" if rule.keep else "no feature"
    note = f"rows are neighbours where '{rule.column}' differs by less than {rule.threshold:g}; it is {also}"
    return checked(
        path.stem,
        found.values,
        near(values, float(rule.threshold or 0)),
        numbered["train"],
        class_names=names,
        flags=found.flags,
        notes=(note, *found.notes),
    )


def near(values: Tensor, threshold: float) -> Tensor:
    """Pairs of rows whose values differ by less than a threshold, both ways `[2, E]`.

    Raises:
        DataError: more than `MOST_EDGES` pairs.

    Example:
        >>> near(torch.tensor([0.0, 5.0, 1.0]), 2.0)
        tensor([[0, 2],
                [2, 0]])
    """
    ordered, order = values.sort(stable=True)
    reach = ordered + threshold
    reach = reach + 4 * torch.finfo(ordered.dtype).eps * (
        ordered.abs() + threshold
    )  # the sum was rounded: better a few too many
    last = torch.searchsorted(ordered, reach, right=True)
    sizes = last - torch.arange(len(values)) - 1  # later ones that are near
    if int(sizes.sum()) > MOST_EDGES:
        raise DataError(f"a threshold of {threshold:g} makes {int(sizes.sum()):,} edges: choose a smaller one")
    first = torch.repeat_interleave(torch.arange(len(values)), sizes)
    second = first + 1 + torch.arange(len(first)) - (sizes.cumsum(0) - sizes)[first]
    inside = ordered[second] - ordered[first] < threshold
    pairs = order[torch.stack([first[inside], second[inside]])]
    found = torch.cat([pairs, pairs.flip(0)], 1)
    return found[:, torch.argsort(found[0] * len(values) + found[1])]
