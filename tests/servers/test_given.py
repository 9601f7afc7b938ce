"""Servers given by URL: used as a guest, in places of random names that are gone afterwards."""

import contextlib
import os
import secrets

import psycopg2
import pytest
import redis

from tests.faults import refused_url
from tests.servers.errors import NoServer
from tests.servers.given import GivenPostgres, GivenRabbitMQ, GivenRedis
from tests.servers.obtain import Broker, Postgres, Redis
from tests.servers.rabbitmq import FOLDERS, RabbitMQ, answers

CLOSED = refused_url().removeprefix("http://")


@pytest.fixture
def unreachable_ctl(monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a machine without RabbitMQ."""
    monkeypatch.setenv("ERL_EPMD_PORT", CLOSED.rpartition(":")[2])


def test_a_virtual_host_is_made_by_the_management_api(rabbitmq: RabbitMQ, unreachable_ctl: None) -> None:
    given = GivenRabbitMQ(rabbitmq.url(), rabbitmq.enable_api())

    given.start()
    assert answers(given.url())
    given.remove()

    assert not answers(given.url())
    assert answers(rabbitmq.url())


def test_a_virtual_host_is_made_by_rabbitmqctl(rabbitmq: RabbitMQ, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in rabbitmq.environment().items():
        monkeypatch.setenv(name, value)
    # The program itself: what is on PATH may be a wrapper that changes the user.
    monkeypatch.setenv("PATH", os.pathsep.join([*FOLDERS, os.environ["PATH"]]))
    given = GivenRabbitMQ(rabbitmq.url(), f"http://{CLOSED}")

    given.start()
    assert answers(given.url())
    given.remove()

    assert not answers(given.url())
    assert answers(rabbitmq.url())


def test_without_rabbitmqctl_and_api_one_line_says_what_to_set(rabbitmq: RabbitMQ, unreachable_ctl: None) -> None:
    given = GivenRabbitMQ(rabbitmq.url(), f"http://{CLOSED}")

    with pytest.raises(NoServer, match="TEST_RABBITMQ_API_URL") as failure:
        given.start()

    assert "\n" not in str(failure.value)
    assert rabbitmq.address.password not in str(failure.value)


def test_databases_are_made_beside_the_given_one_and_dropped(postgres_server: Postgres) -> None:
    theirs = postgres_server.default
    name = f"theirs_{secrets.token_hex(4)}"
    theirs.create_database(name)
    given = GivenPostgres(theirs.url(name))
    ours = Postgres(given, given)

    ours.start()
    pair = ours.create_databases()
    for url in (ours.database_url, ours.logs_database_url, *pair):
        with contextlib.closing(psycopg2.connect(url)):
            pass  # removal ends sessions that are left open, too
    left_open = psycopg2.connect(ours.database_url)
    ours.remove()

    with pytest.raises(psycopg2.OperationalError, match="does not exist"):
        psycopg2.connect(ours.database_url)
    left_open.close()
    with contextlib.closing(psycopg2.connect(theirs.url(name))) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM pg_database WHERE datname = ANY(%s)", [[url[-20:] for url in pair]])
        assert cursor.fetchone() == (0,)
    theirs.drop_database(name)


def test_redis_keys_of_others_are_left_alone(redis_server: Redis) -> None:
    client = redis.Redis.from_url(redis_server.url())
    theirs = f"theirs-{secrets.token_hex(4)}"
    client.set(theirs, "kept")
    given = GivenRedis(redis_server.url())
    given.start()
    client.set(f"{given.prefix}:one", 1)

    given.remove()

    assert client.get(theirs) == b"kept"
    assert client.get(f"{given.prefix}:one") is None
    client.delete(theirs)
    client.close()


def test_a_given_server_that_is_away_is_named_without_its_password() -> None:
    for server in (GivenPostgres(f"postgresql://u:hidden@{CLOSED}/db"), GivenRedis(f"redis://:hidden@{CLOSED}/0")):
        with pytest.raises(NoServer) as failure:
            server.start()
        assert CLOSED in str(failure.value)
        assert "hidden" not in str(failure.value)


def test_the_session_has_the_broker_that_the_settings_name(rabbitmq_server: Broker) -> None:
    from django.conf import settings

    assert rabbitmq_server.url() == settings.CELERY_BROKER_URL
    assert answers(settings.CELERY_BROKER_URL)
