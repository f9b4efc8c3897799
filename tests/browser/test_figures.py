"""Pictures that tasks and methods hand over, in a real browser: drawn, told in numbers, chosen by run, turned."""

from __future__ import annotations

from typing import Any

import pytest
from browsing import choose, click, drawn, errors, leaving, until

pytestmark = pytest.mark.browser


def canvases(driver: Any, box: str) -> list[int]:
    """Pixels that are painted, canvas by canvas."""
    return driver.execute_script(
        "return [...document.querySelectorAll(`#${arguments[0]} canvas`)].map((canvas) => {"
        "const { data } = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);"
        "return data.filter((value, i) => i % 4 === 3 && value > 0).length })",
        box,
    )


def test_pictures_of_tasks_and_methods_are_drawn_and_told_in_numbers(opened):
    driver = opened(methods=6, seeds=2, epochs=3, pictured=True)
    assert errors(driver) == []
    assert leaving(driver) == []
    assert driver.execute_script("return document.documentElement.scrollWidth <= window.innerWidth")
    assert {box: drawn(driver, box) > 0 for box in ("own-0", "own-1", "own-3")} == dict.fromkeys(
        ("own-0", "own-1", "own-3"), True
    )
    cells = (
        "return [...document.querySelectorAll(`#${arguments[0]}-table tr`)]"
        ".map((row) => [...row.cells].map((cell) => cell.textContent))"
    )
    assert driver.execute_script(cells, "own-0") == [
        ["", "1 shot", "9 shots"],
        ["1-NN <b>", "10.0 % (expected 10.0 %)", "90.0 % (expected 90.0 %)"],
        ["cosine, normalised prototypes", "50.0 %", "50.0 %"],
    ]
    heads = driver.execute_script(cells, "own-1")[0]
    assert heads == ["", "ce", "cb-drw", "la", "mixup-bs", "focal", "ldam-drw"]
    ticks = driver.execute_script("return [...document.querySelectorAll('#own-0 .xtick text')].map((t) => t.textContent)")
    assert ticks[0] == "1-NN <b>"
    bars = "return document.getElementById('own-1').data.map((trace) => trace.name)"
    click(driver, ".chip[data-method='2']")
    assert driver.execute_script(bars) == ["ce", "cb-drw", "mixup-bs", "focal", "ldam-drw"]


def test_the_run_of_a_picture_can_be_chosen(opened):
    driver = opened(methods=6, seeds=2, epochs=3, pictured=True)
    options = "return [...document.getElementById(arguments[0]).options].map((option) => option.value)"
    assert driver.execute_script(options, "own-3-method") == ["focal", "ldam-drw"]
    rows = "return document.getElementById('own-3').data[0].y"
    assert driver.execute_script(rows) == [3, 2]
    choose(driver, "own-3-method", "ldam-drw")
    choose(driver, "own-3-seed", "1")
    assert driver.execute_script(rows) == [3, 2, 1]
    choose(driver, "own-3-method", "focal")
    assert driver.execute_script("return document.getElementById('own-3-seed').value") == "1"  # a choice stays
    assert errors(driver) == []


def test_a_cloud_is_painted_turned_and_shown_in_the_dark(opened):
    driver = opened(methods=2, seeds=2, epochs=3, pictured=True)
    painted = canvases(driver, "own-2")
    assert len(painted) == 3
    assert min(painted) > 30
    said = driver.find_element("id", "own-2-said").text
    assert "of the 30 points shown are decided wrongly" in said
    assert "even choice of 900" in said
    image = "return document.querySelectorAll('#own-2 canvas')[0].toDataURL()"
    before = driver.execute_script(image)
    driver.find_elements("css selector", "#own-2 canvas")[1].send_keys("\ue012")  # the left arrow turns all three
    assert driver.execute_script(image) != before
    choose(driver, "own-2-seed", "1")
    assert driver.find_element("id", "own-2-said").text.startswith("ce, seed 1: ")
    before = driver.execute_script(image)
    driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [{"name": "prefers-color-scheme", "value": "dark"}]})
    try:
        until(driver, lambda: driver.execute_script(image) != before)
    finally:
        driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})
    assert errors(driver) == []
