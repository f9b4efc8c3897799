"""Every method label by label: against binary oracles, or refused in a sentence."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from label_sets import task
from torch import Tensor

from steelyard.core.errors import CombinationError
from steelyard.core.fit import fit
from steelyard.core.objective import Objective
from steelyard.core.oracle import Oracle
from steelyard.core.regime import Regime
from steelyard.core.rows import LABEL_SETS, Batch, Clock, Rows
from steelyard.core.task import TaskView
from steelyard.losses import Asymmetric, DistributionBalanced
from steelyard.methods._classifier import class_means
from steelyard.methods._rows import one_row_an_input
from steelyard.methods.multi_label._per_label import PerLabel
from steelyard.settings import known_names, resolve_method
from steelyard.tasks.multi_label.rows import label_rows, log_odds
from steelyard.tasks.multi_label.sources import labels_of

REFUSED = {
    "curvenet": "several rows", "ot": "several rows", "m2m": "several labels", "remix": "several labels",
    "remix-bs": "several labels", "cutmix": "several labels", "joint-ssl": "'views'", "ssl-pretrain": "'views'",
    "simplify": "'views'", "random-oversample(noise=0.1)": "several labels", "loss=la transform=remix": "several labels",
}  # fmt: skip
OWN = known_names("method", "multi-label")
QUICK = Regime(epochs=2, batch_size=30, lr=0.05, clip_norm=5.0)


def counts() -> tuple[Tensor, Tensor]:
    pairs = task().counts.view(-1, 2).double()
    return pairs[:, 0], pairs[:, 1]


def bce(z: Tensor, y: Tensor) -> Tensor:
    return F.binary_cross_entropy_with_logits(z, y, reduction="none")


def shifted(z: Tensor, y: Tensor, tau: float = 1.0) -> Tensor:
    absent, present = counts()
    return bce(z + tau * (present / absent).log(), y)


def weighted(z: Tensor, y: Tensor, of: Callable[[Tensor], Tensor]) -> Tensor:
    absent, present = counts()
    mean = torch.cat([of(absent), of(present)]).mean()
    return bce(z, y) * torch.where(y == 1, of(present), of(absent)) / mean


def right(z: Tensor, y: Tensor) -> Tensor:
    return (-bce(z, y)).exp()


def by_batch(z: Tensor, y: Tensor) -> Tensor:
    return bce(z + (y.sum(0) / (1 - y).sum(0)).log(), y)


def distribution_balanced(z: Tensor, y: Tensor) -> Tensor:
    absent, present = counts()
    examples, rows = (absent + present).max(), []
    for score, own in zip(z, y, strict=True):
        total = sum((1 / present[j] for j in range(3) if own[j] == 1), torch.tensor(0.0))
        for j in range(3):
            ratio = (1 / present[j]) / total
            weight = 0.1 + 1 / (1 + torch.exp(-10 * (ratio - 0.2)))
            moved = score[j] + 0.05 * torch.log(present[j] / (examples - present[j]))
            absence = torch.log1p(torch.exp(2 * moved)) / 2
            rows.append(weight * (torch.log1p(torch.exp(-moved)) if own[j] == 1 else absence))
    return torch.stack(rows).view_as(z)


ORACLES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "ce": bce,
    "la": shifted,
    "la(tau=2.5)": lambda z, y: shifted(z, y, 2.5),
    "balanced-softmax": shifted,
    "inverse-frequency": lambda z, y: weighted(z, y, lambda n: 1 / n),
    "inverse-frequency(power=0.5)": lambda z, y: weighted(z, y, lambda n: n**-0.5),
    "class-balanced(beta=0.99)": lambda z, y: weighted(z, y, lambda n: 0.01 / (1 - 0.99**n)),
    "focal(gamma=2)": lambda z, y: (1 - right(z, y)) ** 2 * bce(z, y),
    "gla(q=0.5, tau=1)": lambda z, y: (1 - torch.exp(-0.5 * shifted(z, y))) / 0.5,
    "label-smoothing(smoothing=0.2)": lambda z, y: bce(z, 0.8 * y + 0.1),
    "arb": by_batch,
    "asymmetric(gamma_neg=3, gamma_pos=1, margin=0.1)": lambda z, y: torch.where(
        y == 1,
        -(1 - z.sigmoid()) * z.sigmoid().log(),
        -((z.sigmoid() - 0.1).clamp_min(0) ** 3) * (1 - (z.sigmoid() - 0.1).clamp_min(0)).log(),
    ),
    "distribution-balanced": distribution_balanced,
}


def scored(examples: int = 12, seed: int = 0) -> tuple[Tensor, Tensor]:
    stream = torch.Generator().manual_seed(seed)
    labels = torch.randint(0, 2, (examples, 3), generator=stream).double()
    labels[:, 1] = 1 - labels[:, 0]  # no example without labels
    return torch.randn(examples, 6, generator=stream, dtype=torch.float64).requires_grad_(), labels


@pytest.mark.parametrize("method", ORACLES)
def test_the_loss_is_that_of_the_binary_oracle_with_its_gradient(method: str) -> None:
    stage = next(resolve_method(method)(TaskView(task())))
    scores, labels = scored()
    found = stage.objective.double()(label_rows(scores, labels), Clock()).loss
    wanted = ORACLES[method](log_odds(scores), labels).mean()
    torch.testing.assert_close(found, wanted, rtol=1e-6, atol=1e-9)
    gradients = [torch.autograd.grad(loss, scores)[0] for loss in (found, wanted)]
    torch.testing.assert_close(*gradients, rtol=1e-5, atol=1e-9)


def test_ldam_asks_for_a_margin_of_each_label_and_state() -> None:
    stage = next(resolve_method("ldam(max_margin=0.4, scale=10)")(TaskView(task())))
    scores, labels = scored()
    cosines = scores.tanh()
    absent, present = counts()
    margins = torch.stack([absent, present]) ** -0.25
    margins = 0.4 * margins / margins.max()
    z = 10 * log_odds(cosines)
    oracle = torch.where(labels == 1, F.softplus(-(z - 10 * margins[1])), F.softplus(z + 10 * margins[0]))
    found = stage.objective(label_rows(cosines, labels), Clock()).loss
    torch.testing.assert_close(found, oracle.mean(), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("method", [*known_names("method"), *OWN])
def test_every_method_learns_or_says_why_not(method: str) -> None:
    made = task(missing=0.1)
    if method in REFUSED:
        with pytest.raises(CombinationError, match=REFUSED[method]):
            fit(made, resolve_method(method), QUICK, device="cpu")
        return
    fitted = fit(made, resolve_method(method), QUICK, device="cpu")
    odds = made.predict_log_odds(fitted.model, made.splits["test"])
    assert bool(odds.isfinite().all())
    assert float(odds.std(0).min()) > 0  # every label is scored, none by a constant
    assert all(line["train_loss"] == line["train_loss"] for line in fitted.history)


@pytest.mark.parametrize("method", [name for name in REFUSED if "=" in name])
def test_words_are_refused_as_methods_are(method: str) -> None:
    with pytest.raises(CombinationError, match=REFUSED[method]):
        fit(task(), resolve_method(method), QUICK, device="cpu")


def test_learning_to_reweight_by_the_classifier_alone_is_that_of_possible_classes_only() -> None:
    """With a linear model the classifier is all there is: both scopes must weigh alike."""
    made = task(model=lambda: torch.nn.Linear(6, 6))
    both = [fit(made, resolve_method(f"l2rw(scope={scope})"), QUICK, device="cpu") for scope in ("all", "head")]
    odds = [made.predict_log_odds(fitted.model, made.splits["test"]) for fitted in both]
    torch.testing.assert_close(odds[0], odds[1], rtol=1e-4, atol=1e-5)


def test_mixup_is_binary_cross_entropy_with_mixed_labels() -> None:
    made = task()
    stage = next(resolve_method("mixup")(TaskView(made)))
    model = made.model().eval()
    oracle = Oracle(model, made.forward, stage.objective)
    index, inputs = next(iter(made.splits["train"].stream([torch.arange(20)])))
    mixed = stage.transform(oracle, Batch(inputs, made.splits["train"].target[index], index))
    soft = mixed.inputs[LABEL_SETS]
    assert bool(((soft > 0) & (soft < 1)).any())
    z = log_odds(model(mixed.inputs["inputs"]))
    torch.testing.assert_close(oracle(mixed).loss, bce(z, soft).mean(), rtol=1e-5, atol=1e-6)


def test_class_means_are_those_of_the_examples_that_have_the_class() -> None:
    made = task(missing=0.2, model=lambda: torch.nn.Sequential(torch.nn.Linear(6, 4), torch.nn.Linear(4, 6)))
    view = TaskView(made)
    model = view.model()
    means, _ = class_means(view, model, unit=False)
    source = made.splits["train"]
    features, labels = model.network[0](source.whole.inputs).detach(), labels_of(source)
    for label in range(3):
        for state in (0, 1):
            own = features[labels[:, label] == state].mean(0)
            torch.testing.assert_close(means[2 * label + state], own, rtol=1e-4, atol=1e-5)


def test_labels_drawn_with_their_examples_in_every_pool() -> None:
    """Meta sets count their own rows: labels must come with the inputs, not by row number."""
    made = task()
    rest, reserved = TaskView(made).reserve(4)
    for source in (rest.splits["train"], reserved):
        for index, inputs in source.stream([torch.arange(len(source))]):
            assert torch.equal(inputs[LABEL_SETS], labels_of(source)[index])


def test_own_losses_need_label_rows() -> None:
    loss = PerLabel(Asymmetric())
    with pytest.raises(CombinationError, match="several labels an example"):
        Objective(loss)(Rows(torch.zeros(2, 4), torch.tensor([0, 1])), Clock())
    scores, labels = scored()
    rows = label_rows(scores.float(), labels.float())
    alone = DistributionBalanced([5, 3, 2], 12)
    found = Objective(PerLabel(alone))(rows, Clock()).loss
    torch.testing.assert_close(found, alone(log_odds(scores.float()), labels))


def test_a_method_that_numbers_rows_says_so() -> None:
    with pytest.raises(CombinationError, match="method 'mine' keeps a value for each row"):
        one_row_an_input(TaskView(task()), "mine")
