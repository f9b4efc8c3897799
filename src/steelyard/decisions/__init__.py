"""How scores become decisions, after training."""

from steelyard.decisions.adjusted import Adjusted
from steelyard.decisions.logit_shift import LogitShift
from steelyard.decisions.scale import Scale
from steelyard.decisions.tau_normalize import TauNormalize

__all__ = ["Adjusted", "LogitShift", "Scale", "TauNormalize"]
