"""A headless Chromium, and the report of a made-up comparison opened in it."""

from __future__ import annotations

import importlib.util
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from browsing import until

from steelyard.report import write_report

FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
    "--window-size=1360,1000",
)


@pytest.fixture(scope="session")
def driver(chromium: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    webdriver = pytest.importorskip("selenium.webdriver", reason="needs selenium")
    binary = os.environ.get("STEELYARD_CHROMEDRIVER") or shutil.which("chromedriver")
    if binary is None:
        pytest.skip("needs chromedriver on the path, or STEELYARD_CHROMEDRIVER")
    options = webdriver.ChromeOptions()
    for flag in (*FLAGS, f"--user-data-dir={tmp_path_factory.mktemp('profile')}"):
        options.add_argument(flag)
    options.binary_location = chromium
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    browser = webdriver.Chrome(options=options, service=webdriver.ChromeService(binary))
    yield browser
    browser.quit()


@pytest.fixture(scope="session")
def fabricated() -> Any:
    path = Path(__file__).parents[1] / "unit" / "report" / "fabricate.py"
    spec = importlib.util.spec_from_file_location("report_fabricate", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.fabricate


@pytest.fixture
def opened(driver: Any, fabricated: Any, tmp_path: Path) -> Any:
    """Opens the report of a made-up comparison from the disk and waits until it is drawn."""

    def open_report(**settings: Any) -> Any:
        page = write_report(fabricated(tmp_path, **settings))
        for kind in ("browser", "performance"):
            driver.get_log(kind)
        driver.get(page.as_uri())
        until(driver, lambda: driver.execute_script("return document.body.dataset.ready") == "true")
        return driver

    return open_report
