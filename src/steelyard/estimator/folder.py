"""A fitted model on disk: a folder of one safetensors and one JSON file, with checksums; nothing in it is ever executed.

model.safetensors   weights and other tensors
model.json          everything else, and the checksum of the tensors
fit.json            what is known about the fit: the report and the card are made of it
README.md           the model card
report.html         the report
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from steelyard.core.atomic import write_atomically
from steelyard.core.errors import DataError, SteelyardError
from steelyard.estimator.table_model import TableModel

FORMAT = 1
"""Raised when a folder of this version could not be read by the one before."""
TENSORS, STATE, FACTS, CARD = "model.safetensors", "model.json", "fit.json", "README.md"


def save_model(model: TableModel, folder: Path | str, facts: dict[str, Any] | None = None) -> Path:
    """Write a model into a folder, which is made; an older model in it is replaced.

    The model's own two files come first, so that a folder with a report always has its model.

    Args:
        model: fitted.
        folder: where to.
        facts: what is noted about the fit (see `steelyard.report.model_page`); with it the card and the report are written.

    Returns:
        The folder.

    Raises:
        CheckpointError: no space, no permission, ...
        SteelyardError: the folder is a file.
    """
    from safetensors.torch import save

    folder = Path(folder)
    if folder.exists() and not folder.is_dir():
        raise SteelyardError(f"cannot write a model into {folder}: it is a file; name a folder")
    tensors, state = model.to_state()
    payload = save({name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()})
    about = {"format": FORMAT, "tensors": {"file": TENSORS, "sha256": hashlib.sha256(payload).hexdigest()}, "model": state}
    about["sha256"] = _checksum(about)
    write_atomically(folder / TENSORS, payload)
    write_atomically(folder / STATE, _json(about))
    if facts is not None:
        from steelyard.report.card import model_card
        from steelyard.report.model_page import write_model_report

        write_atomically(folder / FACTS, _json(facts))
        write_atomically(folder / CARD, model_card(facts).encode())
        write_model_report(folder)
    return folder


def load_model(folder: Path | str) -> TableModel:
    """Read a model that `save_model` (or `steelyard fit`) wrote. No pickle is read, so a folder from anywhere is safe to load.

    Args:
        folder: with model.json and model.safetensors.

    Raises:
        DataError: not such a folder, damaged, changed, or of a newer version.

    Example:
        >>> load_model("nowhere")
        Traceback (most recent call last):
        ...
        steelyard.core.errors.DataError: there is no model in nowhere (no model.json): fit one with `steelyard fit`
    """
    from safetensors import SafetensorError
    from safetensors.torch import load

    folder = Path(folder)
    about = _read_state(folder)
    try:
        payload = (folder / TENSORS).read_bytes()
    except OSError as error:
        raise DataError(f"the model in {folder} is not whole: cannot read {TENSORS} ({error.strerror})") from None
    if hashlib.sha256(payload).hexdigest() != about["tensors"].get("sha256"):
        raise DataError(_damaged(folder, TENSORS))
    try:
        model = TableModel.from_state(load(payload), about["model"])
        _try_out(model)
        return model
    except (SafetensorError, LookupError, TypeError, ValueError, AttributeError, RuntimeError, SteelyardError) as error:
        said = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise DataError(f"the model in {folder} cannot be put together ({said}): fit it again") from error


def _try_out(model: TableModel) -> None:
    """Decide on a row of which nothing is known: what is amiss in a state shows here, and not in the middle of a file."""
    import pandas as pd

    if not isinstance(model.facts.get("unused", []), list):
        raise TypeError("columns that are not used are no list")
    model.decided(model.predict_proba(pd.DataFrame([dict.fromkeys(model.encoder.columns())], dtype=object)))


def _read_state(folder: Path) -> dict[str, Any]:
    path = folder / STATE
    try:
        about = json.loads(path.read_bytes())
    except (FileNotFoundError, NotADirectoryError):
        raise DataError(f"there is no model in {folder} (no {STATE}): fit one with `steelyard fit`") from None
    except (OSError, ValueError, RecursionError):
        raise DataError(_damaged(folder, STATE)) from None
    if not isinstance(about, dict) or not {"format", "tensors", "model", "sha256"} <= about.keys():
        raise DataError(_damaged(folder, STATE))
    if not isinstance(about["format"], int) or about["format"] > FORMAT:
        raise DataError(
            f"the model in {folder} has format {about['format']}, and this version reads up to {FORMAT}: update steelyard"
        )
    if about.pop("sha256") != _checksum(about) or not isinstance(about["tensors"], dict):
        raise DataError(_damaged(folder, STATE))
    return about


def _damaged(folder: Path, file: str) -> str:
    return f"the model in {folder} is damaged: {file} is not as it was written; copy it again, or fit it again"


def _checksum(about: dict[str, Any]) -> str:
    """Of the canonical text, so that it survives another order of keys but no other value."""
    return hashlib.sha256(json.dumps(about, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def _json(value: Any) -> bytes:
    return json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False).encode()
