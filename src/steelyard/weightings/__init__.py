"""Weightings: weights `[N]` of the rows of a batch, from detached evidence."""

from steelyard.core.weighting import Uniform, Weighting
from steelyard.weightings.batch_normalised import BatchNormalised
from steelyard.weightings.deferred import Deferred
from steelyard.weightings.effective_number import EffectiveNumber
from steelyard.weightings.inverse_frequency import InverseFrequency

__all__ = ["BatchNormalised", "Deferred", "EffectiveNumber", "InverseFrequency", "Uniform", "Weighting"]
