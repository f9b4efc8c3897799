"""Graphs from files, tables and objects."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from small_graph import arrays

from steelyard.core.errors import ArgumentError, DataError, UnknownName
from steelyard.tasks.graphs import EdgeRule, read_graph, split, with_features
from steelyard.tasks.graphs import read as module
from steelyard.tasks.graphs.library import geometric
from steelyard.tasks.graphs.read import near

TABLES = {
    "diabetes": ("Outcome", EdgeRule("Glucose", 4), (768, 19559, 50.9, 1, 0.643, 0.545), [(300, 160), (100, 54), (100, 54)]),
    "haberman": ("Survival", EdgeRule("Lymph Nodes", 2), (306, 18018, 117.8, 5, 0.718, 0.611), [(135, 48), (45, 16), (45, 17)]),
}


@pytest.mark.parametrize("name", list(TABLES))
def test_the_graphs_of_meta_gcn(shared_data: Path, name: str) -> None:
    target, rule, wanted, parts = TABLES[name]
    found = read_graph(shared_data / "metagcn_tables" / f"{name}.csv", target=target, rule=rule)
    facts = found.statistics()
    nodes, edges, degree, isolated, alike, chance = wanted
    assert (facts["nodes"], facts["edges"], facts["isolated_nodes"]) == (nodes, edges, isolated)
    assert round(facts["mean_degree"], 1) == degree
    assert facts["homophily"] == pytest.approx(alike, abs=5e-4)
    assert facts["homophily_by_chance"] == pytest.approx(chance, abs=7e-4)
    assert found.x.shape[1] == (7 if name == "diabetes" else 2)
    splits = split(found, "random")
    assert [tuple(torch.bincount(found.y[splits[key]]).tolist()) for key in ("train", "valid", "test")] == parts


@given(st.lists(st.integers(0, 30), min_size=2, max_size=25), st.sampled_from([0.5, 1.0, 2.0, 4.0]))
def test_neighbours_by_a_column_are_all_pairs_within_the_threshold(values: list[int], threshold: float) -> None:
    column = torch.tensor(values, dtype=torch.float64)
    gap = (column[:, None] - column[None]).abs() < threshold
    gap.fill_diagonal_(False)
    assert torch.equal(near(column, threshold), gap.nonzero().T)
    tenths = column / 10  # whose differences are rounded: 0.3 - 0.1 is below 0.2
    gap = (tenths[:, None] - tenths[None]).abs() < threshold / 10
    gap.fill_diagonal_(False)
    assert torch.equal(near(tenths, threshold / 10), gap.nonzero().T)


def table(tmp_path: Path, text: str = "a,b,label\n1,2,x\n2,3,y\n9,4,x\n") -> Path:
    (tmp_path / "t.csv").write_text(text)
    return tmp_path / "t.csv"


def test_the_column_of_the_rule_is_no_feature_unless_it_is_kept(tmp_path: Path) -> None:
    path = table(tmp_path)
    found = read_graph(path, target="label", rule=EdgeRule("a", 2))
    assert found.x.tolist() == [[2], [3], [4]] and found.edge_index.tolist() == [[0, 1], [1, 0]]
    assert found.class_names == ("x", "y")
    assert read_graph(path, target="label", rule=EdgeRule("a", 2, keep=True)).x.tolist() == [[1, 2], [2, 3], [9, 4]]


def test_words_become_zeros_and_ones_and_dropped_columns_are_gone(tmp_path: Path) -> None:
    path = table(tmp_path, "a,b,city,label\n1,2,rome,x\n2,3,oslo,y\n9,4,rome,x\n")
    found = read_graph(path, target="label", rule=EdgeRule("a", 2))
    assert found.x.tolist() == [[2, 0, 1], [3, 1, 0], [4, 0, 1]] and found.flags == 2
    standard = with_features(found, "standard").x
    assert torch.equal(standard[:, 1:], found.x[:, 1:]) and float(standard[:, 0].mean()) == pytest.approx(0, abs=1e-6)
    without = read_graph(path, target="label", rule=EdgeRule("a", 2), drop=("city",))
    assert without.x.tolist() == [[2], [3], [4]] and without.flags == 0
    assert torch.equal(without.edge_index, found.edge_index)


def test_what_is_wrong_with_a_rule_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = table(tmp_path)
    with pytest.raises(ArgumentError, match="edge_column"):
        read_graph(path, target="label")
    with pytest.raises(ArgumentError, match="edge_threshold"):
        EdgeRule("a", None)
    with pytest.raises(ArgumentError, match="above 0"):
        EdgeRule("a", 0)
    with pytest.raises(UnknownName, match="column 'A1'"):
        read_graph(path, target="label", rule=EdgeRule("A1", 2))
    with pytest.raises(ArgumentError, match="directed"):
        read_graph(path, target="label", rule=EdgeRule("a", 2), directed=True)
    with pytest.raises(DataError, match="no feature column beside 'a'"):
        read_graph(table(tmp_path, "a,label\n1,x\n2,y\n"), target="label", rule=EdgeRule("a", 2))
    with pytest.raises(DataError, match=r"'b'.*no numbers.*edge_column should be a column of numbers"):
        read_graph(table(tmp_path, "a,b,label\n1,u,x\n2,v,y\n"), target="label", rule=EdgeRule("b", 2))
    with pytest.raises(DataError, match=r"'b' of .*1 missing.*--missing median.*--drop b"):
        read_graph(table(tmp_path, "a,b,label\n1,,x\n2,v,y\n"), target="label", rule=EdgeRule("a", 2))
    with pytest.raises(ArgumentError, match=r"`drop`.*without edge_column"):
        read_graph(path, target="label", rule=EdgeRule("a", 2), drop=("a",))
    with pytest.raises(UnknownName, match="column 'c'"):
        read_graph(path, target="label", rule=EdgeRule("a", 2), drop=("c",))
    for setting in ({"drop": ("a",)}, {"missing": "median"}):
        with pytest.raises(ArgumentError, match="no table"):
            read_graph(arrays(), **setting)  # type: ignore[arg-type]
    with pytest.raises(DataError, match=r"'a'.*missing"):
        read_graph(table(tmp_path, "a,b,label\n1,1,x\n,2,y\n"), target="label", rule=EdgeRule("a", 2))
    monkeypatch.setattr(module, "MOST_EDGES", 2)
    with pytest.raises(DataError, match="smaller one"):
        near(torch.zeros(9), 1.0)


def test_an_npz_file_a_mapping_and_a_data_object_are_the_same(tmp_path: Path) -> None:
    given = arrays()
    mask = torch.arange(102) < 60
    masks = {"train_mask": mask, "test_mask": ~mask}
    np.savez(tmp_path / "g.npz", **{key: np.asarray(value) for key, value in (given | masks).items()})
    from_file, from_map = read_graph(tmp_path / "g.npz"), read_graph(given | masks)
    from_data = read_graph(geometric("data").Data(**given, **masks))
    for found in (from_file, from_data):
        assert torch.equal(found.x, from_map.x) and torch.equal(found.edge_index, from_map.edge_index)
        assert torch.equal(found.y, from_map.y) and found.masks["train"].tolist() == list(range(60))


def test_words_as_classes() -> None:
    given = arrays() | {"y": np.array(["b", "a"] * 51)}
    assert read_graph(given).class_names == ("a", "b")


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ({"x": torch.ones(3, 1), "y": [0, 1, 1]}, "lacks edge_index"),
        ({}, "lacks x and edge_index and y; it has: nothing"),
        (arrays() | {"train_mask": torch.ones(102)}, "train_mask .* true or false"),
        (arrays() | {"train_mask": torch.ones(102, 3, dtype=torch.bool)}, r"train_mask\[:, 0\]"),
        (arrays() | {"val_mask": torch.ones(102, dtype=torch.bool)}, "no train_mask"),
        ([1, 2], "found list"),
        ("nowhere.npz", "no file or folder nowhere.npz"),
    ],
)
def test_what_holds_no_graph_is_refused(data: object, words: str) -> None:
    with pytest.raises(DataError, match=words):
        read_graph(data)


def test_other_wrong_inputs(tmp_path: Path) -> None:
    with pytest.raises(UnknownName, match="citeseer"):
        read_graph("citeser")
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="no raw Planetoid files"):
        read_graph(tmp_path / "empty")
    np.savez(tmp_path / "objects.npz", x=np.array([{}, {}], dtype=object))
    with pytest.raises(DataError, match="never unpickled"):
        read_graph(tmp_path / "objects.npz")
    (tmp_path / "text.npz").write_text("no archive")
    with pytest.raises(DataError, match=r"text\.npz"):
        read_graph(tmp_path / "text.npz")
    with pytest.raises(ArgumentError, match="target"):
        read_graph(arrays(), target="label")
