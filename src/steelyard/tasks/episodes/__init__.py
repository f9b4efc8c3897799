"""Few-shot episodes with imbalanced support."""

from steelyard.tasks.episodes.audit import bias_audit
from steelyard.tasks.episodes.paired import paired_episodes
from steelyard.tasks.episodes.task import Classes, EpisodeTask, Plan

__all__ = ["Classes", "EpisodeTask", "Plan", "bias_audit", "paired_episodes"]
