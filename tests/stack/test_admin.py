"""The admin in a real browser, on the running gateway: what an operator does when messages fail, and how it looks."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from selenium.common.exceptions import WebDriverException
from selenium.webdriver import Chrome
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

from tests.conftest import start
from tests.servers import browser
from tests.stack.stack import Stack
from tests.waiting import eventually

STAFF = """
from django.contrib.auth.models import Group, User
for name in ("viewer", "operator", "admin"):
    user, _ = User.objects.get_or_create(username=name, defaults={"is_staff": True})
    user.set_password("a-password-of-the-tests")
    user.save()
    user.groups.set([Group.objects.get(name=name)])
"""
PASSWORD = "a-password-of-the-tests"
NUMBER = "+447700900977"
TEXT = "hello from the browser"
PHONE = (390, 844)  # pixels, of a common telephone
DESK = (1280, 900)
PAGES = (
    "/admin/",
    "/admin/all/",
    "/admin/search/?q=nothing",
    "/admin/dispatch/message/",
    "/admin/dispatch/deadletter/?state__exact=open",
    "/admin/dispatch/connection/",
    "/admin/dispatch/broadcast/",
    "/admin/dispatch/broadcast/upload/",
    "/admin/dispatch/route/add/",
    "/admin/webhooks/callback/",
    "/admin/accounts/apikey/add/",
    "/admin/auth/user/",
    "/admin/admin/logentry/",
)


@pytest.fixture(scope="module", autouse=True)
def staff(stack: Stack) -> None:
    """Somebody of each role."""
    start(browser.obtain)
    stack.run(STAFF)


@pytest.fixture
def chrome() -> Iterator[Chrome]:
    with browser.opened() as chrome:
        yield chrome
        assert complaints(chrome) == []


def complaints(chrome: Chrome) -> list[str]:
    """What the browser found fault with: scripts and styles that the policy forbids, files that are missing."""
    log: list[dict[str, Any]] = chrome.get_log("browser")  # type: ignore[no-untyped-call]
    return [entry["message"] for entry in log if entry["level"] == "SEVERE"]


@contextmanager
def leads_on(chrome: Chrome) -> Iterator[None]:
    """What is done inside leads to another page; afterwards that is there."""
    run(chrome, "window.left = true")
    yield

    def arrived() -> bool:
        try:
            return bool(run(chrome, "return window.left !== true && document.readyState === 'complete'"))
        except WebDriverException:  # asked in the moment between two pages
            return False

    eventually(arrived, "the next page is there")


def run(chrome: Chrome, script: str) -> Any:
    return chrome.execute_script(script)


def log_in(chrome: Chrome, stack: Stack, name: str) -> None:
    chrome.get(f"{stack.url}/admin/")
    chrome.find_element(By.NAME, "username").send_keys(name)
    with leads_on(chrome):
        chrome.find_element(By.NAME, "password").send_keys(PASSWORD, Keys.ENTER)
    assert chrome.find_elements(By.ID, "user-tools"), page(chrome)


def search(chrome: Chrome, term: str) -> None:
    """By the box that is on every page."""
    box = chrome.find_element(By.CSS_SELECTOR, "#sections input[name=q]")
    box.clear()
    with leads_on(chrome):
        box.send_keys(term, Keys.ENTER)
    assert chrome.find_elements(By.ID, "story"), page(chrome)


def press(chrome: Chrome, label: str) -> None:
    """A button, or the submission of a form, by what is written on it."""
    path = (
        f"//button[normalize-space()='{label}'] | //input[@type='submit' and @value='{label}'] | //a[text()='{label}']"
    )
    with leads_on(chrome):
        chrome.find_element(By.XPATH, path).click()


def page(chrome: Chrome) -> str:
    return str(run(chrome, "return document.body.innerText"))


def expires(stack: Stack) -> bool:
    """Whether a message that may wait for a second finds no connection."""
    return str(stack.finished(stack.send(key="test", valid_for=1), key="test")["status"]) == "expired"


def open_sandbox(chrome: Chrome) -> None:
    press(chrome, "Connections")
    press(chrome, "sandbox")


def test_an_operator_pauses_finds_what_failed_replays_it_and_sees_it_delivered(stack: Stack, chrome: Chrome) -> None:
    log_in(chrome, stack, "operator")
    open_sandbox(chrome)
    press(chrome, "Pause…")
    with leads_on(chrome):
        chrome.find_element(By.NAME, "reason").send_keys("a walk through the admin", Keys.ENTER)
    assert "Paused: sandbox." in page(chrome)
    try:
        eventually(lambda: expires(stack), "a message expires", 30)
        stack.finished(stack.send(NUMBER, key="test", body=TEXT, valid_for=3, client_reference="walk-7"), key="test")

        search(chrome, "walk-7")
        assert "Dead letter: expired" in page(chrome)
        assert NUMBER not in chrome.page_source
    finally:
        chrome.get(f"{stack.url}/admin/")
        open_sandbox(chrome)
        press(chrome, "Resume")
    assert "Resumed: sandbox." in page(chrome)
    # The relay goes on for a moment with the connections that it knows, and six seconds are enough for it.
    eventually(lambda: not expires(stack), "messages leave again", 30)

    search(chrome, "walk-7")
    press(chrome, "Replay…")
    chrome.find_element(By.NAME, "note").send_keys("the walk goes on")
    press(chrome, "Replay")
    assert "Replayed: 1." in page(chrome)

    def delivered() -> bool:
        search(chrome, "walk-7")
        return "Receipt: delivered" in page(chrome)

    eventually(delivered, "the page says that it was delivered", 30, every=0.5)
    assert "by operator, the walk goes on" in page(chrome)
    press(chrome, "Audit")
    assert "Replayed: the walk goes on" in page(chrome)
    assert "Paused: a walk through the admin" in page(chrome)


def test_the_home_page_is_live(stack: Stack, chrome: Chrome) -> None:
    log_in(chrome, stack, "viewer")

    def counted() -> int:
        script = "return document.querySelector('.tile dd').textContent"  # at once: the script replaces the tiles
        shown = str(run(chrome, script))
        return int(shown.replace(",", "").replace("not known", "0"))

    before = eventually(counted, "messages are counted", 60)
    stack.send_many(5)

    eventually(lambda: counted() >= before + 5, "five more are counted, without a reload", 60)
    assert chrome.find_elements(By.CSS_SELECTOR, ".chart svg")


def test_a_viewer_reads_no_text_and_is_offered_nothing(stack: Stack, chrome: Chrome) -> None:
    stack.finished(stack.send("+447700900905", body=TEXT, client_reference="viewed-7"))
    log_in(chrome, stack, "viewer")

    search(chrome, "viewed-7")

    assert "Dead letter: invalid_recipient" in page(chrome)
    assert TEXT not in chrome.page_source
    offered = {one.text for one in chrome.find_elements(By.CSS_SELECTOR, "button, nav a")}
    assert {"Messages", "Failed"} <= offered
    assert not {"Replay…", "Discard…", "Keys", "Audit"} & offered


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("size", [DESK, PHONE], ids=["desk", "phone"])
def test_pages_fit_their_screen_and_their_hour(stack: Stack, size: tuple[int, int], dark: bool) -> None:
    message = stack.send(client_reference="fits")
    with browser.opened(*size, dark=dark) as chrome:
        log_in(chrome, stack, "admin")
        for path in (*PAGES, f"/admin/dispatch/message/{message}/change/"):
            chrome.get(stack.url + path)
            # Chrome's emulation of a telephone may take up the page's viewport a moment after the page is there.
            eventually(lambda: fits(chrome, size[0]), f"{path} fits", 10)
            assert luminance(chrome) < 0.2 if dark else luminance(chrome) > 0.8, path
        assert complaints(chrome) == []


def fits(chrome: Chrome, width: int) -> bool:
    return int(run(chrome, "return document.documentElement.scrollWidth")) <= width


def luminance(chrome: Chrome) -> float:
    """Of the ground of a page: 0 is black, 1 is white."""
    script = "return getComputedStyle(document.body).backgroundColor.match(/[0-9]+/g).slice(0, 3).map(Number)"
    return float(sum(run(chrome, script)) / 765)
