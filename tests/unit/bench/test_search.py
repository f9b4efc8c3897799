from __future__ import annotations

import sys
import types
from collections.abc import Iterator

import pytest

from steelyard.bench.search import Tunable, declared_in, space_of
from steelyard.core.errors import ArgumentError, SteelyardError, UnknownName
from steelyard.core.regime import Regime
from steelyard.core.stage import Stage, Steps
from steelyard.core.task import TaskView
from steelyard.settings import known_names, resolve, resolve_method, resolve_regime

REGIME = Regime(lr=0.05, batch_size=64, weight_decay=5e-4)


def tunable(method: str, regime: Regime = REGIME, name: str = "short", changed: tuple[str, ...] = ()) -> Tunable:
    return Tunable(resolve_method(method).name, regime, name, changed)


def texts(method: str, over: str = "both", *searched: tuple[str, str], changed: tuple[str, ...] = ()) -> dict[str, str]:
    return {key: found.text for key, found in space_of(tunable(method, changed=changed), over, searched).items()}


@pytest.mark.parametrize("name", known_names("method"))
def test_a_method_declares_ranges_of_settings_that_it_has_and_can_be_built_with(name: str) -> None:
    declared, recipe = declared_in(resolve("method", name)), resolve_method(name)
    assert set(declared) <= set(recipe.settings)
    assert bool(declared) or not recipe.settings, "declare what is worth tuning: SEARCH = {...} above the function"
    if declared:
        assert set(space_of(tunable(name), "method")) == set(declared)  # builds the method at every end


WORDS = {
    "weighting=rdr": {"momentum", "ridge", "gamma"},
    "weighting=cdb": {"tau", "ema", "floor"},
    "descent=sam": {"rho"},
    "descent=imb-sam": {"rho", "tail", "factor"},
    "descent=sam-a": {"rho", "power"},
    "descent=cc-sam": {"flat", "noise"},
    "descent=adversarial-features": {"reach", "limit", "weigh"},
    "transform=remix": {"alpha", "rule", "ratio", "threshold", "power"},
    "transform=cutmix": {"alpha", "probability"},
}


@pytest.mark.parametrize("word", WORDS)
def test_a_word_declares_ranges_of_settings_that_it_has_and_can_be_built_with(word: str) -> None:
    room = word.partition("=")[0]
    assert set(texts(word, "method")) == {f"{room}.{key}" for key in WORDS[word]}  # builds the word at every end


def test_a_free_combination_is_searched_in_all_of_its_words() -> None:
    found = texts("loss=la weighting=rdr descent=sam(rho=0.1) transform=mixup", "method")
    assert set(found) == {"loss.tau", "weighting.momentum", "weighting.ridge", "weighting.gamma", "transform.alpha"}


@pytest.mark.parametrize("name", known_names("regime"))
def test_a_regime_declares_ranges_that_hold_what_it_is(name: str) -> None:
    regime = resolve_regime(name)
    space = space_of(Tunable("ce", regime, name), "regime")
    assert {"lr", "batch_size"} | ({"weight_decay"} if regime.weight_decay else set()) <= set(space)
    assert all(found.holds(getattr(regime, key)) for key, found in space.items())


def test_whose_settings_are_searched() -> None:
    assert texts("la", "method") == {"tau": "0.5..2.0"}
    assert texts("la", "regime") == {"lr": "log(0.005..0.5)", "weight_decay": "log(5e-05..0.005)", "batch_size": "32|64|128"}
    assert texts("la") == texts("la", "method") | texts("la", "regime")


def test_a_range_on_the_command_line_wins_and_a_value_fixes() -> None:
    found = texts("la", "both", ("tau", "0.9..1.1"), ("lr", "0.01"), ("clip_norm", "none|5"))
    assert found["tau"] == "0.9..1.1"
    assert found["lr"] == "0.01"
    assert found["clip_norm"] == "none|5.0"


def test_what_the_user_has_set_is_left_alone() -> None:
    assert "tau" not in texts("la(tau=1.5)")
    assert "lr" not in texts("la", changed=("lr",))
    assert texts("la(tau=1.5)", "both", ("tau", "1..2"))["tau"] == "1.0..2.0"


def test_a_multiple_of_nothing_is_not_searched() -> None:
    assert "weight_decay" not in space_of(Tunable("la", REGIME.replace(weight_decay=0.0), "short"))


@pytest.mark.parametrize(
    ("method", "values", "written"),
    [
        ("la", {"tau": 1.5}, "la(tau=1.5)"),
        ("la(tau=1.5)", {"tau": 1.0}, "la"),
        ("ldam+drw", {"ldam.scale": 20.0, "drw.after": 0.5}, "ldam(scale=20.0)+drw(after=0.5)"),
        ("loss=focal", {"loss.gamma": 3.0}, "loss=focal(gamma=3.0)"),
        (
            "loss=la transform=mixup",
            {"loss.tau": 1.0, "transform.alpha": 0.5},
            "loss=logit-adjusted+transform=mixup(alpha=0.5)",
        ),
        (
            "loss=focal weighting=deferred(effective-number,after=0.9)",
            {"weighting.weighting.beta": 0.5, "weighting.after": 0.6},
            "loss=focal+weighting=deferred(weighting=effective-number(beta=0.5),after=0.6)",
        ),
    ],
)
def test_values_make_a_method_that_can_be_written(method: str, values: dict[str, object], written: str) -> None:
    text, regime = tunable(method).changed(values)
    assert text == written
    assert resolve_method(text).name == written
    assert regime == REGIME


def test_values_of_the_regime() -> None:
    text, regime = tunable("la").changed({"lr": 0.2, "batch_size": 32})
    assert text == "la"
    assert regime == REGIME.replace(lr=0.2, batch_size=32)


def with_momentum(task: TaskView, *, momentum: float = 0.5) -> Steps:
    """A method with a setting that regimes have, too."""
    yield Stage()


@pytest.fixture
def own_module(monkeypatch: pytest.MonkeyPatch) -> Iterator[types.ModuleType]:
    module = types.ModuleType("tricks")
    module.with_momentum = with_momentum  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "tricks", module)
    monkeypatch.setattr(with_momentum, "__module__", "tricks")
    yield module


def test_a_setting_of_the_method_comes_before_that_of_the_regime(own_module: types.ModuleType) -> None:
    found = Tunable("tricks:with_momentum", REGIME, "short")
    assert found.find("momentum").value == 0.5
    assert found.find("regime.momentum").value == 0.9
    text, regime = found.changed({"momentum": 0.6, "regime.momentum": 0.8})
    assert (text, regime.momentum) == ("tricks:with_momentum(momentum=0.6)", 0.8)


def test_ranges_of_somebodys_own_method(own_module: types.ModuleType) -> None:
    own_module.SEARCH = {"momentum": "0.1..0.9", "of_another_function": "1|2"}  # type: ignore[attr-defined]
    assert texts("tricks:with_momentum", "method") == {"momentum": "0.1..0.9"}
    own_module.SEARCH = True  # type: ignore[attr-defined]
    with pytest.raises(ArgumentError, match="SEARCH"):
        texts("tricks:with_momentum")


@pytest.mark.parametrize(
    ("method", "over", "searched", "error", "says"),
    [
        ("la", "both", [("tua", "1..2")], UnknownName, "did you mean 'tau'"),
        ("la", "both", [("weight_dcay", "1..2")], UnknownName, "did you mean 'weight_decay'"),
        ("la", "both", [("tau", "1..2"), ("tau", "1..3")], SteelyardError, "twice"),
        ("la", "both", [("lr", "0..1")], ArgumentError, "regime.lr"),
        ("gla", "both", [("q", "0..1")], ArgumentError, "`q` should be a number in [0, 1)"),
        ("cb-drw+focal", "both", [("after", "0.5..1.5")], ArgumentError, "after"),
        ("ce", "method", [], SteelyardError, "nothing to tune"),
        ("la", "method", [("tau", "1.5")], SteelyardError, "nothing to tune"),
        ("la", "all", [], ArgumentError, "over"),
    ],
)
def test_what_cannot_be_searched_is_one_sentence(
    method: str, over: str, searched: list[tuple[str, str]], error: type[SteelyardError], says: str
) -> None:
    with pytest.raises(error) as caught:
        space_of(tunable(method), over, searched)
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_name_that_several_parts_have_must_say_which() -> None:
    found = tunable("loss=focal sampler=deferred(after=0.5) weighting=deferred(uniform, after=0.5)")
    with pytest.raises(SteelyardError, match=r"'sampler.after'.*'weighting.after'|'weighting.after'.*'sampler.after'"):
        found.find("after")
    assert found.find("gamma").key == "loss.gamma"
