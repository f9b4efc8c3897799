"""How scores become decisions, after training."""

from steelyard.decisions.adjusted import Adjusted
from steelyard.decisions.class_conformal import ClassConformal
from steelyard.decisions.label_thresholds import LabelThresholds
from steelyard.decisions.logit_shift import LogitShift
from steelyard.decisions.prior_shift import PriorShift
from steelyard.decisions.scale import Scale
from steelyard.decisions.tau_normalize import TauNormalize
from steelyard.decisions.temperature import Temperature
from steelyard.decisions.thresholds import Thresholds

__all__ = [
    "Adjusted",
    "ClassConformal",
    "LabelThresholds",
    "LogitShift",
    "PriorShift",
    "Scale",
    "TauNormalize",
    "Temperature",
    "Thresholds",
]
