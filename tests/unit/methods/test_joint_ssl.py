"""Labels and a self-supervised term: what the method builds, its limit, and that a run goes on where it stopped."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from staged import headless, interrupted, small_cnn, table
from tiny import Blobs, numbers, same_weights
from torch import nn

from steelyard.core.errors import ArgumentError, CombinationError, SteelyardError
from steelyard.core.fit import fit
from steelyard.core.regime import Regime
from steelyard.core.task import Task
from steelyard.data.streamed import ArrayRows, StreamedSource
from steelyard.losses import JointVicreg
from steelyard.settings import dry_run, resolve_method

REGIME = Regime(epochs=3, batch_size=32, lr=0.05)


def trained(text: str, task: Task | None = None, regime: Regime = REGIME, **settings):
    return fit(Blobs() if task is None else task, resolve_method(text), regime, device="cpu", **settings)


@pytest.mark.parametrize("term", ["nt-xent", "vicreg"])
def test_weight_zero_is_plain_training_bit_for_bit(term: str) -> None:
    one, other = trained(f"joint-ssl(term={term},weight=0)"), trained("ce")
    assert same_weights(one.model, other.model)
    assert numbers(one.history) == numbers(other.history)


@pytest.mark.parametrize("made", [Blobs, small_cnn, table], ids=["numbers", "images", "categories"])
@pytest.mark.parametrize("text", ["joint-ssl", "joint-ssl(term=vicreg)", "joint-ssl(projection=0,rate=0.3)"])
def test_it_trains_on_every_kind_of_inputs(made, text) -> None:
    fitted = trained(text, made(), REGIME.replace(epochs=2))
    assert all(bool(torch.isfinite(value).all()) for value in fitted.model.state_dict().values())
    assert not same_weights(fitted.model, trained("ce", made(), REGIME.replace(epochs=2)).model)


def test_images_are_augmented_and_columns_exchanged() -> None:
    on_images = dry_run(resolve_method("joint-ssl"), small_cnn()).stages[0].transform
    assert on_images.rate == 0
    assert on_images.augment is not None
    view = on_images.augment(torch.ones(50, 1, 8, 8), torch.Generator().manual_seed(0))
    assert view.shape == (50, 1, 8, 8)
    assert bool(((view == 0).sum((1, 2, 3)) > 0).all())
    on_numbers = dry_run(resolve_method("joint-ssl"), Blobs()).stages[0].transform
    assert on_numbers.rate == 0.6
    assert on_numbers.augment is None


def test_rows_that_are_streamed_are_not_read_again() -> None:
    task = Blobs()
    rows = task.splits["train"]
    task.splits["train"] = StreamedSource(ArrayRows(rows.inputs.numpy()), rows.target)  # type: ignore[attr-defined]
    assert dry_run(resolve_method("joint-ssl"), task).stages[0].transform.source is None
    assert same_weights(trained("joint-ssl", task).model, trained("joint-ssl").model)


def test_the_projector_is_trained_and_the_judged_model_has_none_of_it() -> None:
    run = dry_run(resolve_method("joint-ssl(projection=5)"), Blobs())
    projector = run.stages[0].objective.loss.projector
    assert [layer.out_features for layer in projector if isinstance(layer, nn.Linear)] == [8, 5]
    fitted = trained("joint-ssl(projection=5)")
    assert fitted.model.state_dict().keys() == trained("ce").model.state_dict().keys()


@pytest.mark.parametrize("text", ["joint-ssl", "joint-ssl(term=vicreg)"])
def test_resuming_ends_with_the_same_bits(text: str, tmp_path: Path) -> None:
    method = resolve_method(text)
    whole = fit(Blobs(), method, REGIME, device="cpu")
    for steps in (4, 2):
        interrupted(Blobs(), method, tmp_path, steps, REGIME)
    resumed = fit(Blobs(), method, REGIME, folder=tmp_path, device="cpu")
    assert same_weights(whole.model, resumed.model)
    assert numbers(whole.history) == numbers(resumed.history)


def test_the_term_goes_down() -> None:
    """By more than cross-entropy, which is 1.1 at the start and not weighed by 10, could."""
    fitted = trained("joint-ssl(weight=10,rate=0.2)", regime=REGIME.replace(epochs=20, lr=0.02))
    losses = [line["train_loss"] for line in fitted.history]
    assert losses[-1] < losses[0] - 2.0


def test_words_make_the_same_of_any_loss() -> None:
    fitted = trained("loss=joint-vicreg(la, weight=0.02) transform=two-views(0.5)")
    assert not same_weights(fitted.model, trained("la").model)
    built = dry_run(resolve_method("loss=joint-vicreg(la, weight=0.02) transform=two-views(0.5)"), Blobs())
    assert isinstance(built.stages[0].objective.loss, JointVicreg)
    with pytest.raises(CombinationError, match="corrected twice"):
        resolve_method("loss=joint-nt-xent(la) weighting=inverse-frequency")


def test_a_term_without_views_is_one_sentence() -> None:
    with pytest.raises(CombinationError, match="transform=two-views"):
        trained("loss=joint-nt-xent(ce)")


def test_a_model_without_a_classifier_is_one_sentence() -> None:
    with pytest.raises(CombinationError, match=r"end the model in an nn\.Linear") as raised:
        dry_run(resolve_method("joint-ssl"), headless())
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("text", "argument"),
    [
        ("joint-ssl(projection=-1)", "projection"),
        ("joint-ssl(weight=-1)", "weight"),
        ("joint-ssl(rate=2)", "rate"),
        ("joint-ssl(temperature=0)", "temperature"),
        ("joint-ssl(term=vicreg,temperature=0.5)", "temperature"),
    ],
)
def test_settings_out_of_range_are_named(text: str, argument: str) -> None:
    with pytest.raises(ArgumentError) as raised:
        dry_run(resolve_method(text))
    assert raised.value.argument == argument


def test_another_term_is_refused() -> None:
    with pytest.raises(SteelyardError, match="nt-xent"):
        resolve_method("joint-ssl(term=simclr)")
