"""What Flower shows of a worker and its tasks: a name that says what it serves, and ids."""

import base64
import json
import socket
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest
import requests
from django.core.management import call_command
from django.core.management.base import CommandError
from pytest_django.fixtures import Settings

from dispatch.publisher import Publisher
from dispatch.worker import node_name
from sendmsg.embedded.process import HOST
from tests.factories import make_connection
from tests.stack.processes import Process, database_urls, free_port
from tests.waiting import eventually

LOGIN = "alice:a-password-of-hers"


@pytest.mark.parametrize(
    ("label", "region", "connections", "name"),
    [
        ("worker-7", "", ["main"], "worker-7.all.main"),
        ("worker-7", "eu", ["b", "a"], "worker-7.eu.a+b"),
        ("worker-7", "eu", [], "worker-7.eu.none"),
        ("w", "", ["e", "d", "c", "b", "a"], "w.all.a+b+c+2-more"),
        ("a@b", "north %h.west", ["main"], "a_b.north__h_west.main"),
    ],
)
def test_a_worker_is_named_after_its_region_and_connections(
    label: str, region: str, connections: list[str], name: str
) -> None:
    assert node_name(label, region, connections) == f"{name}@{socket.gethostname()}"


def test_flower_does_not_start_without_a_password(settings: Settings) -> None:
    settings.FLOWER_BASIC_AUTH = ""

    with pytest.raises(CommandError, match="FLOWER_BASIC_AUTH must be set"):
        call_command("flower", skip_checks=True)


@pytest.fixture
def port(tmp_path: Path, transactional_db: None, rabbitmq_server: object) -> Iterator[int]:
    """Flower's, with a worker beside it."""
    make_connection("eu-line", region="eu")
    port = free_port()
    environment = {**database_urls(), "REGION": "eu", "FLOWER_BASIC_AUTH": LOGIN}
    commands = {
        "flower": ("flower", "--skip-checks", "--port", str(port)),
        "worker": ("worker", "--skip-checks", "--name", "of-eu", "--threads", "1"),
    }
    processes = [Process(name, ("manage.py", *words), environment, tmp_path) for name, words in commands.items()]
    for process in processes:
        process.start()
    yield port
    assert [process.stop() for process in processes] == [0, 0]


@pytest.mark.django_db(transaction=True, databases=["default", "logs"])
def test_flower_asks_for_its_password_and_shows_workers_by_name_and_tasks_by_ids(port: int) -> None:
    def get(path: str, login: str = LOGIN) -> requests.Response:
        proof = base64.b64encode(login.encode()).decode()
        return requests.get(f"http://{HOST}:{port}{path}", headers={"Authorization": f"Basic {proof}"}, timeout=10)

    def up() -> bool:
        try:
            return requests.get(f"http://{HOST}:{port}/healthcheck", timeout=5).ok
        except requests.RequestException:
            return False

    eventually(up, "Flower answers", 60)
    assert requests.get(f"http://{HOST}:{port}/workers", timeout=10).status_code == 401
    assert get("/workers", "alice:guessed").status_code == 401
    eventually(lambda: f"of-eu.eu.eu-line@{socket.gethostname()}" in get("/workers?json=1").text, "its name", 60)

    messages = [uuid4() for _ in range(12)]
    publisher = Publisher()
    publisher.open(["eu-line"])

    def shown() -> dict[str, dict[str, str]]:
        """Flower has workers tell of their tasks some seconds after it began: of this one, or only of its end."""
        publisher.publish("eu-line", [(message, 3) for message in messages])
        known: dict[str, dict[str, str]] = json.loads(get("/api/tasks").text)
        return {key: task for key, task in known.items() if task["name"]}

    task = next(iter(eventually(shown, "Flower shows a task", 60, every=0.5).values()))
    publisher.close()
    assert task["name"] == "dispatch.deliver.eu-line"
    assert task["args"] == " ".join([*(f"{message}/3" for message in messages[:10]), "and 2 more"])
