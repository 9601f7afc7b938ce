"""One stack for the whole run, on servers of its own that tests may stop and kill."""

from collections.abc import Iterator
from contextlib import closing

import psycopg2
import pytest
from psycopg2.extensions import ISOLATION_LEVEL_AUTOCOMMIT

from sendmsg.embedded.valkey import EmbeddedValkey
from tests.servers.rabbitmq import RabbitMQ
from tests.stack.stack import Servers, Stack


@pytest.fixture(scope="session")
def rabbitmq(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RabbitMQ]:
    node = RabbitMQ(tmp_path_factory.mktemp("rabbitmq"))
    node.start()
    yield node
    node.remove()


@pytest.fixture(scope="session")
def valkey(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedValkey]:
    with EmbeddedValkey(tmp_path_factory.mktemp("valkey")) as server:
        yield server


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory, rabbitmq: RabbitMQ, valkey: EmbeddedValkey) -> Iterator[Stack]:
    base = "postgresql://postgres@127.0.0.1:15432/"
    for name in ("stack", "stack_logs"):
        with closing(psycopg2.connect(base + "postgres")) as connection:
            connection.set_isolation_level(ISOLATION_LEVEL_AUTOCOMMIT)
            connection.cursor().execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
            connection.cursor().execute(f"CREATE DATABASE {name}")
    servers = Servers(base + "stack", base + "stack_logs", valkey.url(0), "stack", rabbitmq.url())
    running = Stack(servers, tmp_path_factory.mktemp("stack"))
    try:
        running.start()
        yield running
    finally:
        running.stop()
