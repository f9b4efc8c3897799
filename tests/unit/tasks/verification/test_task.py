"""The verification task."""

import numpy as np
import pytest
import torch
from identities import task
from torch import nn

from steelyard.core.errors import CombinationError
from steelyard.core.fit import fit
from steelyard.core.measure import predict_proba
from steelyard.core.regime import Regime
from steelyard.core.task import TaskView
from steelyard.methods.ce import ce
from steelyard.metrics.verification import verification_metrics
from steelyard.settings import resolve_method

CPU = torch.device("cpu")
QUICK = Regime(epochs=8, batch_size=16, optimizer="adamw", lr=0.01)


def test_training_identities_are_classes_and_others_are_judged():
    made = task()
    about = made.describe()
    assert made.num_classes == 8 and about["unseen_pictures"] == 64
    assert set(made.context["group_names"]) == {"a", "b"}
    assert [made.group_names[g] for g in made.context["groups"].tolist()] == [
        "a" if int(n[-2:]) % 2 == 0 else "b" for n in made.class_names
    ]
    assert about["groups"]["a"]["training_identities"] == 4
    seen = TaskView(made)
    assert seen.context is made.context


def test_scores_are_cosines_of_what_goes_into_the_classifier():
    made = task()
    model = nn.Sequential(nn.Linear(6, 5), nn.Tanh(), nn.Linear(5, 8)).train()
    scores = made.scores(model, CPU)
    with torch.no_grad():
        hidden = model[1](model[0](made._unseen.inputs)).numpy()
    for place in range(0, len(scores), 37):
        one, two = hidden[made.pairs.first[place]], hidden[made.pairs.second[place]]
        assert scores[place] == pytest.approx(one @ two / np.linalg.norm(one) / np.linalg.norm(two), abs=1e-5)
    assert model.training


def test_training_helps_and_own_metrics_are_those_of_the_pairs():
    made = task(model=lambda classes: nn.Sequential(nn.Linear(6, 16), nn.ReLU(), nn.Linear(16, 8), nn.Linear(8, classes)))
    fitted = fit(made, ce, QUICK, device="cpu")
    found = made.further_metrics(fitted.model, "test", CPU)
    assert set(found) == set(made.own_metrics)
    assert found["verification_accuracy"] > 0.75
    scores = made.scores(fitted.model, CPU)
    assert found == verification_metrics(scores, made.pairs.same, made.pairs.fold, made.pairs.group)
    assert set(made.group_tar(fitted.model, CPU)) == {"a", "b"}
    proba, target = predict_proba(made, fitted.model, "test", "cpu")
    assert (proba.argmax(1) == target).mean() > 2 / made.num_classes  # closed-set identification


def test_without_groups_nothing_is_said_of_them():
    made = task(grouped=False)
    found = made.further_metrics(made.model(), "test", CPU)
    assert np.isnan(found["worst_group_tar"]) and made.group_tar(made.model(), CPU) == {} and not made.context


def test_wrapped_and_replaced_classifiers_are_looked_into():
    made = task()
    for method in ("posthoc-la", "ldam", "crt(head_epochs=1)", "tau-norm(tau=1)"):
        fitted = fit(made, resolve_method(method), QUICK.replace(epochs=1), device="cpu")
        assert np.isfinite(made.scores(fitted.model, CPU)).all()


def test_a_model_without_a_linear_layer_is_refused():
    made = task()
    with pytest.raises(CombinationError, match="no linear layer that is given one vector a picture"):
        made.scores(nn.Tanh(), CPU)
