from __future__ import annotations

import pytest

from steelyard.core.errors import ArgumentError, UnknownName
from steelyard.core.regime import Regime
from steelyard.regimes.cosine200 import cosine200
from steelyard.regimes.short import short
from steelyard.regimes.simplify import simplify
from steelyard.settings import resolve_regime

BATCHES = (16, 32, 64, 128, 256, 512)


@pytest.mark.parametrize("batch", BATCHES)
def test_the_rate_is_proportional_to_the_batch_and_nothing_else_changes(batch: int) -> None:
    base, regime = short(), simplify(batch=batch)
    assert regime.lr / regime.batch_size == pytest.approx(base.lr / base.batch_size)
    assert regime == base.replace(batch_size=batch, lr=regime.lr, augment="strong")


@pytest.mark.parametrize("batch", BATCHES)
def test_on_request_the_number_of_steps_is_kept(batch: int) -> None:
    rows, base, regime = 51200, cosine200(), simplify(base="cosine200", batch=batch, hold="steps")
    assert regime.epochs * (rows // batch) == base.epochs * (rows // base.batch_size)
    assert regime.warmup_epochs * (rows // batch) == pytest.approx(base.warmup_epochs * (rows // base.batch_size))
    peak = [r.lr_at(1000, rows // r.batch_size) / r.lr for r in (base, regime)]
    assert peak[0] == pytest.approx(peak[1])


def test_at_least_one_epoch_is_left() -> None:
    assert simplify(base="short(epochs=2)", batch=1, hold="steps").epochs == 1


def test_its_settings_are_written_like_those_of_any_regime() -> None:
    regime = resolve_regime("simplify(base=ldam200(epochs=40),batch=64,weight_decay=1e-3)", augment="none")
    assert (regime.epochs, regime.batch_size, regime.lr, regime.weight_decay) == (40, 64, 0.05, 1e-3)
    assert (regime.schedule, regime.augment) == ("step", "none")


def test_what_is_set_directly_is_taken_as_it_is() -> None:
    assert simplify(batch_size=10, lr=0.3) == simplify().replace(batch_size=10, lr=0.3)
    assert isinstance(simplify(), Regime)


@pytest.mark.parametrize("batch", [0, -3])
def test_impossible_batches_are_refused(batch: int) -> None:
    with pytest.raises(ArgumentError, match="`batch`"):
        simplify(batch=batch)


def test_other_words_are_refused() -> None:
    with pytest.raises(ArgumentError, match="`hold`"):
        simplify(hold="rows")  # type: ignore[arg-type]
    with pytest.raises(UnknownName, match="short"):
        simplify(base="shortt")
