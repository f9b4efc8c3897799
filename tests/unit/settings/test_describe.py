from __future__ import annotations

import json

import pytest

from steelyard.core.stage import Stage, Steps
from steelyard.core.task import TaskView
from steelyard.methods import CONTROLS
from steelyard.settings.describe import describe_method, describe_methods, reference_in
from steelyard.settings.names import data_kinds, known_names


def test_every_method_is_described() -> None:
    infos = describe_methods()
    assert [(info.of, info.name) for info in infos] == [
        (of, name) for of in ("", *data_kinds()) for name in known_names("method", of)
    ]
    for info in infos:
        assert info.summary.endswith(".")
        assert len(info.source) >= 10
        assert json.loads(json.dumps(info.to_json()))["words"] == info.words


def test_the_controls_are_those_of_the_ground_rules() -> None:
    assert {info.name for info in describe_methods() if info.control} == set(CONTROLS)
    assert set(CONTROLS) == {"ce", "drw", "la", "balanced-softmax", "mixup-bs", "posthoc-la"}


def test_settings_make_a_method_no_control() -> None:
    assert describe_method("la").control
    assert not describe_method("la(tau=2)").control
    assert describe_method("la(tau=2)").settings == {"tau": 2.0}


@pytest.mark.parametrize(
    ("method", "words"),
    [
        ("ce", {}),
        ("la", {"loss": "logit-adjusted"}),
        ("ldam-drw", {"loss": "ldam", "weighting": "deferred(effective-number)", "decision": "scale"}),
        ("posthoc-la", {"decision": "logit-shift"}),
        ("sqrt-sampling", {"sampler": "power(power=0.5)"}),
        ("mixup-bs", {"loss": "balanced-softmax", "transform": "mixup"}),
    ],
)
def test_words_are_found_by_running(method: str, words: dict[str, str]) -> None:
    assert describe_method(method).words == words


def test_combinations_are_described_from_their_parts() -> None:
    info = describe_method("ldam+drw")
    assert info.name == "ldam+drw"
    assert info.summary == "Combination of ldam and drw."
    assert info.source.count("Cao") == 1
    assert describe_method("loss=focal transform=mixup").words == {"loss": "focal", "transform": "mixup"}
    assert "loss=focal" in describe_method("loss=focal").summary


def demanding(task: TaskView) -> Steps:
    """Needs more than a tiny task has.

    Reference:
        Nobody,
        nowhere.
    """
    raise KeyError(task.name)
    yield Stage()


def test_an_own_method_that_cannot_be_run_dry_is_described_all_the_same() -> None:
    info = describe_method(demanding)
    assert info.summary == "Needs more than a tiny task has."
    assert info.source == "Nobody, nowhere."
    assert info.words == {}


def test_a_docstring_without_reference_gives_none() -> None:
    assert reference_in("One line.") == ""
