"""Laws of methods: every file of the room is gone through, so a new method is tested the moment it is there."""

from __future__ import annotations

import functools
import inspect
import re
from collections.abc import Callable
from typing import Any

import pytest
import torch
from tiny import Blobs, numbers, pictures, same_weights
from torch import nn

from steelyard.core.errors import CombinationError
from steelyard.core.fit import Fitted, fit
from steelyard.core.regime import Regime
from steelyard.core.stage import Stage
from steelyard.core.task import TaskView
from steelyard.settings import bind, data_kinds, dry_run, known_names, parameters_of, resolve, resolve_method
from steelyard.settings.probe import ProbeTask, slots_of, words_of
from steelyard.settings.text import format_value

METHODS = known_names("method")
REGIME = Regime(epochs=4, batch_size=16, lr=0.05)
SECTIONS = ("Formula:", "Reference:", "Departures:", "Example:")

OF_IMAGES = {"cutmix"}
"""Methods that refuse tables."""

every_method = pytest.mark.parametrize("name", METHODS)
of_any_kind = pytest.mark.parametrize("name", [*METHODS, *(name for of in data_kinds() for name in known_names("method", of))])
"""With those that need data of their kind, which cannot be run on what there is here."""


def trained(method: str, task: Blobs | None = None, regime: Regime = REGIME, seed: int = 0) -> Fitted:
    return _plain(regime) if method == "ce" and task is None and seed == 0 else anew(method, task, regime, seed)


@functools.cache
def _plain(regime: Regime) -> Fitted:
    """What most laws compare with: trained once."""
    return anew("ce", None, regime, 0)


def anew(method: str, task: Blobs | None, regime: Regime, seed: int) -> Fitted:
    task = Blobs() if task is None else task
    task = pictures(task) if method.partition("(")[0] in OF_IMAGES else task
    return fit(task, resolve_method(method), regime, seed=seed, device="cpu")


def equal_counts() -> Blobs:
    return Blobs(counts=(25, 25, 25))


def settings_of(function: Callable[..., Any]) -> dict[str, inspect.Parameter]:
    return dict(list(inspect.signature(function).parameters.items())[1:])


@every_method
def test_a_method_ends_and_yields_stages(name: str) -> None:
    run = dry_run(resolve("method", name))
    assert run.stages
    assert all(isinstance(stage, Stage) for stage in run.stages)
    assert isinstance(run.judged, nn.Module)


@of_any_kind
def test_settings_are_keyword_only_typed_and_have_defaults(name: str) -> None:
    function = resolve("method", name)
    for parameter in settings_of(function).values():
        assert parameter.kind is inspect.Parameter.KEYWORD_ONLY
        assert parameter.default is not inspect.Parameter.empty
        assert parameter.annotation is not inspect.Parameter.empty


@of_any_kind
def test_defaults_can_be_written_as_text(name: str) -> None:
    function = resolve("method", name)
    texts = {key: format_value(parameter.default) for key, parameter in settings_of(function).items()}
    known = {key: parameter for key, parameter in parameters_of(function).items() if not parameter.positional}
    assert bind(name, known, texts) == {key: parameter.default for key, parameter in settings_of(function).items()}


@of_any_kind
def test_the_docstring_says_formula_settings_reference_and_departures(name: str) -> None:
    function = resolve("method", name)
    text = inspect.getdoc(function) or ""
    assert len(text.partition("\n")[0]) <= 120
    assert not [section for section in SECTIONS if f"\n{section}\n" not in text]
    assert not [key for key in settings_of(function) if not re.search(rf"^    {key}: ", text, re.MULTILINE)]


@every_method
def test_two_dry_runs_are_equal(name: str) -> None:
    first, second = dry_run(resolve_method(name)), dry_run(resolve_method(name))
    assert words_of(first) == words_of(second)
    assert same_weights(first.model, second.model)
    assert same_weights(first.judged, second.judged)
    for one, other in zip(first.stages, second.stages, strict=True):
        assert slots_of(one).keys() == slots_of(other).keys()
        assert same_weights(one.objective, other.objective)


@every_method
def test_the_counts_of_the_task_stay_as_they_are(name: str) -> None:
    task = ProbeTask()
    before = task.counts.clone()
    dry_run(resolve_method(name), task)
    assert torch.equal(task.counts, before)


class Trap:
    """A split that must not be looked at."""

    def __getattribute__(self, name: str) -> Any:
        raise AssertionError(f"the test split was asked for '{name}'")

    def __len__(self) -> int:
        raise AssertionError("the test split was asked for its length")


@every_method
def test_the_test_split_is_out_of_reach(name: str) -> None:
    task = Blobs()
    task.splits["test"] = Trap()  # type: ignore[assignment]
    trained(name, task, Regime(epochs=1, batch_size=32))


@pytest.mark.parametrize(("of", "name"), [(of, name) for of in data_kinds() for name in known_names("method", of)])
def test_a_method_of_one_kind_refuses_other_data(of: str, name: str) -> None:
    with pytest.raises(CombinationError, match=f"method '{name}' works on {of}"):
        fit(Blobs(), resolve_method(name), REGIME, device="cpu")


def test_a_view_has_no_test_split() -> None:
    task = Blobs()
    view = TaskView(task)
    held = [value for key in dir(view) if not key.startswith("__") for value in [getattr(view, key)]]
    assert not [value for value in held if value is task.splits["test"] or value is task or value is task.splits]


@every_method
def test_two_runs_of_a_seed_agree_bit_for_bit(name: str) -> None:
    short = REGIME.replace(epochs=2)
    first, second, other = (anew(name, None, short, seed) for seed in (0, 0, 1))
    assert same_weights(first.model, second.model)
    assert numbers(first.history) == numbers(second.history)
    assert not same_weights(first.model, other.model)


@every_method
@pytest.mark.parametrize("counts", [(40, 1, 5), (40, 0, 5)], ids=["one row", "no row"])
def test_a_class_with_one_row_or_none_does_no_harm(name: str, counts: tuple[int, ...]) -> None:
    fitted = trained(name, Blobs(counts=counts), Regime(epochs=2, batch_size=16, lr=0.05))
    assert all(torch.isfinite(value).all() for value in fitted.model.state_dict().values())


@every_method
def test_every_method_but_plain_training_makes_a_difference(name: str) -> None:
    inputs, regime = torch.randn(16, 4), REGIME.replace(epochs=10)
    scores = [trained(method, regime=regime).model.eval()(inputs) for method in (name, "ce")]
    assert torch.allclose(*scores, atol=1e-6) is (name == "ce")


def alike(one: Fitted, other: Fitted) -> None:
    """Equal scores up to rounding, and equal histories."""
    inputs = torch.randn(32, 4)
    assert torch.allclose(one.model.eval()(inputs), other.model.eval()(inputs), atol=2e-4)
    assert [line["train_loss"] for line in one.history] == pytest.approx(
        [line["train_loss"] for line in other.history], rel=1e-4
    )


LIMITS = [
    "la(tau=0)",
    "posthoc-la(tau=0)",
    "focal(gamma=0)",
    "inverse-frequency(power=0)",
    "drw(power=0)",
    "drw(after=1)",
    "class-balanced(beta=0)",
    "cb-drw(beta=0)",
    "cb-drw(after=1)",
    "cb-focal(beta=0,gamma=0)",
    "gla(q=0,tau=0)",
    "label-smoothing(smoothing=0)",
    "class-smoothing(minimum=0,maximum=0)",
    "mixup(alpha=0)",
    "drs(after=1)",
    "remix(alpha=0)",
    "cutmix(probability=0)",
    "random-oversample(ratio=0)",
    "metabalance(inner_lr=0,outer=natural)",
    "sam(rho=0)",
    "imb-sam(tail=0)",
    "cc-sam(noise=0,head_epochs=0)",
    "sam-a(rho=0)",
    "ot(method=closed_form,meta_from=train,beta=0,eps=100000000.0)",
    "rdr(after=1)",
    "rdr(after=0,gamma=0)",
    "cdb(tau=0)",
    "lws(head_epochs=0)",
    "two-stage(finetune_epochs=0)",
    "joint-ssl(weight=0)",
    "simplify(minimum=0,maximum=0,rho=0,ssl_weight=0)",
]


@pytest.mark.parametrize("limit", LIMITS)
def test_declared_limits_are_plain_training(limit: str) -> None:
    alike(trained(limit), trained("ce"))


@pytest.mark.parametrize(
    "limit",
    [
        "mixup(alpha=0)",
        "drs(after=1)",
        "random-oversample(ratio=0)",
        "metabalance(inner_lr=0,outer=natural)",
        "sam(rho=0)",
        "imb-sam(tail=0)",
        "cc-sam(noise=0,head_epochs=0)",
        "sam-a(rho=0)",
        "joint-ssl(weight=0)",
    ],
)
def test_limits_that_change_nothing_keep_every_bit(limit: str) -> None:
    assert same_weights(trained(limit).model, trained("ce").model)


@pytest.mark.parametrize(
    "name",
    [
        "la",
        "balanced-softmax",
        "inverse-frequency",
        "drw",
        "class-balanced",
        "cb-drw",
        "arb(counts=global)",
        "gla(q=0)",
        "gca(q=0,kappa=0)",
        "gca",
    ],
)
def test_equal_counts_make_it_plain_training(name: str) -> None:
    fitted, plain = trained(name, equal_counts()), trained("ce", equal_counts())
    inputs = torch.randn(32, 4)
    assert torch.allclose(fitted.model.eval()(inputs), plain.model.eval()(inputs), atol=2e-4)


def test_equal_counts_make_a_post_hoc_shift_change_no_decision() -> None:
    inputs = torch.randn(32, 4)
    shifted, plain = trained("posthoc-la", equal_counts()).model.eval(), trained("ce", equal_counts()).model.eval()
    assert torch.allclose(shifted(inputs).softmax(1), plain(inputs).softmax(1), atol=1e-6)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("la", "balanced-softmax"),
        ("la", "arb(counts=global)"),
        ("la(tau=0.7)", "gla(q=0,tau=0.7)"),
        ("la", "gla(q=0)"),
        ("gca(kappa=0)", "inverse-frequency"),
        ("focal+class-balanced", "cb-focal"),
        ("mixup+balanced-softmax", "mixup-bs"),
        ("remix+balanced-softmax", "remix-bs"),
        ("remix(threshold=0)", "mixup"),
        ("remix(rule=mamix,power=0)", "mixup"),
        ("metabalance(inner_lr=0)", "balanced-sampling"),
        ("imb-sam(tail=1.0)", "sam"),
        ("sam-a(power=0)", "sam"),
        ("cc-sam(flat=0.3,head_epochs=0)", "descent=class-conditional-sam(0.3)"),
        ("weighting=deferred(effective-number(beta=0.9999),after=0.8)", "cb-drw"),
        ("ldam+cb-drw", "ldam-drw"),
        ("class-balanced(beta=0.99999999)", "inverse-frequency"),
        ("sqrt-sampling(power=0)", "balanced-sampling"),
        ("drs(after=0)", "balanced-sampling"),
        ("rdr-la(prior_power=1)", "rdr"),
        ("rdr-la(after=0,gamma=0)", "la"),
        ("la+rdr(after=0.5)", "rdr-la(after=0.5)"),
        ("la(tau=0.5)+rdr(after=0.5)", "rdr-la(prior_power=0.5,after=0.5)"),
        ("weighting=deferred(rdr,after=0.5)", "rdr(after=0.5)"),
        ("two-stage(first=mixup+drs,second=balanced-sampling)", "bag-of-tricks"),
        ("simplify(maximum=0.3,rho=0,ssl_weight=0)", "class-smoothing(minimum=0,maximum=0.3,direction=tail)"),
        ("simplify(maximum=0,rho=0)", "joint-ssl"),
        ("simplify(maximum=0,ssl_weight=0,power=0)", "descent=sam"),
    ],
)
def test_methods_that_are_the_same_are_the_same(one: str, other: str) -> None:
    alike(trained(one), trained(other))


@pytest.mark.parametrize(
    ("deferred", "before"),
    [("drw", "ce"), ("cb-drw", "ce"), ("drs", "ce"), ("ldam-drw", "ldam"), ("rdr", "ce"), ("rdr-la", "la")],
)
def test_before_the_switch_deferred_methods_do_nothing(deferred: str, before: str) -> None:
    late, plain = (
        [line["train_loss"] for line in trained(name, regime=REGIME.replace(epochs=10)).history] for name in (deferred, before)
    )
    assert late[:8] == plain[:8]
    assert late[8] != plain[8]


@every_method
def test_every_method_learns(name: str) -> None:
    """On easy data every method ends far above chance, a third."""
    last = trained(name, regime=Regime(epochs=15, batch_size=16, lr=0.05, warmup_epochs=1)).history[-1]
    assert last["valid_balanced_accuracy"] > 0.5
