"""A SHA-256 of data: a run belongs to what was in the file, not to its name."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor
from torch.utils.data import Dataset, TensorDataset

from steelyard.core.errors import DataError
from steelyard.data.files import list_folder
from steelyard.data.memory import dataset_labels, is_frame


def fingerprint(data: Any) -> str:
    """A SHA-256, in hex, of the content of data.

    Args:
        data: a path (the file's bytes; a folder's file names and bytes, without hidden files), another text (the name of a
            built-in data set: the name), or anything that `steelyard.problems.load` takes. Of a torch Dataset other than a
            `TensorDataset` only the class and the labels are taken in, as reading its inputs may be slow and random.

    Raises:
        DataError: a file cannot be read.

    Example:
        >>> import torch
        >>> fingerprint((torch.zeros(2, 3), [0, 1])) == fingerprint((np.zeros((2, 3), np.float32), np.array([0, 1])))
        True
    """
    digest = hashlib.sha256()
    _add(digest, data)
    return digest.hexdigest()


def _add(digest: Any, data: Any) -> None:
    if isinstance(data, str | os.PathLike):
        path = Path(data)
        if path.is_dir():
            _add_folder(digest, path, path)
        elif path.exists() or isinstance(data, os.PathLike):
            _add_file(digest, path)
        else:
            digest.update(f"name:{data}".encode())
    elif is_frame(data):
        import pandas as pd

        digest.update(repr([(str(name), str(kind)) for name, kind in data.dtypes.items()]).encode())
        digest.update(pd.util.hash_pandas_object(data, index=False).to_numpy().tobytes())
    elif isinstance(data, Mapping):
        for name in sorted(data, key=str):
            digest.update(f"key:{name}:".encode())
            _add(digest, data[name])
    elif isinstance(data, TensorDataset):
        _add(digest, data.tensors)
    elif isinstance(data, Dataset):
        digest.update(f"dataset:{type(data).__module__}.{type(data).__qualname__}".encode())
        _add_array(digest, dataset_labels(data))
    elif isinstance(data, tuple) or (isinstance(data, list) and len(data) == 2 and not np.isscalar(data[0])):
        for part in data:
            _add(digest, part)
    else:
        _add_array(digest, data.detach().cpu().numpy() if isinstance(data, Tensor) else np.asarray(data))


def _add_file(digest: Any, path: Path) -> None:
    try:
        with path.open("rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    except OSError as error:
        raise DataError(f"cannot read {path} ({error.strerror})") from None


def _add_folder(digest: Any, folder: Path, root: Path) -> None:
    for path in list_folder(folder):
        if path.is_dir():
            _add_folder(digest, path, root)
        else:
            digest.update(f"file:{path.relative_to(root).as_posix()}:".encode())
            _add_file(digest, path)


def _add_array(digest: Any, values: np.ndarray) -> None:
    digest.update(f"{values.dtype.str if values.dtype != object else 'object'}{values.shape}:".encode())
    if values.dtype == object:
        digest.update(repr(values.tolist()).encode())
    else:
        digest.update(np.ascontiguousarray(values).data.cast("B") if values.size else b"")
