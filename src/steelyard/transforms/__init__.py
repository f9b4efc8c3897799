"""Transforms: batch -> batch, before the model sees it."""

from steelyard.core.transform import untouched
from steelyard.transforms.cutmix import CutMix
from steelyard.transforms.major_to_minor import MajorToMinor
from steelyard.transforms.mixup import Mixup
from steelyard.transforms.random_oversample import RandomOversample
from steelyard.transforms.remix import Remix
from steelyard.transforms.two_views import TwoViews

__all__ = ["CutMix", "MajorToMinor", "Mixup", "RandomOversample", "Remix", "TwoViews", "untouched"]
