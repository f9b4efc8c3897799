"""A loss of labels and a self-supervised term: their sum, and what may not enter which."""

import copy

import pytest
import torch
from torch import nn

from steelyard.core.errors import ArgumentError, CombinationError
from steelyard.core.objective import Objective
from steelyard.core.oracle import Oracle
from steelyard.core.rows import Batch, Rows
from steelyard.core.seeds import generator
from steelyard.core.weighting import ClassTable
from steelyard.losses import CrossEntropy, JointNTXent, JointVicreg, LogitAdjusted
from steelyard.numeric.contrastive import nt_xent, vicreg
from steelyard.transforms import TwoViews

CLASSES, WIDTH = 3, 5
COUNTS = [60, 20, 5]
TERMS = {"nt-xent": (JointNTXent, nt_xent), "vicreg": (JointVicreg, vicreg)}
every_term = pytest.mark.parametrize(("kind", "term"), TERMS.values(), ids=TERMS)


def rows(pairs: int = 6, seed: int = 0):
    stream = torch.Generator().manual_seed(seed)
    logits = torch.randn(2 * pairs, CLASSES, generator=stream)
    target = torch.randint(CLASSES, (pairs,), generator=stream).repeat(2)
    return logits, target, torch.randn(2 * pairs, WIDTH, generator=stream)


def oracle(loss, model=None, precision="float32") -> Oracle:
    def forward(model: nn.Module, batch: Batch) -> Rows:
        return Rows(model(batch.inputs), batch.target, index=batch.index, share=batch.share, extra=batch.extra)

    if model is None:
        model = nn.Sequential(nn.Linear(4, WIDTH), nn.ReLU(), nn.Linear(WIDTH, CLASSES))
    return Oracle(model, forward, Objective(loss), precision, generator(0, "draws"))


def batch(size: int = 8) -> Batch:
    stream = torch.Generator().manual_seed(1)
    return Batch(torch.randn(size, 4, generator=stream), torch.arange(size) % CLASSES, torch.arange(size))


@every_term
@pytest.mark.parametrize("base", [CrossEntropy(), LogitAdjusted(COUNTS)], ids=["ce", "la"])
def test_it_is_the_sum(kind, term, base):
    logits, target, features = rows()
    values = kind(base, weight=0.3).rows(logits, target, features=features, views=2)
    wanted = base.rows(logits, target) + 0.3 * term(features[:6], features[6:]).repeat(2)
    torch.testing.assert_close(values, wanted)


@every_term
def test_the_objective_of_two_views_is_the_loss_of_the_first_plus_the_term(kind, term):
    """L = CE(first view) + lambda * SSL(first, second), in the package's own loop pieces."""
    asked = oracle(kind(CrossEntropy(), weight=0.7))
    made = TwoViews()(asked, batch())
    found = asked(made).loss
    model = asked.model
    features = model[1](model[0](made.inputs))
    logits = model[2](features)
    wanted = nn.functional.cross_entropy(logits[:8], made.target[:8]) + 0.7 * term(features[:8], features[8:]).mean()
    torch.testing.assert_close(found, wanted)


@every_term
def test_weight_zero_is_the_loss_alone_and_needs_no_views(kind, term):
    logits, target, _ = rows()
    base = LogitAdjusted(COUNTS)
    assert torch.equal(kind(base, weight=0.0).rows(logits, target), base.rows(logits, target))
    assert torch.equal(kind(base, weight=0.0)(logits, target), base(logits, target))


@every_term
def test_labels_do_not_enter_the_term(kind, term):
    logits, target, features = rows()
    other = (target + 1) % CLASSES
    loss, base = kind(CrossEntropy(), weight=1.0), CrossEntropy()
    one, two = (loss.rows(logits, t, features=features, views=2) - base.rows(logits, t) for t in (target, other))
    torch.testing.assert_close(one, two)


@every_term
def test_order_of_rows_does_not_matter(kind, term):
    logits, target, features = rows()
    loss = kind(CrossEntropy(), weight=1.0)
    order = torch.randperm(6)
    both = torch.cat([order, order + 6])
    values = loss.rows(logits, target, features=features, views=2)
    torch.testing.assert_close(loss.rows(logits[both], target[both], features=features[both], views=2), values[both])


@every_term
def test_a_projector_is_trained_along(kind, term):
    projector = nn.Linear(WIDTH, 2)
    asked = oracle(kind(CrossEntropy(), weight=1.0, projector=projector))
    loss = asked.objective.loss
    assert {id(p) for p in projector.parameters()} == {id(p) for p in loss.parameters()}
    asked(TwoViews()(asked, batch())).loss.backward()
    assert all(bool((p.grad != 0).any()) for p in projector.parameters() if p.ndim > 1)
    logits, target, features = rows()
    embedded = projector(features)
    wanted = CrossEntropy().rows(logits, target) + term(embedded[:6], embedded[6:]).repeat(2)
    torch.testing.assert_close(loss.rows(logits, target, features=features, views=2), wanted)


@every_term
def test_half_precision_learns(kind, term):
    asked = oracle(kind(CrossEntropy(), weight=1.0, projector=nn.Linear(WIDTH, 3)), precision="bfloat16")
    evaluation = asked(TwoViews()(asked, batch()))
    assert evaluation.losses.dtype == torch.float32
    evaluation.loss.backward()
    assert all(bool(torch.isfinite(p.grad).all()) for p in asked.model.parameters())


@every_term
def test_one_view_or_no_features_are_one_sentence(kind, term):
    logits, target, features = rows()
    with pytest.raises(CombinationError, match="add transform=two-views") as raised:
        kind(CrossEntropy(), weight=1.0).rows(logits, target, features=features)
    assert "\n" not in str(raised.value)
    with pytest.raises(CombinationError, match="the model has none"):
        kind(CrossEntropy(), weight=1.0).rows(logits, target, views=2)


@every_term
def test_copies_and_saved_states_are_as_good(kind, term):
    logits, target, features = rows()
    loss = kind(LogitAdjusted(COUNTS), weight=0.5, projector=nn.Linear(WIDTH, 2))
    other = kind(LogitAdjusted([9, 9, 1]), weight=0.5, projector=nn.Linear(WIDTH, 2))
    other.load_state_dict(loss.state_dict())
    expected = loss(logits, target, features=features, views=2)
    assert torch.equal(other(logits, target, features=features, views=2), expected)
    assert torch.equal(copy.deepcopy(loss)(logits, target, features=features, views=2), expected)
    assert f"weight={loss.weight:g}" in repr(loss)


@pytest.mark.parametrize(
    ("make", "argument"),
    [
        (lambda: JointNTXent(CrossEntropy(), weight=-1.0), "weight"),
        (lambda: JointNTXent(CrossEntropy(), temperature=0.0), "temperature"),
        (lambda: JointVicreg(CrossEntropy(), invariance=-1.0), "invariance"),
        (lambda: JointVicreg(CrossEntropy(), variance=float("nan")), "variance"),
        (lambda: JointVicreg(CrossEntropy(), covariance=-0.1), "covariance"),
        (lambda: JointVicreg(CrossEntropy(), reduction="all"), "reduction"),
    ],
)
def test_settings_out_of_range_are_named(make, argument):
    with pytest.raises(ArgumentError) as raised:
        make()
    assert raised.value.argument == argument


def gradient(loss, weighting) -> list[torch.Tensor]:
    """Of the objective by a model's parameters, the same model every time."""
    torch.manual_seed(0)
    asked = oracle(loss)
    asked.objective = Objective(loss, weighting)
    asked(TwoViews()(asked, batch())).loss.backward()
    return [value.grad for value in asked.model.parameters()]


@every_term
@pytest.mark.parametrize("weights", [[1.0, 1.0, 1.0], [0.1, 0.9, 2.0], [0.0, 0.0, 3.0]])
def test_no_class_weighting_touches_the_term(kind, term, weights):
    """What the term adds to the gradient is the same whatever the classes weigh; the labels' part is not."""
    weighting = ClassTable(torch.tensor(weights))
    joint, alone = gradient(kind(CrossEntropy(), weight=0.7), weighting), gradient(CrossEntropy(), weighting)
    plain, plain_alone = gradient(kind(CrossEntropy(), weight=0.7), None), gradient(CrossEntropy(), None)
    for one, two, three, four in zip(joint, alone, plain, plain_alone, strict=True):
        torch.testing.assert_close(one - two, three - four)
    assert (weights == [1.0] * 3) == all(torch.allclose(a, b) for a, b in zip(alone, plain_alone, strict=True))


@every_term
def test_weightings_see_the_losses_of_labels(kind, term):
    asked = oracle(kind(CrossEntropy(), weight=0.7))
    made = TwoViews()(asked, batch())
    evaluation = asked(made)
    torch.testing.assert_close(evaluation.evidence().losses, CrossEntropy().rows(evaluation.rows.logits, made.target).detach())
    whole = asked.objective.loss.rows(evaluation.rows.logits, made.target, features=evaluation.rows.features, views=2)
    torch.testing.assert_close(evaluation.loss, (evaluation.rows.share * whole).sum() / evaluation.mass)
    torch.testing.assert_close(evaluation.restricted(torch.ones(16)), evaluation.loss)
