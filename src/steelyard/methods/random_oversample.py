"""Rare classes of a batch filled up by repeating their rows."""

from __future__ import annotations

from steelyard.core.stage import Stage, Stages
from steelyard.core.task import TaskView
from steelyard.transforms import RandomOversample

SEARCH = {"ratio": "0..1", "noise": "0..0.5"}


def random_oversample(_task: TaskView, *, ratio: float = 1.0, noise: float = 0.0) -> Stages:
    """Repeat rows of rare classes until each class of the batch is as large as its largest.

    Formula:
        every class c of the batch gets `ceil(ratio * max_k n_k) - n_c` copies of rows drawn evenly, n the class sizes in the
        batch; plain cross-entropy.

    Args:
        _task: not looked at.
        ratio: how far classes are filled up, as a share of the largest, in [0, 1]; 0 adds nothing.
        noise: standard deviation of noise on the copies, in units of each input number's own, 0 or more.

    Reference:
        Classical; with noise Menardi, Torelli: Training and assessing classification rules with imbalanced data, 2014.

    Departures:
        Within each batch, so that a step costs more than a plain one; `balanced-sampling` is the form over the data set.

    Example:
        >>> from steelyard.settings import describe_method
        >>> describe_method("random-oversample").words
        {'transform': 'random-oversample'}
    """
    yield Stage(transform=RandomOversample(ratio, noise=noise))
