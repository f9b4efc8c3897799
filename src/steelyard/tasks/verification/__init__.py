"""Are two pictures of one identity? Trained on some identities, judged by pairs of others."""

from steelyard.tasks.verification.pairs import Pairs, draw_pairs
from steelyard.tasks.verification.task import VerificationTask

__all__ = ["Pairs", "VerificationTask", "draw_pairs"]
