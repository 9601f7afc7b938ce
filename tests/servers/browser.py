"""A headless Chromium for the tests of the admin: the one that is installed, or that apt-get installs where it can.

The driver's own manager never downloads anything: without a browser the run ends with one line that says how to get
one, as without RabbitMQ.
"""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from selenium.webdriver import Chrome, ChromeOptions, ChromeService

from tests.servers import debian
from tests.servers.errors import NoServer

NAMES: Final = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
PACKAGES: Final = ("chromium", "chromium-driver")
HOW_TO_GET_ONE: Final = (
    "the tests of the admin need Chromium and its driver: install them (Debian: apt-get install chromium "
    "chromium-driver; macOS: brew install chromium chromedriver), so that `chromium` and `chromedriver` are on the PATH"
)
PATIENCE: Final = 30  # seconds for a page


def obtain() -> tuple[str, str]:
    """The paths of browser and driver. Raises `NoServer` with one line when there are none."""
    reason = ""
    if _found() is None and debian.can_install():
        try:
            debian.install(*PACKAGES)
        except NoServer as failure:
            reason = f" ({failure})"
    found = _found()
    if found is None:
        raise NoServer(HOW_TO_GET_ONE + reason)
    return found


@contextmanager
def opened(width: int = 1280, height: int = 900, *, dark: bool = False) -> Iterator[Chrome]:
    """A browser of its own, without history; under 500 pixels it behaves as a telephone."""
    browser, driver = obtain()
    options = ChromeOptions()
    options.binary_location = browser
    flags = ["--headless=new", "--disable-dev-shm-usage", "--hide-scrollbars"]
    if os.geteuid() == 0:
        flags.append("--no-sandbox")  # Chromium refuses to make one as root
    for flag in flags:
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    chrome = Chrome(options=options, service=ChromeService(driver))
    try:
        chrome.set_page_load_timeout(PATIENCE)
        screen = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 500}
        chrome.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", screen)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        chrome.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [scheme]})
        yield chrome
    finally:
        chrome.quit()


def _found() -> tuple[str, str] | None:
    browser = next((path for name in NAMES if (path := shutil.which(name))), None)
    driver = shutil.which("chromedriver")
    return (browser, driver) if browser and driver else None
