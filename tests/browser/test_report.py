"""The report in a real browser: no errors, no requests, everything drawn, and the controls work."""

from __future__ import annotations

from typing import Any

import pytest
from browsing import click, drawn, errors, leaving, until

pytestmark = pytest.mark.browser
PLOTS = (
    "groups",
    "recall",
    "sizes",
    "cost",
    "curves",
    "weights",
    "class-weights",
    "confusion-0",
    "confusion-1",
    "reliability",
    "ece",
)


def order(driver: Any) -> list[str]:
    return driver.execute_script(
        "return [...document.querySelectorAll('.board:not([hidden]) tbody th.name')].map((cell) => cell.dataset.v)"
    )


def column(driver: Any, key: str) -> list[float]:
    return driver.execute_script(
        "const heads = [...document.querySelectorAll('.board:not([hidden]) thead th')];"
        "const at = heads.findIndex((head) => head.querySelector('button')?.dataset.key === arguments[0]);"
        "return [...document.querySelectorAll('.board:not([hidden]) tbody tr')].map((row) => Number(row.cells[at].dataset.v))",
        key,
    )


def heading(driver: Any, key: str) -> Any:
    return driver.find_element("css selector", f".board:not([hidden]) thead button[data-key='{key}']")


def sorting(driver: Any, key: str) -> str:
    return driver.execute_script("return arguments[0].closest('th').getAttribute('aria-sort')", heading(driver, key))


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"classes": 2, "methods": 4, "seeds": 1, "validation": False, "class_names": ("</script><b>a", "%{x} & <a href='x'>")},
        {"classes": 300, "methods": 14, "seeds": 2, "epochs": 3, "unfinished": (("la", 1), ("focal", 0), ("focal", 1))},
    ],
    ids=["usual", "two-classes-one-seed", "many-classes-unfinished"],
)
def test_all_is_drawn_without_errors_or_requests(opened, settings):
    driver = opened(**settings)
    assert errors(driver) == []
    assert leaving(driver) == []
    assert {plot: drawn(driver, plot) > 0 for plot in PLOTS} == dict.fromkeys(PLOTS, True)
    # Nothing is wider than the window.
    assert driver.execute_script("return document.documentElement.scrollWidth <= window.innerWidth")


def test_the_table_sorts_by_mouse(opened):
    driver = opened()
    before = order(driver)
    assert sorting(driver, "rank") == "ascending"
    heading(driver, "few_recall").click()
    assert sorting(driver, "few_recall") == "descending"
    assert sorting(driver, "rank") == "none"
    assert column(driver, "few_recall") == sorted(column(driver, "few_recall"), reverse=True)
    heading(driver, "few_recall").click()
    assert sorting(driver, "few_recall") == "ascending"
    assert column(driver, "few_recall") == sorted(column(driver, "few_recall"))
    assert order(driver) != before
    heading(driver, "method").click()
    assert order(driver) == sorted(before)
    heading(driver, "rank").click()
    assert order(driver) == before


def test_the_table_sorts_by_keyboard(opened):
    from selenium.webdriver.common.keys import Keys

    driver = opened()
    button = heading(driver, "cost")
    driver.execute_script("arguments[0].focus()", button)
    button.send_keys(Keys.ENTER)
    assert column(driver, "cost") == sorted(column(driver, "cost"))
    button.send_keys(Keys.SPACE)
    assert column(driver, "cost") == sorted(column(driver, "cost"), reverse=True)
    assert sorting(driver, "cost") == "descending"


def test_the_switch_of_epochs_shows_the_other_numbers(opened):
    driver = opened()
    last = column(driver, "balanced_accuracy")
    bars = "return JSON.stringify(document.getElementById('groups').data.map((trace) => trace.y))"
    before = driver.execute_script(bars)
    click(driver, "input[name=epoch][value=best_valid]")
    assert column(driver, "balanced_accuracy") != last
    assert driver.execute_script(bars) != before
    click(driver, "input[name=epoch][value=last]")
    assert column(driver, "balanced_accuracy") == last
    assert driver.execute_script(bars) == before


def test_differences_and_further_metrics_can_be_shown(opened):
    driver = opened()
    cell = ".board:not([hidden]) tbody td.main .difference"
    assert not driver.find_element("css selector", cell).is_displayed()
    click(driver, "input[name=value][value=difference]")
    assert driver.find_element("css selector", cell).is_displayed()
    assert not heading(driver, "mcc").is_displayed()
    click(driver, "#extra")
    assert heading(driver, "mcc").is_displayed()


def test_methods_are_taken_out_of_every_plot(opened):
    driver = opened()
    names = "return document.getElementById('groups').data.map((trace) => trace.name)"
    curves = driver.execute_script("return document.getElementById('curves').data.length")
    assert "la" in driver.execute_script(names)
    click(driver, ".chip[data-method='2']")
    assert "la" not in driver.execute_script(names)
    assert driver.execute_script("return document.getElementById('curves').data.length") == curves - 4
    assert driver.find_element("css selector", ".chip[data-method='2']").get_attribute("aria-pressed") == "false"
    click(driver, ".chip[data-all='0']")
    assert driver.execute_script(names) == []
    click(driver, ".chip[data-all='1']")
    assert len(driver.execute_script(names)) == 7
    assert errors(driver) == []


def test_a_method_has_one_colour_on_all_plots_in_light_and_in_dark(opened):
    driver = opened()
    script = (
        "const look = DATA.methods.find((m) => m.name === 'imbsam');"
        "const bar = document.getElementById('groups').data.find((t) => t.name === 'imbsam').marker.color;"
        "const point = document.getElementById('cost').data.find((t) => t.hovertext[0].includes('imbsam')).marker.color;"
        "return [bar, point, look.light, look.dark, getComputedStyle(document.body).backgroundColor]"
    )
    bar, point, light, dark, paper = driver.execute_script(script)
    assert bar == point == light
    driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [{"name": "prefers-color-scheme", "value": "dark"}]})
    try:
        until(driver, lambda: driver.execute_script(script)[0] == dark)
        bar, point, _, _, night = driver.execute_script(script)
    finally:
        driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})
    assert bar == point == dark
    assert night != paper


def test_the_confusion_matrix_of_any_method_can_be_chosen(opened):
    driver = opened()
    numbers = "return JSON.stringify(document.getElementById('confusion-1').data[0].z)"
    before = driver.execute_script(numbers)
    driver.execute_script(
        "const pick = document.getElementById('confusion-method-1');"
        "pick.value = 'focal'; pick.dispatchEvent(new Event('change'))"
    )
    assert driver.execute_script(numbers) != before


def test_weights_are_drawn_for_the_methods_that_have_them(opened):
    driver = opened(methods=9)
    assert errors(driver) == []
    named = "return document.getElementById('weights').data.filter((trace) => trace.showlegend).map((trace) => trace.name)"
    assert driver.execute_script(named) == ["cb-drw", "ldam-drw", "rdr", "cmw-net"]
    panels = "return [...new Set(document.getElementById('weights').data.map((trace) => trace.yaxis))]"
    assert driver.execute_script(panels) == ["y", "y2", "y3"]
    click(driver, ".chip[data-method='7']")
    assert driver.execute_script(named) == ["cb-drw", "ldam-drw", "cmw-net"]
    click(driver, ".chip[data-all='0']")
    assert driver.execute_script(named) == []
    assert errors(driver) == []


def test_the_weights_of_the_classes_of_any_method_can_be_chosen(opened):
    driver = opened(methods=9)
    chosen = "return [...document.getElementById('weights-method').options].map((option) => option.value)"
    assert driver.execute_script(chosen) == ["cb-drw", "ldam-drw", "rdr", "cmw-net"]
    # A method whose weights move is shown first; its picture has one row a class, and a gap where no row was drawn.
    assert driver.execute_script("return document.getElementById('weights-method').value") in ("rdr", "cmw-net")
    rows = "return document.getElementById('class-weights').data[0].z"
    before = driver.execute_script(rows)
    assert len(before) == 10
    assert before[9][0] is None
    driver.execute_script(
        "const pick = document.getElementById('weights-method');"
        "pick.value = 'ldam-drw'; pick.dispatchEvent(new Event('change'))"
    )
    assert driver.execute_script(rows)[0][:24] == [0] * 24  # a weight of 1, until it is deferred no longer
    assert driver.execute_script(rows) != before


def test_learned_functions_are_drawn_with_their_seeds(opened):
    driver = opened(methods=9, seeds=2)
    lines = "return document.getElementById('learned').data.map((trace) => [trace.name ?? '', trace.line.width])"
    drawn_lines = driver.execute_script(lines)
    assert [name for name, width in drawn_lines if width > 2] == [
        "cmw-net · classes 0, 1, 2",
        "cmw-net · classes 3, 4, 5, 6",
        "cmw-net · classes 7, 8, 9",
    ]
    assert sum(width == 1 for _, width in drawn_lines) == 3 * 2
    assert drawn(driver, "learned") > 0


def test_pages_without_weights_have_no_such_plots_and_no_errors(opened):
    driver = opened(methods=9, weighted=False)
    assert errors(driver) == []
    boxes = "return ['weights', 'class-weights', 'weights-method', 'learned'].filter((id) => document.getElementById(id))"
    assert driver.execute_script(boxes) == []


def test_markup_in_class_names_stays_text(opened):
    driver = opened(
        classes=2, methods=2, seeds=1, epochs=2, class_names=("<b>bold</b> %{x}", "<a href='https://example.org'>link</a>")
    )
    ticks = driver.execute_script("return [...document.querySelectorAll('#sizes .xtick text')].map((t) => t.textContent)")
    assert ticks[0] == "<b>bold</b> %{x}"
    assert driver.execute_script("return document.querySelectorAll('.plot a').length") == 0


def test_class_names_that_are_cut_alike_are_told_apart(opened):
    driver = opened(methods=2, seeds=1, epochs=2, class_names=tuple(f"a long name that ends in {c}" for c in range(10)))
    for plot in ("sizes", "confusion-0"):
        ticks = driver.execute_script(
            "return [...document.querySelectorAll(`#${arguments[0]} .xtick text`)].map((t) => t.textContent)", plot
        )
        assert len(set(ticks)) == 10, plot


def test_a_method_without_a_finished_run_cannot_be_chosen(opened):
    driver = opened(methods=3, seeds=1, unfinished=(("la", 0),))
    disabled = "return [...document.querySelectorAll('.chip:disabled')].map((chip) => chip.textContent.trim())"
    assert driver.execute_script(disabled) == ["la"]


def test_every_axis_of_numbers_has_a_title(opened):
    driver = opened()
    script = (
        "const plot = document.getElementById(arguments[0]).layout;"
        "return Object.keys(plot).filter((key) => /^[xy]axis/.test(key) && !plot[key].title?.text)"
    )
    # Groups and methods along an axis name themselves; panels beside each other share the axis of the first.
    names = {"groups": ["xaxis"], "ece": ["yaxis"], "weights": ["yaxis2", "yaxis3"]}
    assert {plot: driver.execute_script(script, plot) for plot in PLOTS} == {plot: names.get(plot, []) for plot in PLOTS}


def test_a_narrow_window_needs_no_sideways_scrolling(opened):
    driver = opened(epochs=3)
    driver.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride", {"width": 400, "height": 800, "deviceScaleFactor": 1, "mobile": False}
    )
    try:
        until(driver, lambda: driver.execute_script("return document.querySelector('#recall svg').clientWidth") < 400)
        wide = driver.execute_script("return document.documentElement.scrollWidth")
    finally:
        driver.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
    assert wide <= 400
