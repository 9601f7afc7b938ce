"""Which browser the tests of the admin are given, and what happens where there is none."""

import pytest

from tests.servers import browser, debian
from tests.servers.errors import NoServer


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """One without a browser, where nobody is root; what is on its PATH."""
    programs: list[str] = []
    monkeypatch.setattr("shutil.which", lambda name: f"/usr/bin/{name}" if name in programs else None)
    monkeypatch.setattr(debian, "can_install", lambda: False)
    return programs


def test_without_one_a_line_says_how_to_get_it(machine: list[str]) -> None:
    with pytest.raises(NoServer, match="apt-get install chromium") as failure:
        browser.obtain()

    assert "\n" not in str(failure.value)


def test_a_browser_without_its_driver_is_none(machine: list[str]) -> None:
    machine.append("chromium")

    with pytest.raises(NoServer, match="chromedriver"):
        browser.obtain()


def test_the_one_that_is_there_is_used(machine: list[str]) -> None:
    machine += ["google-chrome", "chromedriver"]

    assert browser.obtain() == ("/usr/bin/google-chrome", "/usr/bin/chromedriver")


def test_it_is_installed_where_that_is_possible(machine: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(debian, "can_install", lambda: True)
    monkeypatch.setattr(debian, "install", lambda *packages: machine.extend(("chromium", "chromedriver")))

    assert browser.obtain() == ("/usr/bin/chromium", "/usr/bin/chromedriver")


def test_why_it_could_not_be_installed_is_said(machine: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*packages: str) -> None:
        raise NoServer("no network")

    monkeypatch.setattr(debian, "can_install", lambda: True)
    monkeypatch.setattr(debian, "install", fail)

    with pytest.raises(NoServer, match=r"\(no network\)$"):
        browser.obtain()
