"""`METRICS_PORT`: processes without a web server are scraped, and none of them ending falsifies a count."""

import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import requests

from tests.stack.processes import Process, free_port
from tests.telemetry.scrapes import scrape
from tests.waiting import eventually

ACCEPTED = "sendmsg_messages_accepted_total,sms,live"
# A pump that counts five, and then has nothing to do.
COUNTING = """
import django
django.setup()
from sendmsg.pump import Pump
from sendmsg.telemetry import metrics

class Counting(Pump):
    name, poll, left = "relay", 0.05, 5

    def step(self):
        if not self.left:
            return 0
        self.left -= 1
        metrics.ACCEPTED.labels("sms", "live").inc()
        return 1

Counting().run()
"""
Start = Callable[..., Process]


@pytest.fixture
def port() -> int:
    return free_port()


@pytest.fixture
def start(port: int, tmp_path: Path) -> Iterator[Start]:
    """Starts a pump that shares the port with the others, and by default the folder."""
    started: list[Process] = []
    folder = tmp_path / "metrics"
    folder.mkdir()

    def start(alone: bool = False, **environment: str) -> Process:
        shared = {} if alone else {"PROMETHEUS_MULTIPROC_DIR": str(folder)}
        environment = {"METRICS_PORT": str(port), **shared, **environment}
        process = Process(f"pump-{len(started)}", ["-c", COUNTING], environment, tmp_path)
        process.start()
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        assert "Traceback" not in (log := process.tail(100)), log


def counts(port: int, expected: float) -> None:
    eventually(lambda: scrape(port).get(ACCEPTED) == expected, f"{expected} are counted", 40)


def test_a_process_without_a_web_server_is_scraped(start: Start, port: int) -> None:
    pump = start()

    counts(port, 5)
    assert scrape(port)["sendmsg_pump_items_total,relay"] == 5
    assert pump.stop() == 0


def test_a_restart_neither_doubles_nor_loses_what_was_counted(start: Start, port: int, tmp_path: Path) -> None:
    first = start()
    counts(port, 5)
    second = start()
    counts(port, 10)

    first.kill()  # it had the port
    counts(port, 10)
    start()
    counts(port, 15)
    second.kill()

    counts(port, 15)
    names = {path.name for path in (tmp_path / "metrics").glob("*.db")}
    assert {"counter_ended.db", "histogram_ended.db"} <= names
    assert not any(str(gone.pid) in name for gone in (first, second) for name in names)


def test_a_process_by_itself_answers_for_itself_alone(start: Start, port: int) -> None:
    start(alone=True)
    counts(port, 5)
    start(METRICS_PORT="0")

    counts(port, 5)


def test_a_pump_that_can_not_have_the_port_works_all_the_same(start: Start, port: int, tmp_path: Path) -> None:
    with socket.create_server(("", port)):
        pump = start()
        eventually(lambda: "metrics not served yet" in pump.tail(), "it says so")
        assert "pump started" in pump.tail()
        assert pump.alive

    counts(port, 5)


def test_the_port_asks_for_the_token_too(start: Start, port: int) -> None:
    start(METRICS_TOKEN="a-token")
    url = f"http://127.0.0.1:{port}"

    eventually(lambda: _status(url) == 401, "it wants the token")
    assert scrape(port, "a-token")
    wrong = requests.get(f"{url}/metrics", headers={"Authorization": "Bearer b"}, timeout=5)
    assert (wrong.status_code, b"sendmsg_" in wrong.content) == (401, False)
    assert requests.get(f"{url}/", timeout=5).status_code == 404
    assert requests.post(f"{url}/metrics", timeout=5).status_code == 404


def _status(url: str) -> int:
    try:
        return requests.get(f"{url}/metrics", timeout=5).status_code
    except requests.RequestException:
        return 0
