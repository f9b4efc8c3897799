"""Handwritten digits of scikit-learn: 1,797 grey images of 8x8 pixels in ten classes of nearly the same size."""

from __future__ import annotations

import numpy as np

from steelyard.core.task import Task
from steelyard.data.raw import Part, Raw
from steelyard.problems._catalogue import About
from steelyard.problems._load import assemble
from steelyard.problems._settings import ProblemSettings

ABOUT = About("digits", "handwritten digits, 8x8 grey pixels, ten balanced classes (scikit-learn)", "images", 1797, 10)


def digits(settings: ProblemSettings | None = None) -> Task:
    """Handwritten digits; give them a long tail with `factor=50`.

    Args:
        settings: of the problem; None for the defaults. `task="tables"` gives the 64 pixels as columns.

    Reference:
        Alpaydin, Kaynak. Optical Recognition of Handwritten Digits. UCI Machine Learning Repository, 1998 (the test part).

    Departures:
        Pixels of 0 to 16 are held as bytes of 0 to 240, which changes nothing after normalisation.

    Example:
        >>> digits(ProblemSettings(factor=50)).features
        '1x8x8 pixels'
    """
    from sklearn.datasets import load_digits

    pixels, labels = load_digits(return_X_y=True)
    images = (pixels * 15).astype(np.uint8).reshape(-1, 1, 8, 8)
    return assemble(Raw("digits", "images", {"train": Part(images, labels)}), settings or ProblemSettings())
