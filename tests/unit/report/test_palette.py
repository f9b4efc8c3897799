"""One look a method: distinct, readable on both grounds, steady."""

from __future__ import annotations

import pytest

from steelyard.report.palette import COLOURS, NEUTRAL, looks


def luminance(colour: str) -> float:
    """Relative luminance as the WCAG define it."""
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [x / 12.92 if x <= 0.04045 else ((x + 0.055) / 1.055) ** 2.4 for x in parts]
    return sum(weight * x for weight, x in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


def contrast(one: str, other: str) -> float:
    high, low = sorted((luminance(one), luminance(other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize(("light", "dark"), [*COLOURS, NEUTRAL])
def test_every_colour_stands_out_from_its_ground(light, dark):
    # 3 is what the WCAG ask of graphics; two of the hues are a little below on white, and never alone in telling.
    assert contrast(light, "#ffffff") >= 2.8
    assert contrast(dark, "#1b1f24") >= 4.5


def test_no_two_of_fifty_look_alike():
    found = looks([f"m{i}" for i in range(50)], set())
    assert len({(look.light, look.symbol, look.dash) for look in found.values()}) == 50


def test_controls_are_dashed_and_cross_entropy_is_grey():
    found = looks(["la", "ce", "x"], {"la", "ce"})
    assert (found["ce"].light, found["ce"].dash, found["ce"].control) == (NEUTRAL[0], "dash", True)
    assert (found["la"].dash, found["x"].dash) == ("dash", "solid")


def test_a_method_added_at_the_end_changes_no_other_look():
    before, after = looks(["ce", "la", "bs"], set()), looks(["ce", "la", "bs", "new"], set())
    assert {name: after[name] for name in before} == before
