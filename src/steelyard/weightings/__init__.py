"""Weightings: weights `[N]` of the rows of a batch, from detached evidence."""

from steelyard.core.weighting import Uniform, Weighting
from steelyard.weightings._taught import Lookahead
from steelyard.weightings.batch_normalised import BatchNormalised
from steelyard.weightings.class_aware_meta_weight_net import ClassAwareMetaWeightNet
from steelyard.weightings.class_difficulty import ClassDifficulty
from steelyard.weightings.deferred import Deferred
from steelyard.weightings.density_ratio import DensityRatio
from steelyard.weightings.effective_number import EffectiveNumber
from steelyard.weightings.inverse_frequency import InverseFrequency
from steelyard.weightings.learn_to_reweight import LearnToReweight
from steelyard.weightings.loss_curve_net import LossCurveNet, LossCurves
from steelyard.weightings.meta_class_weights import MetaClassWeights
from steelyard.weightings.meta_weight_net import MetaWeightNet
from steelyard.weightings.optimal_transport import OptimalTransport, TransportOptions

__all__ = [
    "BatchNormalised",
    "ClassAwareMetaWeightNet",
    "ClassDifficulty",
    "Deferred",
    "DensityRatio",
    "EffectiveNumber",
    "InverseFrequency",
    "LearnToReweight",
    "Lookahead",
    "LossCurveNet",
    "LossCurves",
    "MetaClassWeights",
    "MetaWeightNet",
    "OptimalTransport",
    "TransportOptions",
    "Uniform",
    "Weighting",
]
