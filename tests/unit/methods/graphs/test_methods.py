"""Methods for graphs, and the methods of any data on nodes: they train, repeat, and refuse in a sentence what cannot work."""

from __future__ import annotations

import inspect
import re

import pytest
import torch
from small_graph import arrays, task
from tiny import Blobs, numbers, same_weights

from steelyard.core.errors import ArgumentError, CombinationError
from steelyard.core.fit import Fitted, fit
from steelyard.core.regime import Regime
from steelyard.core.task import TaskView
from steelyard.methods.graphs.graphsmote import graphsmote
from steelyard.problems import load
from steelyard.regimes.graphs import graphs
from steelyard.settings import bind, known_names, parameters_of, resolve, resolve_method
from steelyard.settings.text import format_value

OWN = known_names("method", "graphs")
MIXING = {"mixup", "mixup-bs", "remix", "remix-bs", "cutmix", "m2m", "bag-of-tricks"}
GENERAL = sorted(set(known_names("method")) - MIXING)
WITH_SETTINGS = [
    "bat(order=0)", "bat+la", "renode+la", "tam(on=ce)", "tam(on=graphens)", "tam+renode", "graphens+rdr", "graphens+imb-sam",
    "graphsmote(space=features)", "graphsmote(edges=decoded)", "graphsmote(index=released)", "graphsmote+l2rw",
    "node-oversample(both_ways=false)", "meta-gcn(meta_graph=induced)", "meta-gcn(meta_from=held_out)",
    "meta-gcn(meta_from=train,when_idle=skip)", "bat+meta-gcn",
]  # fmt: skip


def trained(method: str, epochs: int = 3, regime: Regime | None = None, **settings: object) -> Fitted:
    return fit(task(**settings), resolve_method(method), regime or graphs(epochs=epochs), device="cpu")


@pytest.mark.parametrize("method", [*OWN, *WITH_SETTINGS])
def test_methods_for_graphs_train_change_something_and_repeat_bit_for_bit(method: str) -> None:
    first, again, plain = trained(method, 8), trained(method, 8), trained("ce", 8)
    assert same_weights(first.model, again.model) and numbers(first.history) == numbers(again.history)
    assert not same_weights(first.model, plain.model)
    assert first.history[-1]["valid_balanced_accuracy"] > 0.4


@pytest.mark.parametrize("method", GENERAL)
def test_methods_of_any_data_work_on_nodes(method: str) -> None:
    fitted = trained(method)
    assert all(torch.isfinite(value).all() for value in fitted.model.state_dict().values())


@pytest.mark.parametrize("method", sorted(MIXING))
def test_what_would_mix_node_numbers_is_refused_in_a_sentence(method: str) -> None:
    with pytest.raises(CombinationError, match=r"cannot be mixed|pastes rectangles|no floating-point numbers"):
        trained(method, 10)


@pytest.mark.parametrize(
    "method", ["ce", "la", "ldam-drw", "l2rw", "mw-net", "rdr", "sam", "imb-sam", "crt", "meta-gcn", "renode"]
)
def test_methods_that_need_no_whole_graph_train_on_sampled_neighbours(method: str) -> None:
    batches = Regime(epochs=2, batch_size=16, optimizer="adam", lr=0.01)
    first, again = (trained(method, regime=batches, neighbours=(4, 3)) for _ in range(2))
    assert same_weights(first.model, again.model)


@pytest.mark.parametrize("method", ["bat", "graphens", "graphsmote", "tam", "node-oversample", "meta-gcn(meta_graph=induced)"])
def test_methods_that_need_the_whole_graph_say_so(method: str) -> None:
    with pytest.raises(CombinationError, match="needs the whole graph"):
        trained(method, neighbours=(4, 3))


@pytest.mark.parametrize("name", OWN)
def test_other_data_are_refused(name: str) -> None:
    with pytest.raises(CombinationError, match=f"'{name}' works on graphs"):
        fit(Blobs(), resolve_method(name), Regime(epochs=1), device="cpu")


@pytest.mark.parametrize("name", OWN)
def test_docstrings_and_defaults_follow_the_laws_of_methods(name: str) -> None:
    function = resolve("method", name)
    text, known = inspect.getdoc(function) or "", parameters_of(function)
    settings = {key: value for key, value in known.items() if not value.positional}
    assert len(text.partition("\n")[0]) <= 120
    assert all(f"\n{section}\n" in text for section in ("Formula:", "Reference:", "Departures:", "Example:"))
    assert all(re.search(rf"^    {key}: ", text, re.MULTILINE) for key in settings)
    texts = {key: format_value(value.default) for key, value in settings.items()}
    assert bind(name, settings, texts) == {key: value.default for key, value in settings.items()}


@pytest.mark.parametrize(
    ("limit", "same"),
    [
        ("node-oversample(ratio=0)", "ce"),
        ("graphsmote(ratio=0,space=features)", "ce"),
        ("graphsmote(ratio=0,reconstruction=0)", "ce"),
        ("renode(scale=0,base=1)", "ce"),
        ("tam(alpha=0,beta=0)", "balanced-softmax"),
        ("tam(alpha=0,beta=0,on=ce)", "ce"),
        ("tam(warmup=99)", "balanced-softmax"),
        ("meta-gcn(meta_from=held_out,meta_rows=3)", "l2rw(meta_from=held_out,meta_rows=3)"),
    ],
)
def test_limits_are_the_methods_that_they_are_said_to_be(limit: str, same: str) -> None:
    nodes = torch.arange(102)
    scores = [
        fitted.task.forward(fitted.model.eval(), _batch(nodes)).logits for fitted in (trained(limit, 6), trained(same, 6))
    ]
    assert torch.allclose(*scores, atol=2e-4)


def _batch(nodes: torch.Tensor):  # type: ignore[no-untyped-def]
    from steelyard.core.rows import Batch

    return Batch(nodes, torch.zeros_like(nodes), nodes)


def test_no_label_of_validation_or_test_is_used_when_meta_nodes_are_training_nodes() -> None:
    given = arrays()
    base = load(given, task="graphs")
    train = base.splits["train"].inputs
    hidden = given["y"].clone()
    others = torch.ones(len(hidden), dtype=torch.bool)
    others[train] = False
    masks = {"train_mask": ~others, "test_mask": others}
    models = []
    for y in (given["y"], torch.where(others, (given["y"] + 1) % 3, given["y"])):
        shuffled = load(given | masks | {"y": y}, task="graphs")
        models.append(fit(shuffled, resolve_method("meta-gcn(meta_from=train)"), graphs(epochs=5), device="cpu").model)
    assert same_weights(*models)


def test_wrong_settings_are_named() -> None:
    with pytest.raises(ArgumentError, match="meta_rows"):
        trained("meta-gcn(meta_rows=0)")
    with pytest.raises(CombinationError, match="no decoder"):
        trained("graphsmote(space=features,edges=decoded)")
    whole = task()
    del whole.splits["valid"]
    with pytest.raises(CombinationError, match="needs validation nodes"):
        fit(whole, resolve_method("meta-gcn(meta_from=valid)"), graphs(epochs=1), device="cpu")
    assert fit(whole, resolve_method("meta-gcn"), graphs(epochs=1), device="cpu").steps == 1  # auto: from the training nodes
    with pytest.raises(CombinationError, match="by name"):
        next(graphsmote(TaskView(task(model=torch.nn.Linear(6, 3)))))
