"""A classifier that is perturbed for each class by itself, then trained again on features that are."""

from __future__ import annotations

from typing import Literal

from steelyard.core.stage import Stage, Steps
from steelyard.core.task import TaskView
from steelyard.descents import AdversarialFeatures, ClassConditionalSAM
from steelyard.methods._classifier import check_classifier, check_epochs, held
from steelyard.nets import head_parameters
from steelyard.samplers import BalancedSampler

SEARCH = {
    "flat": "0.1..0.7",
    "noise": "log(1e-5..0.1)",
    "head_epochs": "5|10|30",
    "reach": "log(0.01..3)",
    "limit": "0.1..1",
    "weigh": "true|false",
}


def cc_sam(
    task: TaskView,
    *,
    flat: float = 0.5,
    noise: float = 0.001,
    norm: Literal["global", "tensor"] = "global",
    head_epochs: int = 10,
    reach: float = 0.1,
    limit: float = 0.3,
    per: Literal["row", "class"] = "row",
    weigh: bool = True,
    freeze_statistics: bool = True,
) -> Steps:
    """Perturb the classifier for each class, rare ones further; then train it alone on adversarial features: CC-SAM.

    Formula:
        stage 1: `L = (1 - flat) * mean l(W) + flat * mean l(W + eps_c)`,
        `|eps_c| = noise * k^(1/4) * (|W| / (2 |g_c|))^(1/2) * (n_c - 1)^(-1/4)` along g_c, the gradient of class c's mean loss
        by the classifier W of k numbers;
        stage 2: W alone, a row of class c with probability `1 / (C n_c)`, `L = (1 - a) * mean l(z) + a * mean u_c l(z')`,
        `z' = z + reach * u_c * g / |g|`, g the gradient of the row's loss by its features z,
        `u_c = log(n_max / n_c + 0.01) / 2`, `a = min((epoch + 1) / head_epochs, limit)`. A step of either costs about one.

    Args:
        task: what is learnt.
        flat: share of the perturbed loss in stage 1, in [0, 1].
        noise: factor on the radius, 0 or more; 1 is the bound's own, 1e-6 released.
        norm: lengths over the classifier as a whole ("global"), or of weight and bias each ("tensor", as released).
        head_epochs: length of stage 2, with a learning-rate schedule of its own, that of the regime; 0 leaves stage 2 out, and
            the method then combines with others (`la+cc-sam(head_epochs=0)`).
        reach: length of the step in feature space for `u_c = 1`, 0 or more.
        limit: largest share of the second loss in stage 2, in [0, 1].
        per: steps of one length for all rows of a class ("row"), or shared out among them ("class", as released).
        weigh: multiply the second loss by u_c, as released; false counts classes alike.
        freeze_statistics: keep the BatchNorm statistics of stage 1; false lets them move to those of balanced rows.

    Raises:
        CombinationError: the task's model does not end in a linear layer.

    Reference:
        Zhou, Li, Zhao, Heng, Gong: Class-conditional sharpness-aware minimization for deep long-tailed recognition, CVPR 2023.

    Departures:
        Two stages, the second on adversarial features of class-balanced rows with the backbone frozen, are the paper's, by its
        abstract. The formula of stage 2 is that of the released code, `per="row"`, `reach=0.1` (1) and `weigh=false` are ours;
        `limit` is 1 there on CIFAR-10 and 0.3 on CIFAR-100. With 1 and 1, a short training on CIFAR-10 ends far below plain
        cross-entropy, its frequent classes lost: the defaults were chosen on that training's validation rows.
        Released: 30 epochs of stage 2 after 200, at a tenth of the peak learning rate; mixup in stage 1; the frozen network
        stays in training mode, so that its statistics move (`freeze_statistics=false`); stage 2 goes on from the epoch that
        was best on the data that results are reported on. Here from the last, and nothing is chosen on the test split.
        `noise` is ours: the radius grows without bound as a class is learnt and its gradient vanishes, so 1 does not train.

    Example:
        >>> from steelyard.settings import describe_method
        >>> describe_method("cc-sam").words["descent"]
        'class-conditional-sam (stage 1), adversarial-features (stage 2)'
    """
    check_epochs("head_epochs", head_epochs, least=0)
    check_classifier(task, "CC-SAM perturbs the classifier")
    second = AdversarialFeatures(task.counts, reach, limit, per=per, weigh=weigh)
    model = yield Stage(descent=ClassConditionalSAM(task.counts, flat, noise=noise, norm=norm))
    if head_epochs == 0:
        return None
    yield Stage(
        descent=second,
        sampler=BalancedSampler,
        trainable=head_parameters,
        epochs=head_epochs,
        model=held(model, freeze_statistics),
    )
    return model
