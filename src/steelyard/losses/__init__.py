"""Losses: `L(class_counts, ..., reduction="mean")(logits [N, C], target [N])`, used as in PyTorch."""

from steelyard.core.loss import CrossEntropy, Loss
from steelyard.losses._arcface import ArcFace
from steelyard.losses._labels import LabelLoss
from steelyard.losses.arb import ARB
from steelyard.losses.asymmetric import Asymmetric
from steelyard.losses.balanced_softmax import BalancedSoftmax
from steelyard.losses.class_smoothing import ClassSmoothing
from steelyard.losses.distribution_balanced import DistributionBalanced
from steelyard.losses.focal import Focal
from steelyard.losses.generalized_class_aware import GeneralizedClassAware
from steelyard.losses.generalized_logit_adjusted import GeneralizedLogitAdjusted
from steelyard.losses.joint import JointNTXent, JointVicreg
from steelyard.losses.ldam import LDAM
from steelyard.losses.logit_adjusted import LogitAdjusted
from steelyard.losses.rebalanced_binary import RebalancedBinary

__all__ = [
    "ARB",
    "LDAM",
    "ArcFace",
    "Asymmetric",
    "BalancedSoftmax",
    "ClassSmoothing",
    "CrossEntropy",
    "DistributionBalanced",
    "Focal",
    "GeneralizedClassAware",
    "GeneralizedLogitAdjusted",
    "JointNTXent",
    "JointVicreg",
    "LabelLoss",
    "LogitAdjusted",
    "Loss",
    "RebalancedBinary",
]
