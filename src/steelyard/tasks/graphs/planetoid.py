"""The raw files of Planetoid (`ind.cora.x`, ...), which are pickles, without ever running what is in them."""

from __future__ import annotations

import io
import pickle
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import torch

from steelyard.core.errors import DataError
from steelyard.tasks.graphs.graph import UNKNOWN, Graph, checked
from steelyard.tasks.graphs.library import geometric

PARTS = ("x", "tx", "allx", "y", "ty", "ally", "graph", "test.index")
NAMES = {"cora": "Cora", "citeseer": "CiteSeer", "pubmed": "PubMed"}
"""What torch_geometric calls them."""


def planetoid_folder(path: Path) -> Path | None:
    """The folder that holds files named `ind.*.x`: the path itself, or `raw` in it; None where there are none."""
    for folder in (path, path / "raw"):
        if folder.is_dir() and any(folder.glob("ind.*.x")):
            return folder
    return None


def read_planetoid(folder: Path) -> Graph:
    """The graph of a folder of raw Planetoid files, with its public split.

    The first nodes train (20 of each class), the next 500 validate and those of `test.index` test. Nodes that are in no file
    have no features and an unknown class.

    Args:
        folder: of `ind.NAME.x`, `.tx`, `.allx`, `.y`, `.ty`, `.ally`, `.graph` and `.test.index`.

    Raises:
        DataError: a file is missing or damaged, or asks for anything but arrays and sparse matrices.

    Reference:
        Yang, Cohen, Salakhutdinov: Revisiting semi-supervised learning with graph embeddings, ICML 2016.
    """
    names = sorted({path.name.split(".")[1] for path in folder.glob("ind.*.x")})
    if len(names) != 1:
        raise DataError(f"{folder} should hold the files of one Planetoid graph; found: {', '.join(names) or 'none'}")
    files = {part: folder / f"ind.{names[0]}.{part}" for part in PARTS}
    missing = [path.name for path in files.values() if not path.is_file()]
    if missing:
        raise DataError(f"{folder} lacks {', '.join(missing)}")
    loaded = {part: restricted_load(path) for part, path in files.items() if part != "test.index"}
    try:
        index = np.loadtxt(files["test.index"], dtype=np.int64, ndmin=1)
        return _assembled(names[0], loaded, index)
    except (ValueError, TypeError, KeyError, IndexError, AttributeError) as error:
        raise DataError(f"the Planetoid files in {folder} do not fit together ({error})") from error


def downloaded(name: str, root: Path) -> Graph:
    """A Planetoid graph by name, fetched by torch_geometric where it is not in `root` yet.

    Raises:
        SteelyardError: torch_geometric is not installed.
        DataError: it cannot be fetched.
    """
    folder = planetoid_folder(root / NAMES[name])
    if folder is None:
        datasets = geometric("datasets")
        try:
            datasets.Planetoid(str(root), NAMES[name])
        except Exception as error:  # whatever the network, the server or the disk do
            reason = f"{type(error).__name__}: {error}".splitlines()[0]
            raise DataError(
                f"'{name}' could not be fetched into {root} ({reason}): without a network give the folder of its raw files"
            ) from error
        folder = planetoid_folder(root / NAMES[name])
    if folder is None:
        raise DataError(f"torch_geometric left no raw files of '{name}' in {root}")
    return read_planetoid(folder)


def restricted_load(path: Path) -> Any:
    """What a pickle holds, if that is arrays, sparse matrices, numbers and dictionaries; nothing else in it is ever run.

    Raises:
        DataError: it asks for anything else, or is damaged.
    """
    try:
        return _Restricted(io.BytesIO(path.read_bytes()), encoding="latin1").load()
    except _Refused as error:
        raise DataError(f"{path} is a pickle that asks for {error}: only arrays and sparse matrices are read") from None
    except Exception as error:  # a damaged pickle can fail in any way
        raise DataError(f"{path} cannot be read ({type(error).__name__}: {error})") from error


class _Refused(Exception):
    """A pickle asks for something that is neither an array nor a sparse matrix."""


class _Restricted(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        plain = {
            ("numpy", "ndarray"): np.ndarray,
            ("numpy", "dtype"): np.dtype,
            ("collections", "defaultdict"): defaultdict,
            ("__builtin__", "list"): list,
            ("builtins", "list"): list,
        }
        if (module, name) in plain:
            return plain[module, name]
        if module in ("numpy.core.multiarray", "numpy._core.multiarray") and name == "_reconstruct":
            return _reconstruct
        if module in ("scipy.sparse.csr", "scipy.sparse._csr") and name == "csr_matrix":
            from scipy.sparse import csr_matrix

            return csr_matrix
        raise _Refused(f"{module}.{name}")


def _reconstruct(kind: type, shape: tuple[int, ...], code: Any) -> np.ndarray:
    """An empty array, which the pickle then fills: what numpy's function of this name makes, for plain arrays only."""
    if kind is not np.ndarray:
        raise _Refused(f"an array of class {kind}")
    return np.ndarray.__new__(np.ndarray, shape, "b" if isinstance(code, bytes | str) else code)


def _assembled(name: str, parts: dict[str, Any], index: np.ndarray) -> Graph:
    allx, tx = parts["allx"].toarray(), parts["tx"].toarray()
    ally, ty = np.asarray(parts["ally"]), np.asarray(parts["ty"])
    nodes = max(len(allx), int(index.max()) + 1)
    x = np.zeros((nodes, allx.shape[1]), np.float32)
    scores = np.zeros((nodes, ally.shape[1]), np.float32)
    x[: len(allx)], scores[: len(allx)] = allx, ally
    x[index], scores[index] = tx, ty
    labels = np.where(scores.any(1), scores.argmax(1), UNKNOWN)
    pairs = [(start, end) for start, ends in parts["graph"].items() for end in ends]
    train = len(parts["y"])
    masks = {
        "train": torch.arange(train),
        "valid": torch.arange(train, min(train + 500, len(allx))),
        "test": torch.from_numpy(np.unique(index)),
    }
    unknown = int((labels < 0).sum())
    notes = (f"{unknown} nodes without features and class belong to the graph and to no split",) if unknown else ()
    return checked(
        name,
        x,
        np.array(pairs).reshape(-1, 2).T,
        labels,
        class_names=tuple(str(label) for label in range(scores.shape[1])),
        masks=masks,
        notes=notes,
    )
