"""Wires the tests to real servers, each started when the first test needs it: a unit test starts none.

Django reads its settings before any server runs, and therefore gets addresses that are only reserved. pytest-django must
not find DJANGO_SETTINGS_MODULE in pytest's own configuration: it would read the settings before this file.
"""

import base64
import os
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import pytest

from sendmsg.embedded.process import EmbeddedServerError
from tests.servers.errors import NoServer
from tests.servers.obtain import (
    Broker,
    Postgres,
    PrivateRabbitMQ,
    Redis,
    obtain_postgres,
    obtain_rabbitmq,
    obtain_redis,
)
from tests.servers.rabbitmq import RabbitMQ

pytest_plugins = ["tests.cast"]

POSTGRES = obtain_postgres()
REDIS = obtain_redis()
RABBITMQ = obtain_rabbitmq()
EXTRA_RABBITMQ = RABBITMQ if isinstance(RABBITMQ, PrivateRabbitMQ) else PrivateRabbitMQ()
"""The broker that may be stopped and killed: never one that somebody gave us."""

os.environ.update(
    {
        "DJANGO_SETTINGS_MODULE": "sendmsg.settings",
        "SECRET_KEY": "a-secret-key-for-tests-that-is-long-enough-to-pass-every-check",
        "CREDENTIALS_KEYS": base64.urlsafe_b64encode(b"k" * 32).decode(),
        "DEBUG": "false",
        "ALLOWED_HOSTS": "localhost,127.0.0.1",
        "DATABASE_URL": POSTGRES.database_url,
        "LOGS_DATABASE_URL": POSTGRES.logs_database_url,
        "REDIS_URL": REDIS.url(),
        "REDIS_PREFIX": REDIS.prefix,
        "BROKER_URL": RABBITMQ.url(),
    }
)

_background = ThreadPoolExecutor(max_workers=1, thread_name_prefix="rabbitmq")
_rabbitmq_started: Future[None] | None = None


def pytest_configure() -> None:
    from django.conf import settings

    _ = settings.DATABASES  # reads the settings, after which pytest-django sets Django up


def pytest_collection_finish(session: pytest.Session) -> None:
    """RabbitMQ takes seconds: it starts beside the first tests if any test will need it."""
    global _rabbitmq_started
    needed = any("rabbitmq_server" in getattr(item, "fixturenames", ()) for item in session.items)
    if needed and not session.config.option.collectonly:
        _rabbitmq_started = _background.submit(RABBITMQ.start)


def pytest_unconfigure() -> None:
    _background.shutdown(wait=True)
    for server in {id(server): server for server in (RABBITMQ, EXTRA_RABBITMQ, REDIS, POSTGRES)}.values():
        server.remove()


def start(server: Callable[[], object]) -> None:
    """Ends the whole run with one line if there is no server: no test may be skipped for that."""
    try:
        server()
    except (NoServer, EmbeddedServerError) as error:
        pytest.exit(str(error), returncode=pytest.ExitCode.USAGE_ERROR)


@pytest.fixture(scope="session")
def postgres_server() -> Postgres:
    start(POSTGRES.start)
    return POSTGRES


@pytest.fixture(scope="session")
def django_db_modify_db_settings(
    django_db_modify_db_settings_parallel_suffix: None, postgres_server: Postgres
) -> None:
    """pytest-django asks for this before it makes the test databases."""


@pytest.fixture(scope="session")
def redis_server() -> Redis:
    start(REDIS.start)
    return REDIS


@pytest.fixture
def clean_redis(redis_server: Redis) -> Iterator[Redis]:
    """Without keys of ours, before and after."""
    redis_server.clear()
    yield redis_server
    redis_server.clear()


@pytest.fixture(scope="session")
def rabbitmq_server() -> Broker:
    start(RABBITMQ.start if _rabbitmq_started is None else _rabbitmq_started.result)
    return RABBITMQ


@pytest.fixture(scope="session")
def _private_rabbitmq(request: pytest.FixtureRequest) -> PrivateRabbitMQ:
    if EXTRA_RABBITMQ is RABBITMQ:
        request.getfixturevalue("rabbitmq_server")
    else:
        start(EXTRA_RABBITMQ.start)
    return EXTRA_RABBITMQ


@pytest.fixture
def rabbitmq(_private_rabbitmq: PrivateRabbitMQ) -> Iterator[RabbitMQ]:
    """A node that a test may stop, kill and pause; it runs again for the next one."""
    yield _private_rabbitmq.node
    _private_rabbitmq.node.resume()
    _private_rabbitmq.node.start()
