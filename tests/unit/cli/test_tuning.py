from __future__ import annotations

import shlex
import sys
import warnings
from pathlib import Path
from typing import Any

import click
import pytest

from steelyard.bench.search import Tunable, space_of
from steelyard.bench.trial import Tuning
from steelyard.cli import cli, main
from steelyard.cli.options import changes_of, problem_of
from steelyard.cli.tuning import compare_commands, tune
from steelyard.settings import resolve_regime, split_list

pytest.importorskip("optuna", reason="Optuna is an extra: pip install 'steelyard[tune]'")

GIVEN = ("digits", "--method", "la", "--factor", "50", "--profile", "step", "--drop", "a,b c", "--valid-fraction", "0.2",
         "--regime", "digits", "--epochs", "7", "--set", "clip_norm=none", "--split-seed", "3", "--seeds", "2")  # fmt: skip


def options_of(*arguments: str, command: click.Command = tune) -> dict[str, Any]:
    return dict(command.make_context("tune", list(arguments)).params)


def commands(best: dict[str, Any], *given: str) -> list[str]:
    options = options_of(*GIVEN, *given)
    regime = resolve_regime("digits", **changes_of(options))
    space = space_of(Tunable("la", regime, "digits"))
    plan = Tuning("digits", "la", regime, "digits", space, 5, seeds=(0, 1), metric=options["metric"])
    return compare_commands(plan, best, options)


def test_the_command_that_is_printed_compares_the_best_settings_with_the_default_ones() -> None:
    first, second = commands({"written": "la(tau=1.5)", "regime_changes": {"lr": 0.02, "batch_size": 16, "weight_decay": 1e-5}})
    compare = cli.commands["compare"]
    found, before = (options_of(*shlex.split(text)[2:], command=compare) for text in (first, second))
    assert split_list(found["methods"]) == ["ce", "la", "la(tau=1.5)"]
    assert split_list(before["methods"]) == ["ce", "la"]
    regime = resolve_regime(found["regime"], **changes_of(found))
    assert regime == resolve_regime("digits", epochs=7, clip_norm="none", lr=0.02, batch_size=16, weight_decay=1e-5)
    assert resolve_regime(before["regime"], **changes_of(before)) == resolve_regime("digits", epochs=7, clip_norm="none")
    assert problem_of(found) == problem_of(before) == problem_of(options_of(*GIVEN))
    assert found["seeds"] == "2,3,4,5,6"  # none of those that the trials were trained with
    assert found["out"] != before["out"]


def test_one_command_where_the_regime_stays_as_it_was() -> None:
    (only,) = commands({"written": "la", "regime_changes": {}})
    assert "--methods ce,la " in only
    assert "--metric balanced_accuracy" in commands({"written": "la", "regime_changes": {}}, "--metric", "ece")[0]


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        ((), 2, "--method"),
        (("--method", "laa"), 1, "did you mean 'la'"),
        (("--method", "la", "--trials", "0"), 1, "--trials"),
        (("--method", "la", "--trials", "-2"), 1, "--trials"),
        (("--method", "la", "--metric", "acuracy"), 1, "did you mean 'accuracy'"),
        (("--method", "la", "--search", "tua=1..2"), 1, "did you mean 'tau'"),
        (("--method", "la", "--search", "tua=1..2", "--regime", "short"), 1, "did you mean 'tau'"),
        (("--method", "la", "--search", "tau=2..1"), 1, "from a smaller to a larger"),
        (("--method", "la", "--search", "tau=1..1"), 1, "from a smaller to a larger"),
        (("--method", "la", "--search", "tau"), 1, "KEY=VALUE"),
        (("--method", "la", "--search", "batch_size=0|8"), 1, "batch_size"),
        (("--method", "la", "--regime", "sort"), 1, "did you mean 'short'"),
        (("--method", "la", "--seeds", "0"), 1, "--seeds"),
        (("--method", "la", "--valid-fraction", "0"), 1, "--valid-fraction"),
        (("--method", "la", "--pruner", "medium"), 2, "median"),
        (("--method", "ce", "--over", "method"), 1, "nothing to tune"),
        (("--method", "la+ldam"), 1, "both set the loss"),
    ],
)
def test_mistakes_get_one_sentence(
    arguments: tuple[str, ...],
    code: int,
    says: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["steelyard", "tune", "digits", *arguments])
    monkeypatch.setattr(warnings, "showwarning", warnings.showwarning)  # put back what `main` sets
    with pytest.raises(SystemExit) as ended:
        main()
    error = capsys.readouterr().err
    assert ended.value.code == code, error
    assert error.startswith("error: ")
    assert says in error
    assert error.count("\n") == 1
