"""How scores become decisions, after training."""

from steelyard.decisions.adjusted import Adjusted
from steelyard.decisions.logit_shift import LogitShift
from steelyard.decisions.scale import Scale

__all__ = ["Adjusted", "LogitShift", "Scale"]
