"""Groups of classes, made here or read from a saved comparison."""

from __future__ import annotations

import pytest

from steelyard.core.counts import group_classes
from steelyard.metrics.groups import members_of, rule_of


def test_groups_and_their_saved_form_are_read_alike():
    made = group_classes([500, 60, 5])
    saved = {"rule": made.rule, **{name: list(members) for name, members in made.members.items()}}
    assert members_of(made) == members_of(saved) == {"many": (0,), "medium": (1,), "few": (2,)}
    assert rule_of(made) == rule_of(saved)


def test_a_group_that_is_not_there_is_empty():
    assert members_of({"few": [3]}) == {"many": (), "medium": (), "few": (3,)}
    assert members_of(None) == {"many": (), "medium": (), "few": ()}


@pytest.mark.parametrize("groups", [{}, {"many": [0]}])
def test_a_mapping_without_a_rule_is_called_by_hand(groups):
    assert rule_of(groups) == "given class by class"
