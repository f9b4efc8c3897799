"""Descents: functions `(oracle, batch)` that leave a gradient on the parameters; `core.descent.plain` is the first."""

from steelyard.core.descent import plain
from steelyard.descents.adversarial_features import AdversarialFeatures
from steelyard.descents.anchored import Anchored
from steelyard.descents.asymmetric_sam import AsymmetricSAM
from steelyard.descents.class_conditional_sam import ClassConditionalSAM
from steelyard.descents.imb_sam import ImbSAM
from steelyard.descents.meta_balance import MetaBalance
from steelyard.descents.sam import SAM

__all__ = ["SAM", "AdversarialFeatures", "Anchored", "AsymmetricSAM", "ClassConditionalSAM", "ImbSAM", "MetaBalance", "plain"]
