"""Images with a rectangle of another image."""

from __future__ import annotations

from steelyard.core.stage import Stage, Stages
from steelyard.core.task import TaskView
from steelyard.transforms import CutMix

SEARCH = {"alpha": "log(0.1..2)", "probability": "0..1"}


def cutmix(_task: TaskView, *, alpha: float = 1.0, probability: float = 1.0) -> Stages:
    """Train on images in which a rectangle is another image's; each label counts by its area.

    Formula:
        `L = s * CE(z, y_i) + (1 - s) * CE(z, y_j)`, s the share of pixels that are still x_i's; the rectangle's sides are
        `sqrt(1 - lam)` of the image's, `lam` drawn from Beta(alpha, alpha).

    Args:
        _task: not looked at.
        alpha: 0 or more; 0 leaves images as they are, 1 draws `lam` uniformly.
        probability: in [0, 1]: how often a batch is cut at all.

    Raises:
        CombinationError: in training, where the data are no images.

    Reference:
        Yun, Han, Oh, Chun, Choe, Yoo: CutMix: regularization strategy to train strong classifiers with localizable features,
        ICCV 2019.

    Departures:
        none; the released CIFAR recipe has probability 0.5.

    Example:
        >>> from steelyard.settings import describe_method
        >>> describe_method("cutmix").words
        {'transform': 'cut-mix'}
    """
    yield Stage(transform=CutMix(alpha, probability=probability))
