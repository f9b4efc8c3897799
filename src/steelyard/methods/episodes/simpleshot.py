"""The nearest centroid of centred and normalised features."""

from __future__ import annotations

from steelyard.core.stage import Steps
from steelyard.core.task import TaskView
from steelyard.methods.episodes._common import Copies, on_classes, training_mean, treatment
from steelyard.nets.episodic import SimpleShot

SEARCH = {"rebalance": "none|ros|ros-plus"}


def simpleshot(
    task: TaskView,
    *,
    rebalance: Copies = "none",
) -> Steps:
    """SimpleShot: features of ordinary training, centred and normalised, and the nearest centroid (CL2N).

    Formula:
        stage 1: cross-entropy over all training classes; then `u = (f - m) / |f - m|` with m the mean training feature, and the
        class whose mean u of the support is nearest.

    Args:
        task: what is learnt.
        rebalance: of unequal support: "none"; "ros" (copies until all classes have as many examples) or "ros-plus" (the copies
            are augmented).

    Raises:
        ArgumentError: a setting out of range, or one that would do nothing.
        CombinationError: the data are no episodes, or the treatment has nothing to act on.

    Reference:
        Wang, Chao, Weinberger, van der Maaten: SimpleShot: revisiting nearest-neighbor classification for few-shot learning,
        arXiv 1911.04623, 2019.

    Departures:
        Trained on the training classes alone, in batches as large as an episode; the papers add validation classes and take
        batches of 128.
        m is exact in the judged model; validation during training uses a running mean.

    Example:
        >>> from steelyard.settings import describe_method
        >>> describe_method("simpleshot").of
        'episodes'
    """
    task.require("episodes", "simpleshot")
    chosen = treatment(rebalance)
    stage = on_classes(task, lambda backbone, head, size: SimpleShot(backbone, head, chosen, size=size))
    model = yield stage
    assert isinstance(model, SimpleShot)  # what the stage trained
    model.set_mean(training_mean(task, model.backbone))
    return model
