"""Real servers for the tests: those that the environment names, else private ones that are started here.

    TEST_DATABASE_URL        PostgreSQL; its user may create databases
    TEST_LOGS_DATABASE_URL   PostgreSQL for the logs; default: the same server
    TEST_REDIS_URL           Redis or Valkey
    TEST_BROKER_URL          RabbitMQ
    TEST_RABBITMQ_API_URL    its management API; default: http://<host>:15672 with the credentials of TEST_BROKER_URL

A server that is named is used in databases, a virtual host and a key prefix of a random name, which are dropped
afterwards; nothing else on it is read or written. Private ones: PostgreSQL and Valkey from wheels, RabbitMQ from an
installed `rabbitmq-server`, which apt-get installs where it can, else in Docker.

What is obtained knows its URLs at once, so that settings can be made of them; `start` makes them work and raises
`NoServer` with one line when nothing does; `remove` leaves nothing behind, started or not.
"""

import os
import secrets
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

from sendmsg.embedded.postgres import EmbeddedPostgres
from sendmsg.embedded.valkey import EmbeddedValkey
from tests.servers import debian, docker
from tests.servers.errors import NoServer
from tests.servers.given import GivenPostgres, GivenRabbitMQ, GivenRedis
from tests.servers.rabbitmq import Address, RabbitMQ
from tests.servers.shipped import ShippedPostgres

HOW_TO_GET_RABBITMQ = (
    "the tests need RabbitMQ: install it (Debian, Ubuntu: apt-get install rabbitmq-server; macOS: brew install "
    "rabbitmq), or start Docker, or set TEST_BROKER_URL=amqp://<user>:<password>@<host>:5672/"
)


class DatabaseServer(Protocol):
    """A PostgreSQL server on which we may make databases."""

    def start(self) -> None: ...
    def url(self, database: str) -> str: ...
    def create_database(self, name: str) -> None: ...
    def drop_database(self, name: str) -> None: ...
    def remove(self) -> None: ...


class Redis(Protocol):
    """A Redis, and the prefix that all our keys on it must have."""

    prefix: str

    def start(self) -> None: ...
    def url(self, db: int = 0) -> str: ...
    def clear(self) -> None: ...
    def remove(self) -> None: ...


class Broker(Protocol):
    """A virtual host on a RabbitMQ."""

    def start(self) -> None: ...
    def url(self) -> str: ...
    def remove(self) -> None: ...


class Postgres:
    """The servers of the default and of the logs database (often one and the same), and an empty database on each."""

    def __init__(self, default: DatabaseServer, logs: DatabaseServer) -> None:
        self.default = default
        self.logs = logs
        suffix = secrets.token_hex(4)
        self._names = {f"sendmsg_{suffix}": default, f"sendmsg_logs_{suffix}": logs}
        self.database_url, self.logs_database_url = (server.url(name) for name, server in self._names.items())
        self._started = False

    def start(self) -> None:
        self.default.start()
        self.logs.start()
        self._started = True
        for name, server in self._names.items():
            server.create_database(name)

    def create_databases(self) -> tuple[str, str]:
        """One more empty pair; the URLs of the default and of the logs database. They live until `remove`."""
        suffix = secrets.token_hex(4)
        pair = {f"sendmsg_{suffix}": self.default, f"sendmsg_logs_{suffix}": self.logs}
        for name, server in pair.items():
            server.create_database(name)
        self._names.update(pair)
        default_url, logs_url = (server.url(name) for name, server in pair.items())
        return default_url, logs_url

    def remove(self) -> None:
        if self._started:
            for name, server in self._names.items():
                server.drop_database(name)
                server.drop_database(f"test_{name}")  # as Django's test runner calls its copy
        for server in {id(server): server for server in (self.default, self.logs)}.values():
            server.remove()


class PrivateRedis:
    """Valkey from the wheel, with a prefix like every other."""

    def __init__(self) -> None:
        self.server = EmbeddedValkey(scratch_folder(), durable=False)
        self.prefix = "sendmsg-test"

    def start(self) -> None:
        self.server.start()

    def url(self, db: int = 0) -> str:
        return self.server.url(db)

    def clear(self) -> None:
        GivenRedis(self.url(), self.prefix).clear()

    def remove(self) -> None:
        self.server.remove()


class PrivateRabbitMQ:
    """A node of our own. How it comes to be is decided at `start`: it may have to be installed first."""

    def __init__(self) -> None:
        self.address = Address.reserve()
        self._node: RabbitMQ | None = None

    @property
    def node(self) -> RabbitMQ:
        """For tests that stop, kill and pause it; after `start` only."""
        assert self._node is not None, "not started"
        return self._node

    def start(self) -> None:
        if self._node is None:
            self._node = _rabbitmq(self.address)
        self._node.start()

    def url(self) -> str:
        return self.address.url()

    def remove(self) -> None:
        if self._node is not None:
            self._node.remove()


def obtain_postgres(environment: Mapping[str, str] = os.environ, *, private: bool = False) -> Postgres:
    """`private`: never a named one, so that it may be stopped. Not durable: it outlives its processes, not a crash."""
    url = None if private else environment.get("TEST_DATABASE_URL")
    default: DatabaseServer = GivenPostgres(url) if url else EmbeddedPostgres(scratch_folder(), durable=False)
    logs_url = None if private else environment.get("TEST_LOGS_DATABASE_URL")
    return Postgres(default, GivenPostgres(logs_url) if logs_url else default)


def shipped_postgres() -> Postgres:
    """A private one, durable and set as we ship it: for what is measured."""
    server = ShippedPostgres(scratch_folder())
    return Postgres(server, server)


def obtain_redis(environment: Mapping[str, str] = os.environ) -> Redis:
    url = environment.get("TEST_REDIS_URL")
    return GivenRedis(url) if url else PrivateRedis()


def obtain_rabbitmq(environment: Mapping[str, str] = os.environ) -> Broker:
    url = environment.get("TEST_BROKER_URL")
    return GivenRabbitMQ(url, environment.get("TEST_RABBITMQ_API_URL")) if url else PrivateRabbitMQ()


def scratch_folder() -> Path:
    """A new folder that the user whom root lends to PostgreSQL may pass, with a space in its path as users have it."""
    return Path(tempfile.mkdtemp(prefix="sendmsg test "))


def _rabbitmq(address: Address) -> RabbitMQ:
    reason = _install() if not RabbitMQ.is_installed() and debian.can_install() else ""
    if RabbitMQ.is_installed():
        return RabbitMQ(scratch_folder(), address)
    if docker.engine_answers():
        return docker.DockerRabbitMQ(address)
    raise NoServer(HOW_TO_GET_RABBITMQ + reason)


def _install() -> str:
    """Empty when it worked, else why not: Docker may still help."""
    try:
        debian.install()
    except NoServer as failure:
        return f" ({failure})"
    return ""
