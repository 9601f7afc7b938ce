"""The configurations of the servers in `docker/`, each tried on a real one as far as there is one."""

import base64
import hashlib
import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import redis
import yaml
from django.db import connection
from pytest_django.fixtures import Settings

from dispatch.topology import DEAD_QUEUE, RECEIPTS_QUEUE, deliver_queue, idle_queue
from sendmsg import redis as ours
from sendmsg.embedded.process import HOST, end, free_port, spawn
from sendmsg.embedded.valkey import _binary
from tests.docker.files import DOCKER, services
from tests.servers.obtain import PrivateRabbitMQ
from tests.servers.shipped import shipped
from tests.waiting import eventually
from webhooks import durability


@pytest.fixture(scope="module")
def secrets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("made") / "secrets"
    subprocess.run([DOCKER / "secrets.sh", folder], check=True, capture_output=True, timeout=60)
    return folder


@pytest.fixture
def redis_url(secrets: Path, tmp_path: Path) -> Iterator[str]:
    """Of a real server with our configuration; only its place is another."""
    port, log = free_port(), tmp_path / "log"
    place = ["--port", str(port), "--bind", HOST, "--dir", str(tmp_path), "--aclfile", str(secrets / "redis_acl")]
    with log.open("wb") as output:
        process = spawn(
            [_binary(), DOCKER / "redis/redis.conf", *place], folder=tmp_path, output=output, environment={}
        )
    password = urlsplit((secrets / "redis_url").read_text().strip()).password
    url = f"redis://:{password}@{HOST}:{port}/0"

    def answers() -> bool:
        assert process.poll() is None, log.read_text()
        try:
            return bool(redis.Redis.from_url(url).ping())
        except redis.ConnectionError:
            return False

    eventually(answers, "Redis answers")
    yield url
    end(process)


def test_redis_keeps_what_it_has_confirmed(redis_url: str, settings: Settings) -> None:
    settings.REDIS_URL = redis_url
    ours.client.cache_clear()
    try:
        assert durability._settings()["appendfsync"] == "always"
        assert durability.shortcomings() == []
    finally:
        ours.client.cache_clear()


def test_redis_asks_for_its_password(redis_url: str) -> None:
    stranger = redis.Redis.from_url(re.sub(r":[^:@/]+@", "", redis_url))

    with pytest.raises(redis.AuthenticationError):
        stranger.get("anything")


def test_redis_has_room_beside_its_data() -> None:
    [megabytes] = re.findall(r"^maxmemory (\d+)mb$", (DOCKER / "redis/redis.conf").read_text(), re.MULTILINE)

    assert services()["redis"]["deploy"]["resources"]["limits"]["memory"] == "1g"
    assert int(megabytes) <= 0.75 * 1024


def test_rabbitmq_takes_the_definitions_and_lets_our_user_in(
    private_rabbitmq: PrivateRabbitMQ, secrets: Path, tmp_path: Path
) -> None:
    node = private_rabbitmq.node
    try:
        for number, path in enumerate((DOCKER / "rabbitmq/definitions.json", secrets / "rabbitmq_users")):
            copy = tmp_path / f"{number}.json"
            copy.write_text(path.read_text())
            node.ctl("import_definitions", str(copy))
        url = urlsplit((secrets / "broker_url").read_text().strip())

        assert url.password is not None
        node.ctl("authenticate_user", str(url.username), url.password)
        policies = json.loads(node.ctl("list_policies", "--vhost", url.path[1:], "--formatter", "json"))
        wanted = json.loads((DOCKER / "rabbitmq/definitions.json").read_text())["policies"]
        assert {policy["name"] for policy in policies} == {policy["name"] for policy in wanted}
    finally:
        node.ctl("delete_vhost", "sendmsg")
        node.ctl("delete_user", "sendmsg")


def test_policies_are_for_the_queues_that_there_are() -> None:
    policies = json.loads((DOCKER / "rabbitmq/definitions.json").read_text())["policies"]
    patterns = {policy["name"]: policy["pattern"] for policy in policies}
    queues = [queue.name for queue in (DEAD_QUEUE, RECEIPTS_QUEUE, idle_queue(), deliver_queue("main"))]

    assert all(re.search(patterns["leaders-are-spread"], name) for name in queues)
    assert re.search(patterns["watchers-lag-alone"], "celeryev.8d5dd5c8")
    assert not any(re.search(patterns["watchers-lag-alone"], name) for name in queues)


def test_the_password_of_rabbitmq_is_stored_as_it_compares_them(secrets: Path) -> None:
    [user] = json.loads((secrets / "rabbitmq_users").read_text())["users"]
    stored = base64.b64decode(user["password_hash"])
    password = urlsplit((secrets / "broker_url").read_text().strip()).password or ""

    assert hashlib.sha256(stored[:4] + password.encode()).digest() == stored[4:]


@pytest.mark.django_db
@pytest.mark.parametrize("name", ["default", "logs"])
def test_every_line_for_postgres_is_one_that_it_takes(name: str) -> None:
    told = shipped(name)
    with connection.cursor() as cursor:
        cursor.execute("SELECT name, vartype, enumvals FROM pg_settings")
        known = {row[0]: (row[1], row[2]) for row in cursor.fetchall()}

    assert told
    for key, value in told.items():
        kind, choices = known[key]
        assert kind != "enum" or value in choices, key
        assert kind != "bool" or value in ("on", "off"), key
        assert kind not in ("integer", "real") or re.fullmatch(r"\d+(\.\d+)?(kB|MB|GB|ms|s|min)?", value), key
    assert told["fsync"] == told["synchronous_commit"] == told["full_page_writes"] == "on"
    assert told["wal_level"] == "replica"


def test_a_failed_statement_is_not_logged_with_what_it_held() -> None:
    for name in ("default", "logs"):
        text = (DOCKER / f"postgres/{name}.conf").read_text()
        assert "log_parameter_max_length_on_error = 0" in text
        assert "log_min_error_statement = panic" in text


def test_every_part_of_the_collectors_pipelines_is_declared() -> None:
    found = yaml.safe_load((DOCKER / "otel/collector.yaml").read_text())

    assert set(found["service"]["extensions"]) <= set(found["extensions"])
    for pipeline in found["service"]["pipelines"].values():
        for kind, names in pipeline.items():
            assert set(names) <= set(found[kind])
        assert pipeline["processors"][0] == "memory_limiter"
