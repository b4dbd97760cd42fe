"""The example in a real browser: a picture is uploaded and seen, in the style from the bucket."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from selenium.common.exceptions import StaleElementReferenceException
from selenium.webdriver import Chrome, ChromeOptions, ChromeService
from selenium.webdriver.common.by import By
from selenium.webdriver.support.wait import WebDriverWait

from example.pictures import Light, paint

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parent.parent
SCREENSHOT = ROOT / "build" / "album.png"
# Nothing here may reach out: the browser's own services look for their makers' hosts.
FLAGS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
    "--window-size=1200,1060",
)


@pytest.fixture(scope="module")
def album() -> Iterator[str]:
    """Run the demo and leave it serving; give the site's address."""
    command = [sys.executable, str(ROOT / "example" / "demo.py"), "--serve"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as demo:
        try:
            yield address_printed_by(demo)
        finally:
            demo.terminate()


def address_printed_by(demo: subprocess.Popen[str]) -> str:
    printed = ""
    for line in demo.stdout or ():
        printed += line
        if found := re.match(r"Open (\S+) and", line):
            return found[1]
        if line.startswith("Ctrl-C"):
            break  # It serves, and prints no more.
    pytest.fail(f"The demo did not come to serve:\n{printed}")


@pytest.fixture
def browser(tmp_path: Path) -> Iterator[Chrome]:
    driver, chromium = shutil.which("chromedriver"), shutil.which("chromium")
    if not driver or not chromium:
        pytest.skip("chromium is not installed (apt-get install chromium chromium-driver)")
    options = ChromeOptions()
    options.binary_location = chromium
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    for flag in (*FLAGS, f"--user-data-dir={tmp_path / 'profile'}"):
        options.add_argument(flag)
    with Chrome(options, ChromeService(driver)) as chrome:
        yield chrome


def test_uploaded_picture_is_seen_in_the_style_from_the_bucket(
    album: str, browser: Chrome, tmp_path: Path
) -> None:
    picture = tmp_path / "Küste am Abend.jpg"
    paint(Light("#27496d", "#f3b27a", "#16324a", 0.5)).save(picture)
    browser.get(album)
    browser.find_element(By.NAME, "title").send_keys("An der Küste")
    browser.find_element(By.NAME, "image").send_keys(str(picture))
    browser.find_element(By.TAG_NAME, "button").click()

    def shown(driver: Chrome) -> bool:
        images = driver.find_elements(By.CSS_SELECTOR, "figure img")
        titles = [image.get_attribute("alt") for image in images]
        widths = [int(str(image.get_property("naturalWidth"))) for image in images]
        return "An der Küste" in titles and all(widths)

    # The answer to the form may replace the page between two questions.
    passing = [StaleElementReferenceException]
    WebDriverWait(browser, 30, ignored_exceptions=passing).until(shown)
    button = browser.find_element(By.TAG_NAME, "button")
    assert button.value_of_css_property("background-color") == "rgba(47, 111, 94, 1)"
    body = browser.find_element(By.TAG_NAME, "body")
    assert re.search(
        r"/static/album/paper\.[0-9a-f]+\.svg", body.value_of_css_property("background-image")
    )
    SCREENSHOT.parent.mkdir(exist_ok=True)
    browser.save_screenshot(str(SCREENSHOT))
    assert browser.get_log("browser") == []
