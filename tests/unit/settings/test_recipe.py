from __future__ import annotations

import pickle
from functools import partial

import pytest

from steelyard.core.errors import ArgumentError, SteelyardError, UnknownName
from steelyard.core.stage import Stage, Steps
from steelyard.core.task import TaskView
from steelyard.methods.la import la
from steelyard.settings.names import known_names
from steelyard.settings.probe import ProbeTask, dry_run, words_of
from steelyard.settings.recipe import combine, resolve_method


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("la", "la"),
        (" la ", "la"),
        ("la()", "la"),
        ("la(tau=1)", "la"),
        ("la(tau=1.50)", "la(tau=1.5)"),
        ("la (tau = 1.5)", "la(tau=1.5)"),
        ("ldam + drw(after=0.80)", "ldam+drw"),
        ("loss=la weighting=deferred(inverse-frequency, power=0)", None),
        ("loss = la(tau=0.5)   transform=mixup", "loss=logit-adjusted(tau=0.5)+transform=mixup"),
        ("mixup transform=mixup", None),
        ("gla(q=0.5,tau=none)", "gla(q=0.5)"),
    ],
)
def test_names_are_canonical(text: str, name: str | None) -> None:
    if name is None:
        with pytest.raises(SteelyardError):
            resolve_method(text)
        return
    recipe = resolve_method(text)
    assert recipe.name == name
    assert resolve_method(recipe.name).name == name
    assert resolve_method(recipe.name).settings == recipe.settings


def test_all_settings_are_kept_for_the_record() -> None:
    assert resolve_method("la").settings == {"tau": 1.0}
    assert resolve_method("ldam-drw(beta=0.99)").settings == {"max_margin": 0.5, "scale": 30.0, "beta": 0.99, "after": 0.8}
    assert resolve_method("la(tau=2)+mixup").settings == {"la.tau": 2.0, "mixup.alpha": 1.0}


def own(task: TaskView, *, epochs: int = 2) -> Steps:
    """Somebody's own method."""
    yield Stage(epochs=epochs)


def needy(task: TaskView, *, width: int) -> Steps:
    """Has a setting without default."""
    yield Stage(epochs=width)


def test_callables_pass_through_with_a_name() -> None:
    assert resolve_method(la).name == "la"
    assert resolve_method(partial(la, tau=0.5)).name == "la(tau=0.5)"
    recipe = resolve_method(own)
    assert recipe.name.endswith(":own")
    assert dry_run(recipe).stages[0].epochs == 2
    assert resolve_method(recipe) is recipe
    changed = resolve_method(partial(own, epochs=3))
    assert changed.name.endswith(":own(epochs=3)")
    assert dry_run(changed).stages[0].epochs == 3


def test_own_modules_are_methods_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("steelyard.settings.recipe.resolve", lambda kind, name: {"lab:own": own, "lab:needy": needy}[name])
    recipe = resolve_method("lab:own(epochs=7)")
    assert recipe.name == "lab:own(epochs=7)"
    assert dry_run(recipe).stages[0].epochs == 7
    with pytest.raises(SteelyardError, match="needs a value for width"):
        resolve_method("lab:needy")
    assert dry_run(resolve_method("lab:needy(width=5)")).stages[0].epochs == 5


def test_a_callable_lacking_a_setting_is_refused() -> None:
    with pytest.raises(SteelyardError, match="needs a value for width"):
        resolve_method(needy)


@pytest.mark.parametrize(
    ("text", "error", "says"),
    [
        ("lda", UnknownName, "unknown method 'lda'; did you mean"),
        ("la(tua=1)", UnknownName, "unknown setting of la 'tua'; did you mean 'tau'"),
        ("la(tau=high)", ArgumentError, "argument `tau` should be a finite number; found 'high'"),
        ("la+", SteelyardError, "empty part"),
        ("+", SteelyardError, "empty part"),
        ("", SteelyardError, "empty part"),
        ("la+ldamm", UnknownName, "unknown method 'ldamm'"),
        ("los=la", UnknownName, "unknown word 'los'; did you mean 'loss'"),
        ("la(task=3)", UnknownName, "unknown setting of la 'task'"),
        ("la(1.5)", SteelyardError, "should be key=value"),
    ],
)
def test_what_cannot_be_read_is_one_sentence(text: str, error: type[SteelyardError], says: str) -> None:
    with pytest.raises(error) as caught:
        resolve_method(text)
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


def test_something_else_is_no_method() -> None:
    with pytest.raises(ArgumentError, match="`method`"):
        resolve_method(3)  # type: ignore[arg-type]


@pytest.mark.parametrize("text", [*known_names("method"), "la(tau=0.5)+mixup", "loss=focal(gamma=2) sampler=power(power=0.5)"])
def test_recipes_can_be_pickled_for_worker_processes(text: str) -> None:
    recipe = resolve_method(text)
    copy = pickle.loads(pickle.dumps(recipe))
    assert copy.name == recipe.name
    assert copy.settings == recipe.settings
    assert words_of(dry_run(copy)) == words_of(dry_run(recipe))


def test_combining_recipes_is_the_same_as_writing_them() -> None:
    assert combine([resolve_method("la"), resolve_method("mixup")]) == combine("la+mixup")


def test_a_method_that_is_no_generator_says_so_when_called() -> None:
    def forgot(task: TaskView) -> Steps:
        return None  # type: ignore[return-value]

    with pytest.raises(SteelyardError, match="generator function"):
        resolve_method(forgot)(TaskView(ProbeTask()))
