from __future__ import annotations

import sys
from pathlib import Path

import pytest

from steelyard.core.errors import ArgumentError, SteelyardError, UnknownName
from steelyard.settings.names import data_kinds, imported, kind_of_method, known_names, public_modules, resolve


def test_a_dash_is_an_underscore_in_the_module() -> None:
    from steelyard.methods.ldam_drw import ldam_drw

    assert resolve("method", "ldam-drw") is ldam_drw


def test_known_names_are_the_files_of_the_room() -> None:
    import steelyard.methods

    files = {path.stem for path in Path(steelyard.methods.__file__).parent.glob("[!_]*.py")}
    assert known_names("method") == sorted(stem.replace("_", "-") for stem in files)
    assert not [name for name in public_modules("steelyard.core") if name.startswith("_")]


def test_methods_for_one_kind_of_data_are_found_by_their_name_alone() -> None:
    named = [(of, name) for of in data_kinds() for name in known_names("method", of)]
    assert ("graphs", "meta-gcn") in named
    everywhere = [*known_names("method"), *(name for _, name in named)]
    assert len(set(everywhere)) == len(everywhere)  # or a name would stand for two methods
    for of, name in named:
        assert resolve("method", name).__module__ == f"steelyard.methods.{of}.{name}".replace("-", "_")
        assert kind_of_method(f"{name}(setting=1)") == of
    assert kind_of_method("la(tau=2)") == ""


@pytest.mark.parametrize(
    ("asked", "meant"), [("ldam-drv", "ldam-drw"), ("LA", "la"), ("balanced_softmx", "balanced-softmax"), ("focall", "focal")]
)
def test_an_unknown_name_says_the_nearest(asked: str, meant: str) -> None:
    with pytest.raises(UnknownName, match="unknown method") as caught:
        resolve("method", asked)
    assert repr(meant) in str(caught.value)


@pytest.mark.parametrize("name", ["", "..", "../methods/la", "__init__", "la.py", "os"])
def test_names_are_not_paths(name: str) -> None:
    with pytest.raises(UnknownName):
        resolve("method", name)


def test_an_unknown_kind_is_refused() -> None:
    with pytest.raises(ArgumentError, match="`kind`"):
        resolve("meal", "la")


@pytest.fixture
def own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A current folder with modules of its own."""
    (tmp_path / "tricks_of_mine.py").write_text(
        "from steelyard.core.stage import Stage\nNUMBER = 3\n\ndef trick(task):\n    yield Stage()\n"
    )
    (tmp_path / "broken_of_mine.py").write_text("1 / 0\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [entry for entry in sys.path if entry])
    monkeypatch.delitem(sys.modules, "tricks_of_mine", raising=False)
    return tmp_path


def test_own_code_is_found_in_the_current_folder(own_folder: Path) -> None:
    assert resolve("method", "tricks_of_mine:trick").__name__ == "trick"
    assert imported("model", "tricks_of_mine:Stage.__init__").__name__ == "__init__"


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("no_such_lab:trick", "module 'no_such_lab' cannot be imported"),
        ("broken_of_mine:trick", "cannot be imported (ZeroDivisionError: division by zero)"),
        ("tricks_of_mine:trik", "module 'tricks_of_mine' has no function 'trik'; it has: Stage, trick"),
        ("tricks_of_mine:NUMBER", "has no function 'NUMBER'"),
        ("tricks_of_mine:", "has no function ''"),
        (":trick", "cannot be imported"),
        ("a..b:trick", "cannot be imported"),
    ],
)
def test_code_that_cannot_be_had_is_one_sentence(own_folder: Path, name: str, says: str) -> None:
    with pytest.raises(SteelyardError) as caught:
        resolve("method", name)
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)
