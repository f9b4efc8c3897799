"""Diagnosis: what kind of imbalance data have, and what it will cost.

`taxonomy` measures a table; the closed forms behind it are functions of their own. `geometry` measures a trained network, and
`seli` says which shape its class counts imply. `diagnose_model` says everything about a trained one.
"""

import sys
from types import ModuleType
from typing import Any

from steelyard.diagnosis.advice import Advice, Measured, Recommendation, advise, measured
from steelyard.diagnosis.curvature import ClassCurvature, Curvature, Effort, curvature
from steelyard.diagnosis.diagnose import diagnose
from steelyard.diagnosis.duplicates import Duplicates, Repeats, duplicates
from steelyard.diagnosis.expected import Expected, expected
from steelyard.diagnosis.findings import ClassFindings, Pair, Predicted, Taxonomy
from steelyard.diagnosis.finite_sample import (
    AbstractRule,
    Equivalents,
    LostRecall,
    Recalls,
    abstract_rule,
    effective_delta,
    intrinsic_delta,
    lda_equivalents,
    lost_recall,
    recall_at,
    ridge_equivalents,
)
from steelyard.diagnosis.frames import Frame
from steelyard.diagnosis.gaussian import Bayes, average_precision, bayes, collapse_eta, delta_of_auroc
from steelyard.diagnosis.geometry import Geometry, geometry
from steelyard.diagnosis.intrinsic import participation_ratio, two_nearest
from steelyard.diagnosis.loss_curves import ClassCurves, CurveFindings, judge_curves
from steelyard.diagnosis.noise import ClassNoise, LabelNoise, label_noise
from steelyard.diagnosis.ratios import MeasuredRatios, measured_ratios
from steelyard.diagnosis.regimes import regime, regime_limits
from steelyard.diagnosis.separability import debiased, noncentral_f_interval
from steelyard.diagnosis.shrinkage import shrinkage
from steelyard.diagnosis.simplex_encoding import (
    Grams,
    SimplexSVD,
    StepFrame,
    StepGeometry,
    etf,
    gram_distance,
    seli,
    seli_step,
    simplex_encoding,
    simplex_svd,
)
from steelyard.diagnosis.taxonomy import taxonomy
from steelyard.diagnosis.trained import Judged, diagnose_model, diagnose_models
from steelyard.diagnosis.trajectory import GeometryTrajectory
from steelyard.diagnosis.unconstrained import (
    Rectified,
    Unconstrained,
    collapse_ridge,
    unconstrained_relu,
    unconstrained_step,
)
from steelyard.diagnosis.unconstrained_training import descend_unconstrained, train_unconstrained

__all__ = [
    "AbstractRule",
    "Advice",
    "Bayes",
    "ClassCurvature",
    "ClassCurves",
    "ClassFindings",
    "ClassNoise",
    "Curvature",
    "CurveFindings",
    "Duplicates",
    "Effort",
    "Equivalents",
    "Expected",
    "Frame",
    "Geometry",
    "GeometryTrajectory",
    "Grams",
    "Judged",
    "LabelNoise",
    "LostRecall",
    "Measured",
    "MeasuredRatios",
    "Pair",
    "Predicted",
    "Recalls",
    "Recommendation",
    "Rectified",
    "Repeats",
    "SimplexSVD",
    "StepFrame",
    "StepGeometry",
    "Taxonomy",
    "Unconstrained",
    "abstract_rule",
    "advise",
    "average_precision",
    "bayes",
    "collapse_eta",
    "collapse_ridge",
    "curvature",
    "debiased",
    "delta_of_auroc",
    "descend_unconstrained",
    "diagnose",
    "diagnose_model",
    "diagnose_models",
    "duplicates",
    "effective_delta",
    "etf",
    "expected",
    "geometry",
    "gram_distance",
    "intrinsic_delta",
    "judge_curves",
    "label_noise",
    "lda_equivalents",
    "lost_recall",
    "measured",
    "measured_ratios",
    "noncentral_f_interval",
    "participation_ratio",
    "recall_at",
    "regime",
    "regime_limits",
    "ridge_equivalents",
    "seli",
    "seli_step",
    "shrinkage",
    "simplex_encoding",
    "simplex_svd",
    "taxonomy",
    "train_unconstrained",
    "two_nearest",
    "unconstrained_relu",
    "unconstrained_step",
]


class _Room(ModuleType):
    """Functions that are named like their file stay functions, whoever imports that file and when."""

    def __setattr__(self, name: str, value: Any) -> None:
        if not (isinstance(value, ModuleType) and name in __all__):
            super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Room
