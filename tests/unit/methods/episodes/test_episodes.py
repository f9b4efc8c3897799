"""The methods for episodes: each runs, says what it is, refuses what would do nothing, and combines with the other words."""

from __future__ import annotations

import functools
import inspect
import re

import pytest
import torch
from torch import nn

from steelyard.core.errors import ArgumentError, CombinationError, SteelyardError
from steelyard.core.fit import Fitted, fit
from steelyard.core.measure import predict_proba
from steelyard.core.regime import Regime
from steelyard.core.rows import Batch
from steelyard.core.task import TaskView
from steelyard.data import Shots
from steelyard.methods.episodes._common import LearnersOwn, QueryLoss, backbone_of, of_queries, training_mean
from steelyard.nets import Conv4
from steelyard.nets.episodic import Baseline, FewShotLearner, ProtoMAML, Rebalance, SimpleShot
from steelyard.nets.episodic.adapting import Adapting
from steelyard.settings import bind, describe_method, known_names, parameters_of, resolve, resolve_method
from steelyard.settings.text import format_value
from steelyard.tasks.episodes import Classes, EpisodeTask, Plan
from steelyard.tasks.models import Builder

METHODS = known_names("method", "episodes")
QUICK = {
    "btaml": "btaml(train_steps=1,test_steps=1,draws=1)",
    "maml": "maml(inner_steps=1)",
    "proto-maml": "proto-maml(inner_steps=1)",
    "baseline": "baseline(finetune_steps=5)",
    "baseline-pp": "baseline-pp(finetune_steps=5)",
}
SECTIONS = ("Formula:", "Reference:", "Departures:", "Example:")
every_method = pytest.mark.parametrize("name", METHODS)


def task(training: str = "standard", classes: int = 6) -> EpisodeTask:
    drawn = torch.Generator().manual_seed(0)
    target = torch.arange(classes).repeat_interleave(8)
    noise = torch.rand(len(target), 1, 8, 8, generator=drawn)
    images = 0.6 * torch.rand(classes, 1, 8, 8, generator=drawn)[target] + 0.4 * noise
    of = {"train": tuple(range(classes - 3)), "test": tuple(range(classes - 3, classes))}
    plan = Plan(3, Shots("linear", 1, 4), 2, training, {"train": 3, "test": 2})
    own = Classes((images * 255).to(torch.uint8), target, tuple(map(str, range(classes))), of)
    return EpisodeTask("tiny", own, plan, Builder("conv4", functools.partial(Conv4, 1, width=4)))


def trained(method: str, training: str = "random-shot", epochs: int = 1) -> Fitted:
    return fit(task(training), resolve_method(method), Regime(epochs=epochs, batch_size=1, lr=0.01), device="cpu")


def weights(fitted: Fitted) -> torch.Tensor:
    return torch.cat([value.flatten().float() for value in fitted.model.parameters()])


def with_settings(name: str, **settings: str) -> str:
    base, _, rest = QUICK.get(name, name).partition("(")
    parts = [rest.rstrip(")"), *(f"{key}={value}" for key, value in settings.items())]
    return f"{base}({','.join(part for part in parts if part)})"


def test_all_published_learners_are_there():
    assert set(METHODS) == {
        "protonet", "matchingnet", "relationnet", "simpleshot", "baseline", "baseline-pp", "knn", "maml", "proto-maml", "btaml",
        "dkt", "cosine-prototypes",
    }  # fmt: skip


@every_method
def test_a_method_trains_and_judges_all_queries(name):
    fitted = trained(with_settings(name))
    assert isinstance(fitted.model, FewShotLearner)
    proba, target = predict_proba(fitted.task, fitted.model, "test", "cpu")
    assert proba.shape == (12, 3)
    assert target.tolist().count(0) == 4
    assert torch.isfinite(weights(fitted)).all()
    again = trained(with_settings(name))
    assert torch.equal(weights(fitted), weights(again))


@every_method
def test_every_treatment_runs_or_is_refused(name):
    kinds = ("ros", "ros-plus", "weighted", "focal", "cb")
    expected = ["ros", "ros-plus"] if name in ("simpleshot", "knn", "dkt") else list(kinds)
    assert [kind for kind in kinds if _binds(name, kind)] == expected
    for kind in expected:
        fitted = trained(with_settings(name, rebalance=kind))
        assert isinstance(fitted.model, FewShotLearner)
        assert fitted.model.rebalance.kind == kind
        proba, _ = predict_proba(fitted.task, fitted.model, "test", "cpu")
        assert proba.shape == (12, 3)


def _binds(name: str, kind: str) -> bool:
    try:
        resolve_method(with_settings(name, rebalance=kind))
    except ArgumentError:
        return False
    return True


@every_method
def test_it_documents_itself_and_its_defaults_can_be_written(name):
    function = resolve("method", name)
    text = inspect.getdoc(function) or ""
    settings = dict(list(inspect.signature(function).parameters.items())[1:])
    assert len(text.partition("\n")[0]) <= 120
    assert not [section for section in SECTIONS if f"\n{section}\n" not in text]
    assert not [key for key in settings if not re.search(rf"^    {key}: ", text, re.MULTILINE)]
    texts = {key: format_value(parameter.default) for key, parameter in settings.items()}
    known = {key: parameter for key, parameter in parameters_of(function).items() if not parameter.positional}
    assert bind(name, known, texts) == {key: parameter.default for key, parameter in settings.items()}
    assert describe_method(name).of == "episodes"


@every_method
def test_other_data_are_refused_in_a_sentence(name, blobs):
    with pytest.raises(CombinationError, match=rf"'{name}' works on episodes"):
        fit(blobs, resolve_method(name), Regime(epochs=1), device="cpu")


@pytest.fixture
def blobs():
    from steelyard.problems import load

    return load("blobs", factor=10)


def test_ce_is_plain_protonet_and_standard_training_makes_loss_treatments_equal_to_it():
    plain = trained("ce", "standard")
    assert torch.equal(weights(plain), weights(trained("protonet", "standard")))
    for kind in ("weighted", "cb", "ros"):
        assert torch.allclose(weights(plain), weights(trained(f"protonet(rebalance={kind})", "standard")), atol=1e-4)
    assert not torch.allclose(weights(trained("ce")), weights(trained("protonet(rebalance=weighted)")), atol=1e-4)


def test_random_shot_training_is_a_setting_of_the_method_or_of_the_task():
    asked = trained("protonet(training=random-shot)", "standard")
    assert torch.equal(weights(asked), weights(trained("ce", "random-shot")))
    assert torch.equal(weights(trained("protonet(training=standard)", "random-shot")), weights(trained("ce", "standard")))


def test_treatments_at_inference_leave_training_alone():
    later = trained("protonet(rebalance=ros,when=inference)")
    assert torch.equal(weights(later), weights(trained("ce")))
    assert not torch.allclose(weights(later), weights(trained("protonet(rebalance=ros)")), atol=1e-4)


def test_settings_reach_the_learner():
    maml = trained("maml(inner_steps=2,inner_lr=0.3,bn=running,second_order=false)").model
    assert isinstance(maml, Adapting)
    assert (maml.bn, vars(maml)["steps"], vars(maml)["rate"], vars(maml)["second_order"]) == ("running", 2, 0.3, False)
    proto = trained("proto-maml(inner_steps=1,normalise=false,through_start=false)").model
    assert isinstance(proto, ProtoMAML)
    assert (proto.normalise, proto.through_start) == (False, False)
    plus = trained("baseline-pp(finetune_steps=3,finetune_lr=0.2)").model
    assert isinstance(plus, Baseline)
    assert (plus.cosine, plus.scale, plus.steps, plus.rate) == (True, 2.0, 3, 0.2)


def test_simpleshot_is_judged_with_the_exact_mean_of_the_training_images():
    fitted = trained("simpleshot")
    model = fitted.model
    assert isinstance(model, SimpleShot)
    own = task()
    rows = own.classes.rows("train")
    with torch.no_grad():
        expected = model.eval().backbone(own.examples.take(rows, torch.device("cpu"))).double().mean(0)
    assert torch.allclose(model.mean, expected.float(), atol=1e-5)
    assert torch.allclose(training_mean(TaskView(own), model.backbone), model.mean, atol=1e-6)


def test_other_words_combine_with_a_learner():
    base = trained("protonet")
    for text in (
        "protonet+sam",
        "protonet+la",
        "maml(inner_steps=1)+class-balanced",
        "inverse-frequency",
        "posthoc-la",
        "l2rw",
    ):
        found = trained(text)
        proba, _ = predict_proba(found.task, found.model, "test", "cpu")
        assert proba.shape == (12, 3)
    assert not torch.allclose(weights(trained("protonet+la")), weights(base), atol=1e-5)
    for text in ("mixup", "crt", "ldam"):
        with pytest.raises(SteelyardError):
            trained(text)


@pytest.mark.parametrize("text", ["knn+class-balanced", "simpleshot+drw", "baseline+mw-net", "knn+la"])
def test_learners_of_single_images_refuse_what_goes_by_ranks(text):
    with pytest.raises(SteelyardError, match="trained on batches of single images"):
        trained(text)


@pytest.mark.parametrize(
    ("method", "said"),
    [
        ("protonet(beta=0.5)", "given with rebalance=cb"),
        ("protonet(gamma=1)", "given with rebalance=focal"),
        ("protonet(when=inference)", "with a rebalance"),
        ("protonet(rebalance=cb,beta=2)", r"in \[0, 1\)"),
        ("protonet(rebalance=focal,gamma=-1)", "gamma"),
        ("knn(k=0)", "k"),
        ("dkt(noise=0)", "noise"),
        ("baseline(finetune_lr=0)", "finetune_lr"),
    ],
)
def test_settings_that_cannot_be_are_said(method, said):
    with pytest.raises(ArgumentError, match=said):
        trained(method)


def test_the_loss_of_queries_weighs_by_support_and_leaves_penalties_alone():
    logits = torch.randn(6, 3, generator=torch.Generator().manual_seed(0))
    target, counts = torch.tensor([0, 0, 1, 1, 2, 2]), torch.tensor([4, 2, 1]).expand(6, 3)
    loss = QueryLoss(Rebalance("weighted"))
    plain = torch.nn.functional.cross_entropy(logits, target, reduction="none")
    weight = 3 * torch.tensor([1 / 4, 1 / 2, 1.0]) / 1.75
    assert torch.allclose(loss.rows(logits, target, support_counts=counts), plain * weight[target])
    weighed, penalty = loss.parts(logits, target, support_counts=counts, penalty=torch.ones(6))
    assert torch.allclose(weighed, plain * weight[target])
    assert penalty is not None
    assert torch.allclose(loss.rows(logits, target, support_counts=counts, penalty=penalty), weighed + 1)
    assert torch.allclose(QueryLoss(Rebalance("ros")).rows(logits, target, support_counts=counts), plain)
    assert torch.equal(LearnersOwn().rows(logits, target, penalty=torch.arange(6.0)), torch.arange(6.0))
    assert torch.equal(LearnersOwn().rows(logits, target), torch.zeros(6))
    assert type(of_queries(Rebalance("weighted")).loss) is QueryLoss
    assert type(of_queries(Rebalance("ros")).loss) is not QueryLoss


def test_a_backbone_that_gives_maps_is_refused():
    own = task()
    own._build = Builder("maps", functools.partial(nn.Conv2d, 1, 2, 3))
    with pytest.raises(SteelyardError, match=r"vector of features for each input, \[N, d\]; found shape \[2, 2, 6, 6\]"):
        backbone_of(TaskView(own))


def test_penalties_are_part_of_what_btaml_and_dkt_minimise():
    for name in ("btaml(train_steps=1)", "dkt"):
        own = task("random-shot")
        stage = next(resolve_method(name)(TaskView(own)))
        assert stage.model is not None
        _, inputs = next(iter(own.splits["train"].stream([torch.arange(1)])))
        loaded = own.load(inputs, augment="none", generator=torch.Generator().manual_seed(0))
        rows = own.forward(stage.model.train(), Batch(loaded, torch.zeros(1).long(), torch.arange(1)))
        assert rows.extra["penalty"].shape == (6,)
        with_it = stage.objective.loss.rows(rows.logits, rows.target, **rows.extra)
        without = stage.objective.loss.rows(rows.logits, rows.target, support_counts=rows.extra["support_counts"])
        assert torch.allclose(with_it - without, rows.extra["penalty"], atol=1e-6)
