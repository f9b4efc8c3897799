"""Four Gaussian clouds that overlap, in two dimensions: learnt in a second, and hard enough for methods to differ."""

from __future__ import annotations

import math

import torch

from steelyard.core.seeds import generator
from steelyard.core.task import Task
from steelyard.data.raw import Part, Raw
from steelyard.problems._catalogue import About
from steelyard.problems._load import assemble
from steelyard.problems._settings import ProblemSettings

CLASSES, ROWS = 4, 500
ABOUT = About("blobs", "four overlapping Gaussian clouds in two dimensions (synthetic)", "tables", CLASSES * ROWS, CLASSES)


def blobs(settings: ProblemSettings | None = None) -> Task:
    """Four classes of 500 points around the corners of a square, with standard deviation 1 and corners sqrt(2) from the centre.

    Args:
        settings: of the problem; None for the defaults. The points are always the same; `seed` chooses the splits.

    Example:
        >>> blobs().counts.tolist()
        [337, 337, 337, 337]
    """
    target = torch.arange(CLASSES).repeat_interleave(ROWS)
    angle = target * (2 * math.pi / CLASSES) + math.pi / 4
    centres = math.sqrt(2) * torch.stack([angle.cos(), angle.sin()], 1)
    points = centres + torch.randn(len(target), 2, generator=generator(0, "blobs"))
    return assemble(Raw("blobs", "tables", {"train": Part(points, target.numpy())}), settings or ProblemSettings())
