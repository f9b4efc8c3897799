"""Losses: `L(class_counts, ..., reduction="mean")(logits [N, C], target [N])`, used as in PyTorch."""

from steelyard.core.loss import CrossEntropy, Loss
from steelyard.losses.arb import ARB
from steelyard.losses.balanced_softmax import BalancedSoftmax
from steelyard.losses.class_smoothing import ClassSmoothing
from steelyard.losses.focal import Focal
from steelyard.losses.generalized_class_aware import GeneralizedClassAware
from steelyard.losses.generalized_logit_adjusted import GeneralizedLogitAdjusted
from steelyard.losses.joint import JointNTXent, JointVicreg
from steelyard.losses.ldam import LDAM
from steelyard.losses.logit_adjusted import LogitAdjusted

__all__ = [
    "ARB",
    "LDAM",
    "BalancedSoftmax",
    "ClassSmoothing",
    "CrossEntropy",
    "Focal",
    "GeneralizedClassAware",
    "GeneralizedLogitAdjusted",
    "JointNTXent",
    "JointVicreg",
    "LogitAdjusted",
    "Loss",
]
