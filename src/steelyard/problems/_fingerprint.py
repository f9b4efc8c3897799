"""What a run was made of, as a digest: the data, and every file that the settings name beside them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from steelyard.data.files import TABLE_SUFFIXES, list_folder, suffix_of
from steelyard.data.fingerprint import fingerprint as fingerprint_of
from steelyard.data.understood import READING
from steelyard.problems._kinds import files_beside
from steelyard.problems._model import own_model_file
from steelyard.problems._settings import ProblemSettings
from steelyard.settings.text import parse_call


def fingerprint(data: Any, settings: ProblemSettings | None = None) -> str:
    """A SHA-256 of the content of the data and of what the settings name beside them: changes whenever one of these does.

    That is separate test rows, the files that a kind of data reads besides (a backbone, weights, a table of groups: see
    `steelyard.problems._kinds.files_beside`), and files that the model is made from. Files of tables also count by what this
    version makes of their columns.

    Args:
        data: as for `load`.
        settings: of the problem; None for the defaults.
    """
    settings = settings or ProblemSettings()
    beside: dict[str, Any] = {} if settings.test is None else {"test": settings.test}
    beside |= {f"task file {number}": path for number, path in enumerate(files_beside(settings.task, data))}
    if _has_table(data) or _has_table(settings.test):
        beside["reading of tables"] = READING
    beside |= {f"model file {name}": path for name, path in _files_of_model(settings).items()}
    return fingerprint_of({"data": data} | beside) if beside else fingerprint_of(data)


def _has_table(data: Any) -> bool:
    """Is it the path of a table, or of a folder with one?"""
    if not isinstance(data, str | Path) or not Path(data).exists():
        return False
    path = Path(data)
    return any(suffix_of(file) in TABLE_SUFFIXES for file in (list_folder(path) if path.is_dir() else [path]))


def _files_of_model(settings: ProblemSettings) -> dict[str, Path]:
    """Files that settings of a model by name name, such as a checkpoint for timm, and the code of one of the user's own."""
    given = dict(settings.model_settings)
    if isinstance(settings.model, str) and settings.model.endswith(")"):
        given = parse_call(settings.model)[1] | given
    named = {name: Path(value) for name, value in given.items() if isinstance(value, str | Path) and str(value)}
    own = own_model_file(settings.model)
    return {name: path for name, path in named.items() if path.is_file()} | ({} if own is None else {"code": own})
