"""Wires the tests to real servers, each started when the first test needs it: a unit test starts none.

Django reads its settings before any server runs, and therefore gets addresses that are only reserved. pytest-django
must not find DJANGO_SETTINGS_MODULE in pytest's own configuration: it would read the settings before this file.
"""

import base64
import os
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import hypothesis
import pytest

from sendmsg.embedded.process import EmbeddedServerError
from sendmsg.variables import VARIABLES
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

pytest_plugins = ["tests.cast", "tests.telemetry.tracing"]

# A loaded machine generates slowly: how long an example took says nothing about the code.
hypothesis.settings.register_profile("tests", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow])
hypothesis.settings.load_profile("tests")

POSTGRES = obtain_postgres()
REDIS = obtain_redis()
RABBITMQ = obtain_rabbitmq()
EXTRA_RABBITMQ = RABBITMQ if isinstance(RABBITMQ, PrivateRabbitMQ) else PrivateRabbitMQ()
"""The broker that may be stopped and killed: never one that somebody gave us."""

# Neither `.env` nor the shell of whoever runs the tests may change what they test.
for variable in VARIABLES:
    os.environ.pop(f"{variable.name}_FILE", None)
    if variable.default is not None:
        os.environ[variable.name] = variable.default
os.environ.update(
    {
        "DJANGO_SETTINGS_MODULE": "sendmsg.settings",
        "SECRET_KEY": "a-secret-key-for-tests-that-is-long-enough-to-pass-every-check",
        "CREDENTIALS_KEYS": base64.urlsafe_b64encode(b"k" * 32).decode(),
        "DATABASE_URL": POSTGRES.database_url,
        "LOGS_DATABASE_URL": POSTGRES.logs_database_url,
        "REDIS_URL": REDIS.url(),
        "REDIS_PREFIX": REDIS.prefix,
        "BROKER_URL": RABBITMQ.url(),
    }
)

_background = ThreadPoolExecutor(max_workers=2, thread_name_prefix="rabbitmq")
_starting: dict[str, Future[None]] = {}


def pytest_configure() -> None:
    from django.conf import settings

    _ = settings.DATABASES  # reads the settings, after which pytest-django sets Django up


@pytest.fixture
def caplog(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    """With its text as an operator reads it, without the request of an earlier test."""
    from structlog.contextvars import clear_contextvars

    from sendmsg.telemetry.logging import lines

    clear_contextvars()
    caplog.handler.setFormatter(lines())
    return caplog


def pytest_collection_finish(session: pytest.Session) -> None:
    """RabbitMQ takes seconds: it starts beside the first tests if any test will need it."""
    if session.config.option.collectonly:
        return
    names = {name for item in session.items for name in getattr(item, "fixturenames", ())}
    brokers: dict[str, Broker] = {"rabbitmq_server": RABBITMQ, "private_rabbitmq": EXTRA_RABBITMQ}
    futures: dict[int, Future[None]] = {}
    for fixture in sorted(brokers.keys() & names):
        broker = brokers[fixture]
        if id(broker) not in futures:
            futures[id(broker)] = _background.submit(broker.start)
        _starting[fixture] = futures[id(broker)]


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
def django_db_modify_db_settings(django_db_modify_db_settings_parallel_suffix: None, postgres_server: Postgres) -> None:
    """pytest-django asks for this before it makes the test databases."""


@pytest.fixture(scope="session", autouse=True)
def redis_server() -> Redis:
    """For every test: it starts in a tenth of a second, and much of the code speaks to it in passing."""
    start(REDIS.start)
    return REDIS


@pytest.fixture(autouse=True)
def nothing_remembered(redis_server: Redis) -> None:
    """What is known of connections, here and in Redis, belongs to the test before: tests share their names."""
    from dispatch import breaker, directory, pacing, routes, serving
    from sendmsg import redis
    from sendmsg.api import known

    known.forget()
    directory.forget()
    routes.forget()
    breaker.forget()
    pacing.forget()
    serving.forget()
    client = redis.client()
    kept = [key for kind in ("breaker", "pause", "line") for key in client.scan_iter(redis.key(f"{kind}:*"), 1000)]
    if kept:
        client.unlink(*kept)


@pytest.fixture(autouse=True)
def texts_are_encrypted(request: pytest.FixtureRequest, nothing_remembered: None) -> None:
    """As in any new installation: there is a text key, in every test that has a database, and this process knows it."""
    from sendmsg.sealing import keys
    from sendmsg.sealing.models import TextKey

    keys.forget()
    marked = request.node.get_closest_marker("django_db")
    databases = marked.kwargs.get("databases") if marked else None
    if databases is not None and "default" not in databases and databases != "__all__":
        return
    if marked or {"db", "transactional_db"} & set(request.fixturenames):
        request.getfixturevalue("_django_db_helper")
        if not TextKey.objects.exists():
            TextKey.objects.create()
        keys.current()


@pytest.fixture
def clean_redis(redis_server: Redis) -> Iterator[Redis]:
    """Without keys of ours, before and after."""
    redis_server.clear()
    yield redis_server
    redis_server.clear()


@pytest.fixture(scope="session")
def rabbitmq_server() -> Broker:
    start(_starting["rabbitmq_server"].result)
    return RABBITMQ


@pytest.fixture(scope="session")
def private_rabbitmq() -> PrivateRabbitMQ:
    """A broker of our own even where one is given; without that, the same as `rabbitmq_server`."""
    start(_starting["private_rabbitmq"].result)
    return EXTRA_RABBITMQ


@pytest.fixture
def rabbitmq(private_rabbitmq: PrivateRabbitMQ) -> Iterator[RabbitMQ]:
    """A node that a test may stop, kill and pause; it runs again for the next one."""
    yield private_rabbitmq.node
    private_rabbitmq.node.resume()
    private_rabbitmq.node.start()
