"""Laws of regimes, gone through file by file."""

from __future__ import annotations

import inspect
import json

import pytest

from steelyard.core.regime import Regime
from steelyard.regimes.ldam200 import ldam200
from steelyard.settings import known_names, resolve, resolve_regime

REGIMES = known_names("regime")
every_regime = pytest.mark.parametrize("name", REGIMES)


@every_regime
def test_a_name_is_the_regime_that_its_function_returns(name: str) -> None:
    regime = resolve_regime(name)
    assert isinstance(regime, Regime)
    assert regime == resolve("regime", name)()
    assert json.loads(json.dumps(regime.settings())) == regime.settings()


@every_regime
def test_every_setting_can_be_changed(name: str) -> None:
    function = resolve("regime", name)
    for key, value in Regime(epochs=7, batch_size=11, lr=0.3, weight_decay=0.1, ema=0.9, patience=2).settings().items():
        changed = function(**{key: tuple(value) if isinstance(value, list) else value})
        assert changed.settings()[key] == value
        assert {k: v for k, v in changed.settings().items() if k != key} == {
            k: v for k, v in function().settings().items() if k != key
        }


@every_regime
def test_settings_that_do_not_exist_are_refused(name: str) -> None:
    with pytest.raises(TypeError, match="epoch"):
        resolve("regime", name)(epoch=3)


@every_regime
def test_the_docstring_says_what_it_is(name: str) -> None:
    text = inspect.getdoc(resolve("regime", name)) or ""
    assert "Args:" in text
    assert "Example:" in text


@every_regime
def test_the_rate_stays_between_zero_and_the_peak(name: str) -> None:
    regime = resolve_regime(name)
    rates = [regime.lr_at(step, 5) for step in range(5 * regime.epochs)]
    assert max(rates) == pytest.approx(regime.lr)
    assert min(rates) > 0


def test_the_schedule_of_ldam_is_the_published_one() -> None:
    regime = ldam200()
    steps = 97
    at = {epoch: regime.lr_at(epoch * steps, steps) for epoch in (5, 159, 160, 179, 180, 199)}
    assert at == pytest.approx({5: 0.1, 159: 0.1, 160: 1e-3, 179: 1e-3, 180: 1e-5, 199: 1e-5})
    assert (regime.momentum, regime.nesterov, regime.weight_decay, regime.batch_size) == (0.9, False, 2e-4, 128)
    assert regime.lr_at(0, steps) == pytest.approx(0.1 / (5 * steps))
