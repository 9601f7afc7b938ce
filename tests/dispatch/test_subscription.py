"""A worker serves the connections that it is for, each by a task of its own with a ceiling of its own."""

from collections.abc import Iterator

import pytest
from django.db import connections
from pytest_django.fixtures import Settings

from dispatch import directory, subscription
from dispatch.subscription import Scope, Watch, subscribe
from dispatch.tasks import HEADROOM, rate_limit, task_of
from sendmsg.celery import app
from tests.factories import make_connection

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def as_it_was() -> Iterator[None]:
    """The application's own queues and annotations, afterwards."""
    queues, annotations = app.conf.task_queues, app.conf.task_annotations
    yield
    app.conf.task_queues, app.conf.task_annotations = queues, annotations


@pytest.fixture(autouse=True)
def three(as_it_was: None) -> None:
    make_connection("eu-1", region="eu", rate=10)
    make_connection("us-1", region="us")
    make_connection("anywhere")


@pytest.mark.parametrize(
    ("region", "names", "served"),
    [
        ("", (), {"eu-1", "us-1", "anywhere"}),
        ("eu", (), {"eu-1", "anywhere"}),
        ("asia", (), {"anywhere"}),
        ("eu", ("us-1",), {"us-1"}),
    ],
)
def test_a_worker_serves_its_region_or_what_it_was_started_for(
    region: str, names: tuple[str, ...], served: set[str], settings: Settings
) -> None:
    settings.REGION = region

    scope = subscribe(names)

    assert {queue.name for queue in app.conf.task_queues} == {"unrouted", *(f"deliver.{name}" for name in served)}
    assert set(scope.of(directory.entries())) == served


def test_a_name_that_is_no_connection_is_refused_with_those_that_are() -> None:
    with pytest.raises(ValueError, match=r"no connection nowhere; known are: anywhere, eu-1, us-1"):
        subscribe(["nowhere"])


def test_a_rate_is_a_ceiling_for_each_workers_task_and_no_rate_is_none() -> None:
    subscribe()

    assert app.conf.task_annotations == {"dispatch.deliver.eu-1": {"rate_limit": f"{10 * HEADROOM:g}/s"}}
    assert rate_limit(directory.entries()["us-1"]) is None


def test_every_connection_has_one_task_of_its_own() -> None:
    subscribe()

    first, again, other = task_of("eu-1"), task_of("eu-1"), task_of("us-1")
    assert first is again
    assert (first.name, other.name) == ("dispatch.deliver.eu-1", "dispatch.deliver.us-1")
    assert first.acks_late is True


def test_a_running_worker_is_told_of_new_connections_and_new_rates(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[tuple[str, object]] = []

    def broadcast(command: str, arguments: dict[str, str], destination: list[str]) -> None:
        told.append((command, (arguments["connection"], destination)))

    def limit(task: str, rate: object, destination: list[str]) -> None:
        told.append((task, (rate, destination)))

    monkeypatch.setattr(subscription, "close_old_connections", lambda: None)  # this one is the test's own
    monkeypatch.setattr(app.control, "broadcast", broadcast)
    monkeypatch.setattr(app.control, "rate_limit", limit)
    watch = Watch("w@host", Scope(region="eu"))
    watch.look()
    assert told == []

    make_connection("eu-2", region="eu")
    make_connection("us-2", region="us")
    make_connection("eu-1", rate=20)
    watch.look()
    watch.look()

    assert sorted(told, key=str) == sorted(
        [("serve_connection", ("eu-2", ["w@host"])), ("dispatch.deliver.eu-1", ("30/s", ["w@host"]))], key=str
    )


def test_a_look_that_fails_is_made_up_for_by_the_next(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    watch = Watch("w@host", Scope())
    monkeypatch.setattr(subscription, "WATCH_EVERY", 0.0)
    looks: list[int] = []

    def look() -> None:
        looks.append(1)
        if len(looks) == 1:
            raise OSError
        watch.stopping.set()

    monkeypatch.setattr(watch, "look", look)
    monkeypatch.setattr(connections["default"], "close", lambda: None)
    watch.run()

    assert len(looks) == 2
    assert "connection watch failed error=OSError" in caplog.text
