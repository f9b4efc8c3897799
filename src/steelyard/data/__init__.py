"""Data: readers, splits, profiles, noise, augmentation, and rows that live on the device or are streamed to it."""

from steelyard.data.augment import augment
from steelyard.data.fingerprint import fingerprint
from steelyard.data.noise import label_noise
from steelyard.data.profiles import class_permutation, imbalance_profile
from steelyard.data.read import read_path
from steelyard.data.resident import ResidentSource
from steelyard.data.scale import is_resident
from steelyard.data.shots import Shots
from steelyard.data.splits import Split, by_group, by_time, hold_out
from steelyard.data.streamed import ArrayRows, StreamedSource
from steelyard.data.subsample import subsample
from steelyard.data.table_file import TableFile

__all__ = [
    "ArrayRows",
    "ResidentSource",
    "Shots",
    "Split",
    "StreamedSource",
    "TableFile",
    "augment",
    "by_group",
    "by_time",
    "class_permutation",
    "fingerprint",
    "hold_out",
    "imbalance_profile",
    "is_resident",
    "label_noise",
    "read_path",
    "subsample",
]
