"""Rows of frequent classes translated into rows of rare ones."""

from __future__ import annotations

from functools import partial
from typing import Literal

from steelyard.core.errors import ArgumentError
from steelyard.core.pool import RowPool
from steelyard.core.stage import Stage, Stages
from steelyard.core.task import TaskView
from steelyard.samplers import BalancedSampler, DeferredSampler
from steelyard.transforms import MajorToMinor
from steelyard.transforms.major_to_minor import Box, Search

SEARCH = {"lam": "0.01|0.1|0.5", "gamma": "0.5..0.99", "half": "log(0.02..1)", "after": "0.5..0.9"}


def m2m(
    task: TaskView,
    *,
    generator: Literal["trained", "switch"] = "trained",
    beta: float | None = None,
    half: float | None = None,
    gamma: float = 0.9,
    lam: float = 0.5,
    steps: int = 10,
    step_size: float = 0.1,
    start: float = 0.5,
    after: float = 0.8,
    seeds: int = 0,
) -> Stages:
    """M2m: balanced sampling late in training, where repeated rare rows become translated rows of frequent classes.

    Formula:
        before the fraction `after` of the epochs plain cross-entropy; then, with balanced sampling, a row of class k becomes
        `x* = argmin CE(g(x), k) + lam * f_k0(x)`, sought from a row of class k0 with `n_k0 > n_k`, with probability
        `(1 - n_k / n_max) (1 - beta^(n_k0 - n_k))` where `softmax(g(x*))_k >= gamma`; k0 is drawn with odds
        `1 - beta^(n_k0 - n_k)`. See `steelyard.transforms.MajorToMinor`.

    Args:
        task: what is learnt.
        generator: g is "trained" first, a whole training run of plain cross-entropy, as published; or it is a copy of the
            model at the "switch", which saves that run.
        beta: in [0, 1]; 0.999 as released; none to have it follow from `half`.
        half: by how many rows more a class gives with probability one half, as a share of n_max, above 0; none for the
            published beta at the published 5000 rows.
        gamma: how sure g has to be of the result, 0 or more; above 1 it is `drs`.
        lam: how strongly the model's logit of the class k0 is pushed down, 0 or more.
        steps: gradient steps, 0 or more.
        step_size: length of a step, 0 or more: for images in [0, 1], whatever their normalisation, and for standardised
            columns.
        start: length of the random start at most, 0 or more.
        after: fraction of the epochs after which it begins, in [0, 1); with generator=switch above 0. At least five epochs are
            needed for 0.8 to be reached.
        seeds: rows to choose seeds from that are drawn beside each batch, classes equally often; 0 for the rows of the batch
            alone, as released. More of them help where a batch is small against the number of classes.

    Raises:
        ArgumentError: a setting out of range.
        CombinationError: the inputs hold no floating-point numbers.

    Reference:
        Kim, Jeong, Shin: M2m: imbalanced classification via major-to-minor translation, CVPR 2020.

    Departures:
        Inputs stay within the range of the training data: of each channel or column, in released code [0, 1]. The random start
        has its length for each input, there for the whole batch. `beta` scales with the largest class. The switch is a
        fraction of the epochs, there epoch 160. Epochs are selected on validation rows cut from the training data; the
        released code cuts them from the test set. Rows keep their categories (tables) from the row that they came from.

    Example:
        >>> from steelyard.settings import describe_method
        >>> describe_method("m2m").words
        {'sampler': 'deferred(after=0.8) (stage 2)', 'transform': 'major-to-minor (stage 2)', 'stages': '2'}
    """
    if generator not in ("trained", "switch"):
        raise ArgumentError("generator", "'trained' or 'switch'", repr(generator))
    if seeds < 0:
        raise ArgumentError("seeds", "a number of rows, 0 or more", seeds)
    visible = task.on(task.train)
    box = Box.of(task.train, lambda inputs: visible.load(inputs, augment="none", generator=None))
    pool = RowPool(task.train, batch_size=seeds, sampler=BalancedSampler, seed=task.seed) if seeds else None
    search = Search(lam, steps, step_size, start, box, pool)
    trained = None
    if generator == "trained":
        trained = (yield Stage()).requires_grad_(False)
    transform = MajorToMinor(task.counts, trained, beta=beta, half=half, gamma=gamma, after=after, search=search)
    yield Stage(model=task.model(), transform=transform, sampler=partial(DeferredSampler, after=after))
