from __future__ import annotations

import pytest

from steelyard.core.errors import ArgumentError, UnknownName
from steelyard.core.regime import Regime
from steelyard.regimes.short import short
from steelyard.settings.regime import resolve_regime


def test_a_name_gives_the_regime() -> None:
    assert resolve_regime("short") == short()


def test_settings_are_read_by_the_types_of_the_regime() -> None:
    regime = resolve_regime("short(epochs=10, nesterov=false, milestones=(0.5,0.75), clip_norm=none)")
    assert regime == short(epochs=10, nesterov=False, milestones=(0.5, 0.75), clip_norm=None)


def test_overrides_may_be_values_or_text_and_none_leaves_alone() -> None:
    regime = resolve_regime("short(epochs=10)", epochs=3, lr="0.05", ema=None, clip_norm="none")
    assert regime == short(epochs=3, lr=0.05, clip_norm=None)


def test_a_regime_passes_through() -> None:
    assert resolve_regime(Regime(epochs=3)) == Regime(epochs=3)
    assert resolve_regime(Regime(epochs=3), lr="0.5").lr == 0.5


def test_unknown_regimes_and_settings_say_the_nearest() -> None:
    with pytest.raises(UnknownName, match="unknown regime 'shrot'; did you mean 'short'"):
        resolve_regime("shrot")
    for wrong in ("short(epoch=3)", "short"):
        with pytest.raises(UnknownName, match="'epoch'; did you mean 'epochs'"):
            resolve_regime(wrong, **({} if "(" in wrong else {"epoch": 3}))


def test_wrong_types_and_ranges_name_the_setting() -> None:
    with pytest.raises(ArgumentError, match=r"`epochs` should be a whole number; found '3.5'"):
        resolve_regime("short(epochs=3.5)")
    with pytest.raises(ArgumentError, match=r"`regime\.lr` should be a number above 0"):
        resolve_regime("short", lr="-1")
    with pytest.raises(ArgumentError, match="`regime`"):
        resolve_regime(3)  # type: ignore[arg-type]


def own(*, width: int = 3) -> Regime:
    """Somebody's own regime, with a setting of its own."""
    return Regime(epochs=width)


def not_a_regime() -> int:
    """Returns something else."""
    return 3


def test_own_regimes_have_their_own_settings_and_those_of_a_regime(monkeypatch: pytest.MonkeyPatch) -> None:
    found = {"lab:own": own, "lab:not_a_regime": not_a_regime}
    monkeypatch.setattr("steelyard.settings.regime.resolve", lambda kind, name: found[name])
    assert resolve_regime("lab:own(width=7, lr=0.5)") == Regime(epochs=7, lr=0.5)
    with pytest.raises(ArgumentError, match="returns a Regime"):
        resolve_regime("lab:not_a_regime")
