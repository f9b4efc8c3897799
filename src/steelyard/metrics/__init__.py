"""Metrics, intervals and tests for imbalanced classification. Numbers in, numbers out: no model, no tensors needed.

`evaluate` gives every number of one model on one split; each metric is also a function of its own name.
"""

from steelyard.metrics.across import Friedman, corrected_resampled_t, critical_difference, friedman
from steelyard.metrics.bootstrap import DEFAULT, Difference, intervals, paired_intervals
from steelyard.metrics.calibration import CalibrationTest, brier, calibration_test, classwise_ece, ece, log_loss, reliability
from steelyard.metrics.confusion import (
    accuracy,
    balanced_accuracy,
    confusion_matrix,
    g_mean,
    macro_f1,
    mcc,
    worst_recall,
    zero_recall_classes,
)
from steelyard.metrics.paired import PairedDifference, holm, mcnemar, paired_test, sign_flip, smallest_p, t_interval
from steelyard.metrics.proportion import balanced_accuracy_error, clopper_pearson, wilson, worst_recall_null
from steelyard.metrics.ranking import auprc, auroc, positive_class
from steelyard.metrics.scores import BOUNDS, LOWER_IS_BETTER, METRICS, Scores, clipped, evaluate

__all__ = [
    "BOUNDS",
    "DEFAULT",
    "LOWER_IS_BETTER",
    "METRICS",
    "CalibrationTest",
    "Difference",
    "Friedman",
    "PairedDifference",
    "Scores",
    "accuracy",
    "auprc",
    "auroc",
    "balanced_accuracy",
    "balanced_accuracy_error",
    "brier",
    "calibration_test",
    "classwise_ece",
    "clipped",
    "clopper_pearson",
    "confusion_matrix",
    "corrected_resampled_t",
    "critical_difference",
    "ece",
    "evaluate",
    "friedman",
    "g_mean",
    "holm",
    "intervals",
    "log_loss",
    "macro_f1",
    "mcc",
    "mcnemar",
    "paired_intervals",
    "paired_test",
    "positive_class",
    "reliability",
    "sign_flip",
    "smallest_p",
    "t_interval",
    "wilson",
    "worst_recall",
    "worst_recall_null",
    "zero_recall_classes",
]
