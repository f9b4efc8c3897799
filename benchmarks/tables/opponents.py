"""Who takes part: how each is built from settings, and what its random trials draw from.

Every builder is told the training rows, so that weights and neighbours fit them. Trees get categories as they are where they
can use them, all others one column a category. One thread each.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

Params = Mapping[str, Any]
Builder = Callable[[Params, pd.DataFrame, np.ndarray, int], Any]


@dataclass(frozen=True)
class Opponent:
    """One who takes part.

    Attributes:
        name: short and unique.
        summary: what it is, in a few words.
        family: "linear", "trees", "network" or "ours".
        build: from settings, training features, training target and seed to an unfitted classifier.
        defaults: the settings of the first trial.
        space: the values that a random trial draws from, each equally likely; empty for one that chooses by itself.
        resamples: does it train on re-sampled rows?
        decides: is its own `predict` made for balanced accuracy with rows that it kept for that?
        needs: modules that it imports.
    """

    name: str
    summary: str
    family: str
    build: Builder
    defaults: Params = field(default_factory=dict)
    space: Mapping[str, Sequence[Any]] = field(default_factory=dict)
    resamples: bool = False
    decides: bool = False
    needs: tuple[str, ...] = ()

    def lacking(self) -> list[str]:
        """Modules that are not installed."""
        return [name for name in self.needs if not _installed(name)]


def _installed(name: str) -> bool:
    try:
        return importlib.util.find_spec(name) is not None
    except ModuleNotFoundError:
        return False


def categories_of(features: pd.DataFrame) -> list[str]:
    """Names of the columns that hold categories."""
    return [name for name, dtype in features.dtypes.items() if dtype == "category"]


def as_numbers(features: pd.DataFrame, *, scaled: bool) -> Any:
    """Medians for missing numbers and a column that says so, one column a category; standardised on request."""
    from sklearn.compose import make_column_transformer
    from sklearn.impute import SimpleImputer
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder, StandardScaler

    names = categories_of(features)
    numbers = [name for name in features.columns if name not in names]
    imputer = SimpleImputer(strategy="median", add_indicator=True, keep_empty_features=True)
    onehot = OneHotEncoder(handle_unknown="ignore", sparse_output=False)
    return make_column_transformer((make_pipeline(imputer, StandardScaler()) if scaled else imputer, numbers), (onehot, names))


def logistic(params: Params, features: pd.DataFrame, target: np.ndarray, seed: int) -> Any:
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline

    return make_pipeline(as_numbers(features, scaled=True), LogisticRegression(class_weight="balanced", max_iter=500, **params))


def hist_gradient(params: Params, features: pd.DataFrame, target: np.ndarray, seed: int) -> Any:
    from sklearn.ensemble import HistGradientBoostingClassifier

    return HistGradientBoostingClassifier(categorical_features="from_dtype", random_state=seed, early_stopping=False, **params)


def balanced_hist_gradient(params: Params, features: pd.DataFrame, target: np.ndarray, seed: int) -> Any:
    return hist_gradient({"class_weight": "balanced", **params}, features, target, seed)


def lightgbm(params: Params, features: pd.DataFrame, target: np.ndarray, seed: int) -> Any:
    from lightgbm import LGBMClassifier

    return LGBMClassifier(class_weight="balanced", random_state=seed, n_jobs=1, verbose=-1, subsample_freq=1, **params)


def xgboost(params: Params, features: pd.DataFrame, target: np.ndarray, seed: int) -> Any:
    from xgboost import XGBClassifier

    weight = float((target == 0).sum() / max((target == 1).sum(), 1))
    settings = {"enable_categorical": True, "tree_method": "hist", "n_jobs": 1, "random_state": seed}
    return XGBClassifier(scale_pos_weight=weight, **settings, **params)


def balanced_forest(params: Params, features: pd.DataFrame, target: np.ndarray, seed: int) -> Any:
    from imblearn.ensemble import BalancedRandomForestClassifier
    from sklearn.pipeline import make_pipeline

    chosen = {"sampling_strategy": "all", "replacement": True, "bootstrap": False, "random_state": seed, "n_jobs": 1}
    return make_pipeline(as_numbers(features, scaled=False), BalancedRandomForestClassifier(**chosen, **params))


def easy_ensemble(params: Params, features: pd.DataFrame, target: np.ndarray, seed: int) -> Any:
    from imblearn.ensemble import EasyEnsembleClassifier
    from sklearn.ensemble import AdaBoostClassifier
    from sklearn.pipeline import make_pipeline
    from sklearn.tree import DecisionTreeClassifier

    boosted = AdaBoostClassifier(
        DecisionTreeClassifier(max_depth=params["max_depth"]),
        n_estimators=params["n_boosts"],
        learning_rate=params["learning_rate"],
    )
    ensemble = EasyEnsembleClassifier(params["n_bags"], estimator=boosted, random_state=seed, n_jobs=1)
    return make_pipeline(as_numbers(features, scaled=False), ensemble)


def smote(features: pd.DataFrame, target: np.ndarray, seed: int, params: Params, model: Any) -> Any:
    """SMOTE for numbers, SMOTE-NC for both, SMOTE-N for categories only; the model sees the columns as they were."""
    from imblearn.over_sampling import SMOTE, SMOTEN, SMOTENC
    from imblearn.pipeline import make_pipeline
    from sklearn.compose import make_column_selector, make_column_transformer
    from sklearn.impute import SimpleImputer

    names = categories_of(features)
    neighbours = min(params["neighbours"], max(int((target == 1).sum()) - 1, 1))
    settings = {"k_neighbors": neighbours, "random_state": seed, "sampling_strategy": params["ratio"]}
    if (target == 1).sum() >= params["ratio"] * (target == 0).sum():
        settings["sampling_strategy"] = "auto"
    if len(names) == features.shape[1]:
        return make_pipeline(SMOTEN(**settings), model)
    imputer = SimpleImputer(strategy="median", keep_empty_features=True)
    filled = make_column_transformer(
        (imputer, make_column_selector(dtype_include="number")), remainder="passthrough", verbose_feature_names_out=False
    ).set_output(transform="pandas")
    sampler = SMOTENC(categorical_features="auto", **settings) if names else SMOTE(**settings)
    return make_pipeline(filled, sampler, model)


def smote_trees(params: Params, features: pd.DataFrame, target: np.ndarray, seed: int) -> Any:
    own = {name: value for name, value in params.items() if name not in ("neighbours", "ratio")}
    return smote(features, target, seed, params, hist_gradient(own, features, target, seed))


def smote_logistic(params: Params, features: pd.DataFrame, target: np.ndarray, seed: int) -> Any:
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline

    model = make_pipeline(as_numbers(features, scaled=True), LogisticRegression(C=params["C"], max_iter=500))
    return smote(features, target, seed, params, model)


def mlp(params: Params, features: pd.DataFrame, target: np.ndarray, seed: int) -> Any:
    from sklearn.neural_network import MLPClassifier
    from sklearn.pipeline import make_pipeline

    return make_pipeline(
        as_numbers(features, scaled=True), MLPClassifier(random_state=seed, batch_size=min(128, len(target)), **params)
    )


def tabm(params: Params, features: pd.DataFrame, target: np.ndarray, seed: int) -> Any:
    from benchmarks.tables.tabm_classifier import TabMClassifier

    return TabMClassifier(seed=seed, **params)


def ours(params: Params, features: pd.DataFrame, target: np.ndarray, seed: int) -> Any:
    from steelyard.estimator import SteelyardClassifier

    return SteelyardClassifier(metric="balanced_accuracy", random_state=seed, device="cpu", **params)


TREES = {"learning_rate": (0.02, 0.05, 0.1, 0.2), "l2_regularization": (0.0, 1.0, 10.0)}
HIST = TREES | {"max_iter": (60, 100, 200), "max_leaf_nodes": (7, 15, 31), "min_samples_leaf": (5, 10, 20)}
HIST_DEFAULTS = {"max_iter": 100, "learning_rate": 0.1}
LGBM = {
    "n_estimators": (60, 100, 200),
    "learning_rate": (0.02, 0.05, 0.1, 0.2),
    "num_leaves": (7, 15, 31),
    "min_child_samples": (5, 10, 20),
    "reg_lambda": (0.0, 1.0, 10.0),
    "subsample": (0.7, 1.0),
    "colsample_bytree": (0.7, 1.0),
    "cat_smooth": (1.0, 10.0),
    "min_data_per_group": (5, 100),
}
XGB = {
    "n_estimators": (60, 100, 200),
    "learning_rate": (0.02, 0.05, 0.1, 0.3),
    "max_depth": (3, 4, 6),
    "min_child_weight": (1, 3, 10),
    "reg_lambda": (0.1, 1.0, 10.0),
    "subsample": (0.7, 1.0),
    "colsample_bytree": (0.7, 1.0),
}
FOREST = {"n_estimators": (100, 200), "max_depth": (None, 4, 8), "min_samples_leaf": (1, 3, 10), "max_features": ("sqrt", 0.5)}
EASY = {"n_bags": (5, 10), "n_boosts": (20, 50), "max_depth": (1, 2), "learning_rate": (0.3, 1.0)}
SMOTE = {"neighbours": (3, 5, 10), "ratio": (0.3, 0.5, 1.0)}
C = (0.001, 0.01, 0.1, 1.0, 10.0)
MLP = {
    "hidden_layer_sizes": ((32,), (100,), (64, 64)),
    "alpha": (1e-5, 1e-4, 1e-2, 1.0),
    "learning_rate_init": (3e-4, 1e-3, 5e-3),
    "max_iter": (30, 60, 120),
}
TABM = {"d_block": (64, 128), "n_blocks": (1, 2, 3), "dropout": (0.0, 0.1, 0.3), "lr": (1e-3, 3e-3), "embed": (False, True)}

OPPONENTS: tuple[Opponent, ...] = (
    Opponent("logistic", "logistic regression, balanced weights", "linear", logistic, {"C": 1.0}, {"C": C}),
    Opponent("hist-gradient", "HistGradientBoosting", "trees", hist_gradient, HIST_DEFAULTS, HIST),
    Opponent("hist-gradient-balanced", "the same, balanced weights", "trees", balanced_hist_gradient, HIST_DEFAULTS, HIST),
    Opponent("lightgbm", "LightGBM, balanced weights", "trees", lightgbm, {}, LGBM, needs=("lightgbm",)),
    Opponent("xgboost", "XGBoost, weighted positives", "trees", xgboost, {}, XGB, needs=("xgboost",)),
    Opponent(
        "balanced-forest",
        "BalancedRandomForest",
        "trees",
        balanced_forest,
        {"n_estimators": 100},
        FOREST,
        resamples=True,
        needs=("imblearn",),
    ),
    Opponent(
        "easy-ensemble",
        "EasyEnsemble of boosted trees",
        "trees",
        easy_ensemble,
        {"n_bags": 10, "n_boosts": 50, "max_depth": 1, "learning_rate": 1.0},
        EASY,
        resamples=True,
        needs=("imblearn",),
    ),
    Opponent(
        "smote-hist-gradient",
        "SMOTE(-NC), then HistGradientBoosting",
        "trees",
        smote_trees,
        {"neighbours": 5, "ratio": 1.0, **HIST_DEFAULTS},
        SMOTE | HIST,
        resamples=True,
        needs=("imblearn",),
    ),
    Opponent(
        "smote-logistic",
        "SMOTE(-NC), then logistic regression",
        "linear",
        smote_logistic,
        {"neighbours": 5, "ratio": 1.0, "C": 1.0},
        SMOTE | {"C": C},
        resamples=True,
        needs=("imblearn",),
    ),
    Opponent("mlp", "scikit-learn's MLP", "network", mlp, {"max_iter": 60}, MLP),
    Opponent("tabm", "TabM, 16 members", "network", tabm, {}, TABM, needs=("tabm", "rtdl_num_embeddings")),
    Opponent(
        "steelyard-auto",
        "SteelyardClassifier()",
        "ours",
        ours,
        {"method": "auto"},
        decides=True,
        needs=("steelyard.estimator",),
    ),
    Opponent(
        "steelyard-auto-8",
        "SteelyardClassifier(n_seeds=8)",
        "ours",
        ours,
        {"method": "auto", "n_seeds": 8},
        decides=True,
        needs=("steelyard.estimator",),
    ),
    Opponent(
        "steelyard-ce",
        'SteelyardClassifier("ce")',
        "ours",
        ours,
        {"method": "ce"},
        decides=True,
        needs=("steelyard.estimator",),
    ),
    Opponent(
        "steelyard-la",
        'SteelyardClassifier("la")',
        "ours",
        ours,
        {"method": "la"},
        decides=True,
        needs=("steelyard.estimator",),
    ),
)
"""All who take part, in the order of the tables."""


def opponent(name: str) -> Opponent:
    """One by its name."""
    return next(one for one in OPPONENTS if one.name == name)
