"""What tests ask of a page in a browser."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any


def until(driver: Any, condition: Callable[[], bool]) -> None:
    """Wait for what the browser does in its own time."""
    from selenium.webdriver.support.ui import WebDriverWait

    WebDriverWait(driver, 60).until(lambda _: condition())


def requests(driver: Any) -> list[str]:
    """What the report asked for; what the browser asks for its own pages, a new tab among them, is not the report's."""
    messages = [json.loads(entry["message"])["message"] for entry in driver.get_log("performance")]
    sent = [m["params"] for m in messages if m["method"] == "Network.requestWillBeSent"]
    return [s["request"]["url"] for s in sent if not s["documentURL"].startswith(("chrome://", "chrome-untrusted://"))]


def leaving(driver: Any) -> list[str]:
    """Those requests that are for more than the page itself."""
    return [url for url in requests(driver) if not url.startswith(("file://", "data:", "blob:"))]


def drawn(driver: Any, plot: str) -> int:
    return driver.execute_script(
        "return document.querySelectorAll(`#${arguments[0]} svg path, #${arguments[0]} svg image`).length", plot
    )


def click(driver: Any, selector: str) -> None:
    driver.execute_script("arguments[0].click()", driver.find_element("css selector", selector))


def errors(driver: Any) -> list[str]:
    return [entry["message"] for entry in driver.get_log("browser")]


def choose(driver: Any, select: str, value: str) -> None:
    driver.execute_script(
        "const pick = document.getElementById(arguments[0]);pick.value = arguments[1]; pick.dispatchEvent(new Event('change'))",
        select,
        value,
    )
