"""Segmenters on disk: a folder of their own, or the run of a comparison; safetensors and JSON, no pickle."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from steelyard.core.atomic import write_atomically
from steelyard.core.errors import DataError, SteelyardError, UnknownName
from steelyard.tasks.points.segmenter import Segmenter

FORMAT = 1
TENSORS, ABOUT = "model.safetensors", "points.json"
HINT = "train one with `steelyard compare CLOUD --task points --out FOLDER`"


def save_segmenter(segmenter: Segmenter, folder: Path | str) -> Path:
    """Write a segmenter into a folder, which is made; an older one in it is replaced.

    Raises:
        SteelyardError: the folder is a file.
        CheckpointError: it cannot be written.
    """
    from safetensors.torch import save

    folder = Path(folder)
    if folder.exists() and not folder.is_dir():
        raise SteelyardError(f"cannot write a model into {folder}: it is a file; name a folder")
    tensors, recipe = segmenter.state()
    payload = save({name: value.contiguous().clone() for name, value in tensors.items()})
    about = {"format": FORMAT, "recipe": recipe, "tensors_sha256": hashlib.sha256(payload).hexdigest()}
    about["sha256"] = _checksum(about)
    write_atomically(folder / TENSORS, payload)
    write_atomically(folder / ABOUT, json.dumps(about, indent=1, ensure_ascii=False).encode())
    return folder


def load_segmenter(folder: Path | str, method: str | None = None) -> tuple[Segmenter, str]:
    """Read a segmenter.

    Args:
        folder: that `save_segmenter` wrote; or of a comparison of point clouds, of which the best method's first run is taken;
            or of one of its runs.
        method: of a comparison, the method to take in place of the best.

    Returns:
        The segmenter, and where it comes from in words.

    Raises:
        DataError: no such folder, not of point clouds, damaged, or changed.
        UnknownName: no finished run of that method.

    Example:
        >>> load_segmenter("nowhere")
        Traceback (most recent call last):
        ...
        steelyard.core.errors.DataError: there is no folder nowhere: train one with `steelyard compare CLOUD ...
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise DataError(f"there is no folder {folder}: {HINT}")
    if (folder / ABOUT).exists():
        if method is not None:
            raise DataError(f"{folder} holds one model, so there is no method to choose: leave --method out")
        return _own(folder), f"the model in {folder}"
    if (folder / "comparison.json").exists():
        return _of_comparison(folder, method)
    if (folder / "run.json").exists():
        if method is not None:
            raise DataError(f"{folder} is one run, so there is no method to choose: leave --method out")
        return _of_run(folder, folder.parent.parent)
    raise DataError(f"there is no model of points in {folder} (no {ABOUT}, comparison.json or run.json): {HINT}")


def _own(folder: Path) -> Segmenter:
    about = _json(folder / ABOUT)
    if not {"format", "recipe", "tensors_sha256", "sha256"} <= about.keys():
        raise _damaged(folder / ABOUT)
    if not isinstance(about["format"], int) or about["format"] > FORMAT:
        raise DataError(
            f"the model in {folder} has format {about['format']}, and this version reads up to {FORMAT}: update steelyard"
        )
    if about.pop("sha256") != _checksum(about):
        raise _damaged(folder / ABOUT)
    return _made(folder, about["recipe"], str(about["tensors_sha256"]))


def _of_comparison(folder: Path, method: str | None) -> tuple[Segmenter, str]:
    finished: dict[str, list[tuple[int, Path]]] = {}
    for path in sorted((folder / "runs").glob("*/result.json")):
        about = _json(path.parent / "run.json")
        finished.setdefault(str(about.get("method")), []).append((int(about.get("seed", 0)), path.parent))
    if not finished:
        raise DataError(f"the comparison in {folder} has no finished run: run it again")
    if method is None:
        method = _best(folder, finished)
    if method not in finished:
        raise UnknownName("method of this comparison", method, finished)
    return _of_run(min(finished[method])[1], folder)


def _best(folder: Path, finished: dict[str, Any]) -> str:
    rows = _json(folder / "leaderboard.json").get("rows", []) if (folder / "leaderboard.json").exists() else []
    ranked = [str(row["method"]) for row in sorted(rows, key=lambda row: row.get("rank") or len(rows))]
    return next((name for name in ranked if name in finished), next(iter(finished)))


def _of_run(run: Path, comparison: Path) -> tuple[Segmenter, str]:
    if not (run / "result.json").exists():
        raise DataError(f"the run in {run} is not finished: run the comparison again")
    about = _json(comparison / "comparison.json")
    recipe = about.get("data", {}).get("recipe") if isinstance(about.get("data"), dict) else None
    if about.get("task") != "points" or not isinstance(recipe, dict):
        raise DataError(f"the comparison in {comparison} is of {about.get('task')}, not of points: {HINT}")
    stored = _json(run / "result.json").get("model_sha256")
    named = _json(run / "run.json")
    words = f"method {named.get('method')}, seed {named.get('seed')}, of the comparison in {comparison}"
    return _made(run, recipe, stored if isinstance(stored, str) else None), words


def _made(folder: Path, recipe: dict[str, Any], checksum: str | None) -> Segmenter:
    from safetensors import SafetensorError
    from safetensors.torch import load

    try:
        payload = (folder / TENSORS).read_bytes()
    except OSError as error:
        raise DataError(f"the model in {folder} is not whole: cannot read {TENSORS} ({error.strerror})") from None
    if checksum is not None and hashlib.sha256(payload).hexdigest() != checksum:
        raise _damaged(folder / TENSORS)
    try:
        return Segmenter.from_state(recipe, load(payload))
    except SafetensorError:
        raise _damaged(folder / TENSORS) from None
    except SteelyardError as error:
        raise DataError(f"the model in {folder} cannot be put together: {error}") from error


def _json(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_bytes())
    except FileNotFoundError:
        raise DataError(f"the model in {path.parent} is not whole: there is no {path.name}") from None
    except (OSError, ValueError):
        raise _damaged(path) from None
    if not isinstance(found, dict):
        raise _damaged(path)
    return found


def _damaged(path: Path) -> DataError:
    return DataError(f"the model in {path.parent} is damaged: {path.name} is not as it was written; copy or train it again")


def _checksum(about: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(about, sort_keys=True, separators=(",", ":")).encode()).hexdigest()
