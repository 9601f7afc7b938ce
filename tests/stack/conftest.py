"""One stack for the whole run, on servers that its tests may stop and kill."""

from collections.abc import Iterator

import pytest

from sendmsg.embedded.valkey import EmbeddedValkey
from tests.servers.obtain import Postgres, PrivateRabbitMQ
from tests.stack.stack import Servers, Stack


@pytest.fixture(scope="session")
def valkey(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedValkey]:
    with EmbeddedValkey(tmp_path_factory.mktemp("valkey")) as server:
        yield server


@pytest.fixture(scope="session")
def stack(
    tmp_path_factory: pytest.TempPathFactory,
    postgres_server: Postgres,
    valkey: EmbeddedValkey,
    private_rabbitmq: PrivateRabbitMQ,
) -> Iterator[Stack]:
    database_url, logs_database_url = postgres_server.create_databases()
    broker_url = private_rabbitmq.node.create_vhost("stack")
    servers = Servers(database_url, logs_database_url, valkey.url(), "stack", broker_url)
    running = Stack(servers, tmp_path_factory.mktemp("stack"))
    try:
        running.start()
        yield running
    finally:
        running.stop()
