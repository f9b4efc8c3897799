"""Tests of the statistics over data sets, against closed forms, brute force and other libraries."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from itertools import permutations

import numpy as np
import pytest
from benchmarks.tables.diagram import diagram
from benchmarks.tables.scoring import moved_threshold, recall_at_alerts, scores
from benchmarks.tables.statistics import Scoreboard, cliques, duel, rank, scoreboard, signed_rank_posterior, wilcoxon_p
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import beta

from steelyard.metrics import balanced_accuracy

SCORED = st.lists(st.tuples(st.integers(0, 4), st.integers(0, 1)), min_size=2, max_size=6).filter(
    lambda rows: len({label for _, label in rows}) == 2
)


def split(rows: list[tuple[int, int]]) -> tuple[np.ndarray, np.ndarray]:
    return np.array([score for score, _ in rows], dtype=float) / 4, np.array([label for _, label in rows])


@given(SCORED, st.sampled_from([0.01, 0.3, 0.5]))
def test_recall_at_alerts_is_the_mean_over_all_orders_of_equal_scores(rows: list[tuple[int, int]], share: float) -> None:
    score, target = split(rows)
    seen = max(round(share * len(score)), 1)
    recalls = []
    for order in permutations(range(len(score))):
        ranked = np.array(order)
        if (np.diff(score[ranked]) <= 0).all():
            recalls.append(target[ranked[:seen]].sum() / target.sum())
    assert recall_at_alerts(score, target, share) == pytest.approx(np.mean(recalls))


@given(SCORED)
def test_no_threshold_is_better_than_the_moved_one(rows: list[tuple[int, int]]) -> None:
    score, target = split(rows)
    reached = balanced_accuracy((score >= moved_threshold(score, target)).astype(int), target)
    everywhere = [balanced_accuracy((score >= cut).astype(int), target) for cut in np.arange(-0.125, 1.2, 0.125)]
    # Deciding nothing is no threshold that is looked for: it is worth 0.5, as deciding everything is.
    assert reached == pytest.approx(max(everywhere))


def test_the_second_decision_is_by_the_moved_threshold_and_the_first_is_its_own() -> None:
    proba = np.array([[0.9, 0.1], [0.8, 0.2], [0.7, 0.3], [0.4, 0.6]])
    target = np.array([0, 0, 1, 1])
    found = scores(proba, np.zeros(4, dtype=int), 0.25, target)
    assert (found["balanced_accuracy"], found["balanced_accuracy_moved"]) == (0.5, 1.0)
    assert (found["g_mean"], found["g_mean_moved"], found["auprc"], found["auroc"]) == (0.0, 1.0, 1.0, 1.0)
    assert found["brier"] == pytest.approx(2 * np.mean([0.1**2, 0.2**2, 0.7**2, 0.4**2]))
    assert scores(proba, np.zeros(4, dtype=int), None, target)["balanced_accuracy_moved"] == 0.5


def board(values: list[list[float]], metric: str = "auprc") -> Scoreboard:
    names = tuple("abcdefgh"[: len(values[0])])
    return Scoreboard(metric, tuple(f"set {i}" for i in range(len(values))), names, np.array(values))


def test_ranks_by_hand_with_ties() -> None:
    found = rank(board([[0.9, 0.5, 0.5], [0.7, 0.8, 0.1], [0.6, 0.6, 0.6], [0.9, 0.4, 0.2]]))
    assert found.ranks == {"a": (1 + 2 + 2 + 1) / 4, "b": (2.5 + 1 + 2 + 2) / 4, "c": (2.5 + 3 + 2 + 3) / 4}
    assert set(found.pairs) == {("a", "b"), ("a", "c"), ("b", "c")}


def test_less_is_better_for_brier() -> None:
    values = [[0.1 * i, 0.1 * i + 0.2, 0.1 * i + 0.4] for i in range(6)]
    assert list(rank(board(values)).ranks) == ["c", "b", "a"]
    assert list(rank(board(values, "brier")).ranks) == ["a", "b", "c"]
    against = duel(board(values, "brier"), "a", "c")
    assert (against.wins, against.ties, against.losses) == (6, 0, 0)
    assert against.better > 0.95


@given(st.lists(st.integers(0, 1), min_size=6, max_size=6))
def test_cliques_are_the_largest_runs_without_a_difference(same: list[int]) -> None:
    order = ["a", "b", "c", "d"]
    names = [(order[i], order[j]) for i in range(4) for j in range(i + 1, 4)]
    pairs = {name: 0.5 if one else 0.01 for name, one in zip(names, same, strict=True)}

    def alike(start: int, stop: int) -> bool:
        return all(pairs[order[i], order[j]] >= 0.05 for i in range(start, stop) for j in range(i + 1, stop))

    runs = [(i, j) for i in range(4) for j in range(i + 2, 5) if alike(i, j)]
    largest = [tuple(order[i:j]) for i, j in runs if not any(a <= i and j <= b and (a, b) != (i, j) for a, b in runs)]
    assert cliques(order, pairs) == largest


def test_wilcoxon_without_any_difference_is_one() -> None:
    assert wilcoxon_p(np.ones(5), np.ones(5)) == 1.0
    assert wilcoxon_p(np.arange(30) + 1.0, np.arange(30)) < 1e-5


def test_posterior_of_one_difference_in_closed_form() -> None:
    """Better wins a draw if the prior's weight w has w^2 < 1/2, where w is Beta(0.5, 1)."""
    better, same, worse = signed_rank_posterior(np.array([1.0]), 0.1, draws=200_000)
    assert better == pytest.approx(beta(0.5, 1).cdf(np.sqrt(0.5)), abs=4e-3)
    assert (worse, better + same) == (0.0, pytest.approx(1.0))


def test_posterior_knows_the_clear_cases() -> None:
    clear = np.linspace(0.1, 0.3, 20)
    assert signed_rank_posterior(clear, 0.01)[0] > 0.999
    assert signed_rank_posterior(-clear, 0.01)[2] > 0.999
    assert signed_rank_posterior(clear / 100, 0.01)[1] > 0.999
    better, _, worse = signed_rank_posterior(np.concatenate([clear, -clear]), 0.0)
    assert better == pytest.approx(worse, abs=0.03)


def test_posterior_is_baycomps() -> None:
    baycomp = pytest.importorskip("baycomp", reason="an oracle that is not needed to run: pip install baycomp")
    generator = np.random.default_rng(3)
    differences = generator.normal(0.008, 0.02, 15)
    # Its first number is for its first argument being better.
    theirs = baycomp.SignedRankTest.probs(differences, np.zeros(15), rope=0.01, random_state=0)
    found = signed_rank_posterior(differences, 0.01, draws=50_000)
    assert found == pytest.approx(tuple(theirs), abs=0.01)
    assert min(found[:2]) > 0.02


def test_pairs_are_those_of_scikit_posthocs() -> None:
    posthocs = pytest.importorskip("scikit_posthocs", reason="an oracle that is not needed to run: pip install scikit-posthocs")
    values = np.random.default_rng(0).random((20, 4)) + np.array([0.0, 0.1, 0.4, 0.5])
    found = rank(board(values.tolist()))
    theirs = posthocs.posthoc_wilcoxon(values.T.tolist(), p_adjust="holm", zero_method="zsplit", method="approx").to_numpy()
    for (a, b), p in found.pairs.items():
        assert p == pytest.approx(theirs["abcd".index(a), "abcd".index(b)], abs=1e-6)


def test_a_set_counts_only_when_everyone_has_finished_it() -> None:
    def record(dataset: str, split: int, opponent: str, value: float) -> dict[str, object]:
        return {"dataset": dataset, "split": split, "opponent": opponent, "scores": {"auprc": value}}

    records = [
        record("one", s, o, v) for s, o, v in [(0, "a", 0.2), (1, "a", 0.4), (0, "b", 0.5), (1, "b", 0.7), (2, "b", 0.0)]
    ]
    records += [record("two", 0, "a", 0.9), record("two", 0, "b", 0.9), record("two", 1, "b", 0.9)]
    found = scoreboard(records, "auprc", ["a", "b"], splits=range(2))
    assert found.datasets == ("one",)
    assert found.values.tolist() == [[pytest.approx(0.3), pytest.approx(0.6)]]
    assert scoreboard(records, "auprc", ["a", "b"], splits=[1]).values.tolist() == [[0.4, 0.7]]


def test_the_diagram_names_everyone_at_its_rank() -> None:
    values = [[0.9, 0.5, 0.1 + 0.01 * i, 0.1 - 0.01 * (-1) ** i] for i in range(8)]
    ranking = rank(board(values))
    tree = ElementTree.fromstring(diagram(ranking, "ranks < by AUPRC"))
    texts = [node.text or "" for node in tree.iter("{http://www.w3.org/2000/svg}text")]
    for name, value in ranking.ranks.items():
        assert f"{name}  {value:.2f}" in texts or f"{value:.2f}  {name}" in texts
    heavy = [node for node in tree.iter("{http://www.w3.org/2000/svg}line") if node.get("stroke-width") == "3.5"]
    assert len(heavy) == len(ranking.cliques)
