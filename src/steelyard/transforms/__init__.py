"""Transforms: batch -> batch, before the model sees it."""

from steelyard.core.transform import untouched
from steelyard.transforms.mixup import Mixup

__all__ = ["Mixup", "untouched"]
