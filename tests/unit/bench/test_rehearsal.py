"""What methods refuse, they refuse before anything is trained."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
import small_graph
import torch

from steelyard import cli
from steelyard.bench.rehearsal import check_kinds, rehearse
from steelyard.core.errors import CombinationError, SteelyardError
from steelyard.problems import load
from steelyard.settings import data_kinds, known_names


def test_every_method_of_a_kind_belongs_to_it_and_to_no_other() -> None:
    for kind in data_kinds():
        check_kinds(known_names("method", kind), kind)
        for other in {*data_kinds(), "tables"} - {kind}:
            for name in known_names("method", kind):
                with pytest.raises(CombinationError, match=f"'{name}' works on {kind}, and the data are {other}"):
                    check_kinds(["ce", name], other)


def test_several_strangers_are_named_in_one_sentence() -> None:
    with pytest.raises(CombinationError) as refused:
        check_kinds(["soul", "la", "tam", "deblora(knee=2.0)"], "graphs")
    assert str(refused.value) == (
        "methods work on other data than these, which are graphs: 'soul' on points and 'deblora(knee=2.0)' on adapters; "
        "leave them out"
    )


def test_nothing_is_refused_while_the_kind_is_not_known() -> None:
    check_kinds(["ce", "soul"], None)


def test_a_part_of_a_combination_counts() -> None:
    with pytest.raises(CombinationError, match="works on graphs, and the data are tables"):
        rehearse(load("blobs"), ["la", "renode+mixup"])


@pytest.mark.parametrize(
    ("method", "said"),
    [
        ("meta-gcn(every=0)", "`every`"),
        ("tam(alpha=-1)", "`alpha`"),
        ("graphsmote(ratio=2)", "`ratio`"),
        ("crt(head_epochs=0)", "`head_epochs`"),
    ],
)
def test_a_wrong_value_is_named_with_its_method(method: str, said: str) -> None:
    with pytest.raises(SteelyardError) as refused:
        rehearse(small_graph.task(), ["ce", method])
    assert said in str(refused.value) and method.partition("(")[0] in str(refused.value)


def test_the_sampler_is_made_too() -> None:
    with pytest.raises(SteelyardError, match="num_samples"):
        rehearse(load("blobs"), ["sampler=balanced(num_samples=0)"])


@pytest.mark.parametrize(
    ("method", "said"),
    [
        ("loss=la transform=cutmix descent=sam", "use mixup"),
        ("weighting=deferred(rdr) transform=cutmix", "use mixup"),
        ("rehearsed_here:headless", "linear"),
        ("rehearsed_here:featureless", "looks at the features"),
    ],
)
@pytest.mark.usefixtures("own")
def test_words_refuse_rows_and_models_before_anything_is_trained(method: str, said: str) -> None:
    with pytest.raises(SteelyardError, match=said) as refused:
        rehearse(load("blobs"), ["ce", method])
    assert "method '" in str(refused.value)


@pytest.mark.parametrize(
    "method",
    ["loss=la weighting=rdr descent=sam(rho=0.1) transform=mixup", "mw-net+sam", "m2m(generator=switch)", "metabalance"],
)
def test_what_can_be_trained_passes_and_leaves_the_rows_alone(method: str) -> None:
    task = load("blobs")
    source = task.splits["train"]
    before = next(iter(source.stream(iter([torch.arange(len(source))]))))[1].clone()
    rehearse(task, [method])
    assert torch.equal(next(iter(source.stream(iter([torch.arange(len(source))]))))[1], before)


OWN = """
import torch
from steelyard import Objective, Stage
from steelyard.descents import ClassConditionalSAM
from steelyard.weightings import Deferred, DensityRatio


def drawing(task):
    torch.rand(100)
    yield Stage()


class Headless(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.shift = torch.nn.Parameter(torch.zeros(4))

    def forward(self, inputs):
        return self.shift.expand(len(inputs), 4)


def headless(task):
    yield Stage(descent=ClassConditionalSAM(task.counts), model=Headless())


def featureless(task):
    yield Stage(Objective(weighting=Deferred(DensityRatio(task.counts), after=0.8)), model=Headless())


def broken(task):
    raise MemoryError
    yield Stage()
"""


@pytest.fixture
def own(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "rehearsed_here.py").write_text(OWN)
    monkeypatch.syspath_prepend(str(tmp_path))


@pytest.mark.usefixtures("own")
def test_the_global_generator_is_left_as_it_was() -> None:
    before = torch.get_rng_state()
    rehearse(load("blobs"), ["ldam", "rehearsed_here:drawing"])
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.usefixtures("own")
def test_what_may_be_this_process_alone_is_left_to_the_run() -> None:
    rehearse(load("blobs"), ["rehearsed_here:broken"])


def npz(folder: Path) -> Path:
    found = small_graph.arrays()
    np.savez(folder / "net.npz", **{name: value.numpy() for name, value in found.items()})
    return folder / "net.npz"


@pytest.mark.parametrize(
    ("methods", "said"),
    [("ce,soul", "'soul' works on points"), ("ce,la,meta-gcn(every=0)", "meta-gcn"), ("ce,tam(beta=-1)", "beta")],
)
@pytest.mark.parametrize("command", ["compare", "tune"])
def test_the_command_line_trains_nothing(
    command: str, methods: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = ["--methods", methods] if command == "compare" else ["--method", methods.rpartition(",")[2]]
    words = [command, str(npz(tmp_path)), "--task", "graphs", *asked, "--epochs", "2", "--out", str(tmp_path / "out")]
    monkeypatch.setattr(sys, "argv", ["steelyard", *words])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    told = capsys.readouterr()
    assert ended.value.code == 1
    assert told.err.startswith("error: ") and said in told.err and told.err.count("\n") == 1
    assert not list((tmp_path / "out").rglob("*.json"))


def test_strangers_are_refused_before_data_are_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["compare", str(tmp_path / "none.npz"), "--task", "graphs", "--methods", "ce,soul", "--out", str(tmp_path / "out")]
    monkeypatch.setattr(sys, "argv", ["steelyard", *words])
    with pytest.raises(SystemExit):
        cli.main()
    assert "'soul' works on points" in capsys.readouterr().err
