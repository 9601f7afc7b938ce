"""Probes."""

import socket
import time
from collections.abc import Iterator
from typing import Any

import pytest
from django.db import connections
from django.test import Client

from sendmsg.api import health

pytestmark = [
    pytest.mark.urls("tests.api.urls"),
    pytest.mark.django_db(databases=["default", "logs"]),
    pytest.mark.usefixtures("rabbitmq_server"),
]

NOWHERE = "127.0.0.1:1"  # a port that nobody may listen on


@pytest.fixture
def silent_port() -> Iterator[int]:
    """A server that takes connections and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


def ready(client: Client) -> tuple[int, dict[str, Any]]:
    response = client.get("/readyz")
    return response.status_code, response.json()


def test_liveness_touches_nothing(client: Client, django_assert_num_queries: Any) -> None:
    with django_assert_num_queries(0):
        response = client.get("/healthz")

    assert (response.status_code, response.json()) == (200, {"status": "ok"})


def test_with_everything_there_we_are_ready(client: Client) -> None:
    checks = {"database": "ok", "logs_database": "ok", "redis": "ok", "broker": "ok"}

    assert ready(client) == (200, {"status": "ok", "checks": checks})


def test_without_redis_we_are_degraded(client: Client, settings: Any) -> None:
    settings.REDIS_URL = f"redis://{NOWHERE}/0"

    status, document = ready(client)

    assert (status, document["status"]) == (200, "degraded")
    assert [name for name, state in document["checks"].items() if state != "ok"] == ["redis"]


@pytest.mark.parametrize("url", [f"amqp://guest:guest@{NOWHERE}//", f"redis://{NOWHERE}/0"])
def test_without_a_broker_we_are_degraded(client: Client, settings: Any, url: str) -> None:
    settings.CELERY_BROKER_URL = url

    status, document = ready(client)

    assert (status, document["status"]) == (200, "degraded")
    assert [name for name, state in document["checks"].items() if state != "ok"] == ["broker"]


@pytest.mark.parametrize(
    ("alias", "name", "expected"),
    [("logs", "logs_database", (200, "degraded")), ("default", "database", (503, "failing"))],
)
def test_only_the_default_database_is_needed(
    client: Client, monkeypatch: pytest.MonkeyPatch, alias: str, name: str, expected: tuple[int, str]
) -> None:
    monkeypatch.setitem(connections[alias].settings_dict, "PORT", "1")

    status, document = ready(client)

    assert (status, document["status"]) == expected
    assert [check for check, state in document["checks"].items() if state != "ok"] == [name]


@pytest.mark.parametrize("scheme", ["amqp", "redis"])
def test_what_never_answers_is_failing_in_time(client: Client, settings: Any, silent_port: int, scheme: str) -> None:
    settings.CELERY_BROKER_URL = f"{scheme}://127.0.0.1:{silent_port}/"
    settings.REDIS_URL = f"redis://127.0.0.1:{silent_port}/0"
    start = time.monotonic()

    status, document = ready(client)

    assert time.monotonic() - start < health.DEADLINE + 2
    assert (status, document["checks"]["broker"], document["checks"]["redis"]) == (200, "failing", "failing")


def test_all_checks_run_at_the_same_time() -> None:
    start = time.monotonic()

    states = health.run({str(number): lambda: time.sleep(0.3) for number in range(4)})

    assert set(states.values()) == {"ok"}
    assert time.monotonic() - start < 0.9


def test_a_check_that_hangs_is_failing_at_the_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health, "DEADLINE", 0.1)

    assert health.run({"slow": lambda: time.sleep(1), "fast": lambda: None}) == {
        "slow": "failing",
        "fast": "ok",
    }
