"""The bias audit: all rules of the published table, against closed forms and its numbers."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from steelyard.core.errors import ArgumentError
from steelyard.nets.episodic import Episode, FewShotLearner, ProtoNet, Scored
from steelyard.tasks.episodes import bias_audit
from steelyard.tasks.episodes.audit import MATCHING, RULES, prototype_shares

QUERIES = 10_000
TABLE = {
    "1-NN": (0.04, 0.12, 0.20, 0.28, 0.36),
    "ProtoNet, squared Euclid": (0.000, 0.050, 0.167, 0.315, 0.468),
    "SimpleShot, CL2N": (0.000, 0.048, 0.168, 0.316, 0.468),
    "cosine, normalised prototypes": (0.2, 0.2, 0.2, 0.2, 0.2),
    "DKT, linear kernel, noise 0.1": (0.096, 0.167, 0.215, 0.248, 0.274),
    MATCHING: (0.04, 0.12, 0.20, 0.28, 0.36),
}


@pytest.fixture(scope="module")
def audit():
    before = torch.get_rng_state()
    found = bias_audit(queries=QUERIES)
    assert torch.equal(torch.get_rng_state(), before)
    return found


@pytest.mark.parametrize("rule", TABLE)
def test_shares_are_those_of_the_table(audit, rule):
    assert audit.queries == QUERIES
    tolerance = 1e-5 if rule == MATCHING else 0.02
    assert audit.shares[rule] == pytest.approx(TABLE[rule], abs=tolerance)
    assert sum(audit.shares[rule]) == pytest.approx(1)


def test_every_rule_is_in_the_table(audit):
    assert set(TABLE) == {*RULES, MATCHING} == set(audit.shares)
    for rule, expected in audit.expected.items():
        assert audit.shares[rule] == pytest.approx(expected, abs=0.02), rule


def test_closed_form_of_prototypes_follows_the_counts():
    assert prototype_shares((4, 4, 4), 64) == pytest.approx((1 / 3,) * 3)
    share = prototype_shares((1, 100), 200)[0]
    assert share < 1e-6
    counted = bias_audit((2, 3), queries=4000, size=16, rules={"p": lambda size: ProtoNet(nn.Identity())})
    assert counted.shares["p"] == pytest.approx(prototype_shares((2, 3), 16), abs=0.03)
    assert counted.expected == {}


def test_corrections_of_the_distance_do_not_remove_the_bias():
    """Subtracting the expected excess overcorrects, and the Gaussian predictive rule changes little."""

    class Corrected(FewShotLearner):
        def score(self, episode: Episode) -> Scored:
            plain = ProtoNet(nn.Identity())(episode).logits
            return Scored(plain + 64 / episode.counts, episode.query)

    class Predictive(FewShotLearner):
        def score(self, episode: Episode) -> Scored:
            plain, wide = ProtoNet(nn.Identity())(episode).logits, 1 + 1 / episode.counts
            return Scored(plain / (2 * wide) - 32 * wide.log(), episode.query)

    rules = {"corrected": lambda size: Corrected(nn.Identity()), "predictive": lambda size: Predictive(nn.Identity())}
    found = bias_audit(queries=QUERIES, rules=rules)
    assert found.shares["corrected"] == pytest.approx((0.355, 0.222, 0.163, 0.136, 0.125), abs=0.02)
    assert found.shares["predictive"] == pytest.approx((0.000, 0.044, 0.162, 0.313, 0.481), abs=0.02)


def test_a_table_to_read(audit):
    text = audit.table()
    assert "| rule | 1 shot | 3 shots |" in text
    assert text.count("expected") == len(audit.expected)


@pytest.mark.parametrize(
    ("changes", "said"), [({"shots": (0, 1)}, "shots"), ({"shots": (3,)}, "2 classes"), ({"size": 1}, "size")]
)
def test_values_are_checked(changes, said):
    with pytest.raises(ArgumentError, match=said):
        bias_audit(**changes)
