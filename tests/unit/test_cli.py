from __future__ import annotations

import json
import shutil
import sys
import warnings
from pathlib import Path

import pytest
from click.testing import CliRunner

from steelyard.bench.runner import Machine, _threads_before
from steelyard.cli import cli, main
from steelyard.problems import catalogue
from steelyard.settings import known_names

QUICK = ("--factor", "20", "--seeds", "1", "--epochs", "1", "--jobs", "1")


def call(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    """What the installed command does: exit code, output, error output."""
    monkeypatch.setattr(sys, "argv", ["steelyard", *arguments])
    monkeypatch.setenv("COLUMNS", "160")
    monkeypatch.setattr(warnings, "showwarning", warnings.showwarning)  # put back what `main` sets
    code = 0
    try:
        main()
    except SystemExit as end:
        code = int(end.code or 0)
    written = capsys.readouterr()
    return code, written.out, written.err


@pytest.mark.parametrize("command", ["", "compare", "methods", "datasets", "report"])
def test_every_command_explains_itself(command: str) -> None:
    result = CliRunner().invoke(cli, [*([command] if command else []), "--help"])
    assert result.exit_code == 0
    documented = cli.commands[command].params if command else []
    for option in documented:
        if option.param_type_name == "option":
            assert option.opts[0] in result.output
            assert option.help, option.name
    assert len(result.output.splitlines()) > 5


def test_methods_and_data_sets_are_listed(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    code, output, _ = call(monkeypatch, capsys, "methods")
    assert code == 0
    assert all(name in output for name in known_names("method"))
    code, output, _ = call(monkeypatch, capsys, "datasets")
    assert code == 0
    assert all(info.name in output for info in catalogue())
    code, output, _ = call(monkeypatch, capsys, "methods", "la")
    assert code == 0
    assert "tau=1.0" in output
    assert "Menon" in output


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (("comapre",), 2, "did you mean 'compare'"),
        (("compare",), 2, "Missing argument 'DATA'"),
        (("compare", "digits", "--methd", "la"), 2, "--method"),
        (("compare", "digit"), 1, "did you mean 'digits'"),
        (("compare", "digits", "--methods", "ldam-dwr"), 1, "did you mean 'ldam-drw'"),
        (("compare", "digits", "--methods", "la(tua=1)"), 1, "did you mean 'tau'"),
        (("compare", "digits", "--methods", "la+ldam"), 1, "cannot be combined: both set the loss"),
        (("compare", "digits", "--methods", "la+drw"), 1, "prior would be corrected twice"),
        (("compare", "digits", "--methods", ""), 1, "methods"),
        (("compare", "digits", "--factor", "-3"), 1, "factor"),
        (("compare", "digits", "--factor", "nan"), 1, "factor"),
        (("compare", "digits", "--seeds", "0"), 1, "--seeds"),
        (("compare", "digits", "--seeds", "x"), 1, "--seeds"),
        (("compare", "digits", "--seeds", "1,1"), 1, "seeds"),
        (("compare", "digits", "--seeds", "99999999999999999999999"), 1, "from 1 to 10,000"),
        (("compare", "digits", "--seeds", "0,99999999999999999999999"), 1, "seeds from 0 to 2^63 - 1"),
        (("compare", "digits", "--seeds", "-1,"), 1, "seeds from 0 to 2^63 - 1"),
        (("compare", "digits", "--checkpoint-seconds", "-1"), 2, "--checkpoint-seconds"),
        (("compare", "digits", "--epochs", "0"), 1, "epochs"),
        (("compare", "digits", "--regime", "sort"), 1, "did you mean 'short'"),
        (("compare", "digits", "--set", "weight_decay"), 1, "KEY=VALUE"),
        (("compare", "digits", "--set", "wieght_decay=1"), 1, "did you mean 'weight_decay'"),
        (("compare", "digits", "--groups", "quartiles"), 1, "groups"),
        (("compare", "digits", "--device", "cuda:77"), 1, "cuda:77"),
        (("compare", "digits", "--model", "resnet33"), 1, "resnet32"),
        (("compare", "digits", "--logger", "wandbb"), 1, "wandb"),
        (("report", "nowhere"), 1, "run `steelyard compare` first"),
        (("methods", "laa"), 1, "did you mean 'la'"),
    ],
)
def test_mistakes_get_one_sentence(
    arguments: tuple[str, ...], code: int, says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    extra = QUICK[4:] if arguments[:1] == ("compare",) and "--epochs" not in arguments else ()
    exit_code, _, error = call(monkeypatch, capsys, *arguments, *extra)
    assert exit_code == code, error
    assert error.startswith("error: ")
    assert says in error
    assert error.count("\n") == 1
    assert "Traceback" not in error


def test_a_comparison_in_one_process_tree(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "r"
    arguments = ("compare", "digits", *QUICK, "--methods", "la", "--controls", "--no-report", "--out", str(out))
    code, output, error = call(monkeypatch, capsys, *arguments)
    assert code == 0, error
    board = json.loads((out / "leaderboard.json").read_text())
    assert {row["method"] for row in board["rows"]} == {"ce", "drw", "la", "balanced-softmax", "mixup-bs", "posthoc-la"}
    assert "drw has a part that begins late, and 1 epochs are too few" in output.replace("\n", " ")
    assert not (out / "report.html").exists()
    code, output, _ = call(monkeypatch, capsys, "report", str(out))
    assert code == 0
    assert (out / "report.html").exists()


@pytest.mark.filterwarnings("default::steelyard.bench.store.DamagedResultWarning")
def test_what_is_lost_or_damaged_is_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Result files decide: a removed or damaged one is done again, with the same numbers; tables are made from them."""
    out = tmp_path / "r"
    arguments = ("compare", "digits", *QUICK, "--methods", "ce,la", "--no-report", "--out", str(out))
    assert call(monkeypatch, capsys, *arguments)[0] == 0
    board = json.loads((out / "leaderboard.json").read_text())
    scores = {row["method"]: row["metrics"] for row in board["rows"]}
    first, second = sorted((out / "runs").glob("*/result.json"))
    shutil.rmtree(first.parent)
    second.write_text('{"metrics": ')
    code, output, error = call(monkeypatch, capsys, *arguments)
    assert code == 0, error
    assert error.startswith(f"warning: {second} is damaged")
    assert error.count("\n") == 1
    assert "were finished before" not in output
    again = json.loads((out / "leaderboard.json").read_text())
    assert {row["method"]: row["metrics"] for row in again["rows"]} == scores

    for damage in (lambda path: path.write_text("{"), Path.unlink):
        damage(out / "leaderboard.json")
        code, output, error = call(monkeypatch, capsys, "report", str(out))
        assert (code, error) == (0, "")
        assert json.loads((out / "leaderboard.json").read_text()) == again
    (out / "comparison.json").write_text("{")
    (out / "leaderboard.json").unlink()
    code, _, error = call(monkeypatch, capsys, "report", str(out))
    assert code == 1
    assert error.startswith("error: ")
    assert "comparison.json is damaged" in error


def test_a_report_takes_in_what_has_ended_since(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "r"
    arguments = ("compare", "digits", *QUICK, "--methods", "ce,la", "--no-report", "--out", str(out))
    assert call(monkeypatch, capsys, *arguments)[0] == 0
    (out / "leaderboard.json").unlink()
    kept = {path: path.read_text() for path in (out / "runs").glob("*/result.json")}
    for path in kept:
        path.unlink()
    code, _, error = call(monkeypatch, capsys, "report", str(out))
    assert code == 1
    assert "no run of the comparison" in error
    for done, (path, text) in enumerate(kept.items(), start=1):
        path.write_text(text)
        assert call(monkeypatch, capsys, "report", str(out))[0] == 0
        assert len(json.loads((out / "leaderboard.json").read_text())["rows"]) == done


def test_a_comparison_keeps_the_threads_it_was_begun_with(tmp_path: Path) -> None:
    """Other threads, other bits: `--jobs` may change between an interruption and the next call."""
    assert _threads_before(tmp_path) is None
    (tmp_path / "comparison.json").write_text("{")
    assert _threads_before(tmp_path) is None
    (tmp_path / "comparison.json").write_text('{"threads": 3}')
    assert Machine(jobs=1).crew(6, _threads_before(tmp_path)) == (1, 3)
    assert Machine(jobs=5).crew(6, _threads_before(tmp_path)) == (5, 3)


def test_a_bug_is_called_one(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def broken(_width: int) -> None:
        raise ZeroDivisionError("by zero")

    monkeypatch.setattr("steelyard.listing.methods_list", broken)
    code, _, error = call(monkeypatch, capsys, "methods")
    assert code == 70
    assert "this is a bug in steelyard" in error
    kept = Path(error.rpartition("the traceback is in ")[2].strip().rstrip(")"))
    assert "ZeroDivisionError" in kept.read_text()
    kept.unlink()
