"""One method after another on the same model."""

from __future__ import annotations

from dataclasses import replace

from torch import nn

from steelyard.core.errors import CombinationError
from steelyard.core.stage import Steps
from steelyard.core.task import TaskView
from steelyard.methods._classifier import check_classifier, check_epochs
from steelyard.methods._second import check_second, fine_tuned
from steelyard.nets import reset_head
from steelyard.settings import dry_run, resolve_method

SEARCH = {"finetune_epochs": "5|10|30", "new_head": "true|false"}


def two_stage(
    task: TaskView,
    *,
    first: str = "ce",
    second: str = "balanced-sampling",
    pretrain_epochs: int | None = None,
    finetune_epochs: int = 10,
    new_head: bool = False,
) -> Steps:
    """Pre-train with one method, then fine-tune the whole model with another.

    Formula:
        stage 1: the stage of `first`; stage 2: the stage of `second` on the same model, all parameters trained.

    Args:
        task: what is learnt.
        first: a one-stage method as it is written elsewhere: a name, with settings, or a combination (`mixup+drs`).
        second: likewise; its decision, if it has one, is made on the judged model.
        pretrain_epochs: length of stage 1, 1 or more; None for the regime's.
        finetune_epochs: length of stage 2, 0 or more; it has a learning-rate schedule of its own, that of the regime.
        new_head: draw the classifier anew between the stages.

    Raises:
        CombinationError: `first` or `second` has several stages, `first` a decision (which would be lost), `second` a model of
            its own (then nothing of stage 1 would be left), or `new_head` and the model does not end in a linear layer.
        SteelyardError: `first` or `second` is no method.

    Reference:
        The general form of deferred methods and of fine-tuning on balanced data: Cui, Song, Sun, Howard, Belongie: Large scale
        fine-grained categorization and domain-specific transfer learning, CVPR 2018 (natural, then balanced rows);
        Zhang, Wei, Zhou, Wu: Bag of tricks for long-tailed visual recognition with deep convolutional neural networks, AAAI
        2021 (mixup, then without).

    Departures:
        The fine-tuning rate of the papers is lower than that of pre-training; here a method may not change the regime, and the
        rate starts from the regime's peak again.

    Example:
        >>> from steelyard.settings import describe_method
        >>> describe_method("two-stage(first=mixup,second=la)").words
        {'transform': 'mixup (stage 1)', 'loss': 'logit-adjusted (stage 2)', 'stages': '2'}
    """
    check_epochs("pretrain_epochs", 1 if pretrain_epochs is None else pretrain_epochs)
    check_epochs("finetune_epochs", finetune_epochs, least=0)
    _check_first(first)
    check_second(second)
    if new_head:
        check_classifier(task, "new_head draws the classifier anew")
    pretraining = resolve_method(first)(task)
    stage = next(pretraining)
    model = yield stage if pretrain_epochs is None else replace(stage, epochs=pretrain_epochs)
    if new_head:
        reset_head(model)
    judged: nn.Module | None = yield from fine_tuned(task, second, finetune_epochs)
    return judged


def _check_first(first: str) -> None:
    """Find out on a tiny task, before anything is trained, whether there is one stage and nothing of it would be lost."""
    run = dry_run(resolve_method(first))
    if len(run.stages) > 1:
        raise CombinationError(f"pre-training takes a method of one stage, and '{first}' has several")
    if run.judged is not run.model:
        raise CombinationError(f"pre-training with '{first}' would lose its decision in the second stage: give it to that one")
