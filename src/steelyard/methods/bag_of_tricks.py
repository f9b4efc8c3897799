"""mixup, balanced rows late, and a last part without mixup."""

from __future__ import annotations

from functools import partial

from steelyard.core.stage import Stage, Stages
from steelyard.core.task import TaskView
from steelyard.methods._classifier import check_epochs
from steelyard.samplers import BalancedSampler, DeferredSampler
from steelyard.transforms import Mixup

SEARCH = {"alpha": "log(0.1..2)", "after": "0.5..0.9", "finetune_epochs": "5|10|30"}


def bag_of_tricks(_task: TaskView, *, alpha: float = 1.0, after: float = 0.8, finetune_epochs: int = 10) -> Stages:
    """Train on blends of two rows, of balanced classes in the last epochs, then fine-tune on balanced rows as they are.

    Formula:
        stage 1: `mixup` with the sampler of `drs`; stage 2: plain cross-entropy, a row of class c with probability
        `1 / (C n_c)`, all parameters trained.

    Args:
        _task: not looked at; the samplers are given the training labels.
        alpha: 0 or more, see `mixup`.
        after: fraction of the epochs of stage 1 after which classes are balanced, in [0, 1].
        finetune_epochs: length of stage 2, 0 or more; it has a learning-rate schedule of its own, that of the regime.

    Reference:
        Zhang, Wei, Zhou, Wu: Bag of tricks for long-tailed visual recognition with deep convolutional neural networks, AAAI
        2021.

    Departures:
        A reconstruction. The paper balances classes with images cut out along class-activation maps; here rows are drawn again.
        Its fine-tuning rate was not found; here it is the regime's.

    Example:
        >>> from steelyard.settings import describe_method
        >>> describe_method("bag-of-tricks").words
        {'sampler': 'deferred(after=0.8) (stage 1), balanced (stage 2)', 'transform': 'mixup (stage 1)', 'stages': '2'}
    """
    check_epochs("finetune_epochs", finetune_epochs, least=0)
    yield Stage(transform=Mixup(alpha=alpha), sampler=partial(DeferredSampler, after=after))
    yield Stage(sampler=BalancedSampler, epochs=finetune_epochs)
