"""Servers that somebody else runs and gave us the URL of: guests leave no trace."""

import contextlib
import os
import secrets
import shutil
import socket
import subprocess
from collections.abc import Iterator
from urllib.parse import quote, unquote, urlsplit, urlunsplit

import psycopg2
import redis
import requests

from sendmsg.embedded.postgres import create_database, drop_database
from tests.servers.errors import NoServer
from tests.servers.rabbitmq import answers

API_PORT = 15672
API_WITHIN = 10  # seconds
CTL_WITHIN = 30  # seconds
EPMD_PORT = 4369
LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})


class GivenPostgres:
    """`url` names a database that exists; it is only connected to, to make others beside it."""

    def __init__(self, url: str) -> None:
        self._url = url

    def start(self) -> None:
        try:
            psycopg2.connect(self._url, connect_timeout=5).close()
        except psycopg2.Error as error:
            raise NoServer(f"PostgreSQL at {without_password(self._url)}: {str(error).strip()}") from None

    def url(self, database: str) -> str:
        return urlunsplit(urlsplit(self._url)._replace(path=f"/{quote(database, safe='')}"))

    def create_database(self, name: str) -> None:
        create_database(self._url, name)

    def drop_database(self, name: str) -> None:
        drop_database(self._url, name)

    def remove(self) -> None:
        """It is not ours."""


class GivenRedis:
    """All keys of ours begin with `prefix`, and only those are deleted."""

    def __init__(self, url: str, prefix: str | None = None) -> None:
        self._url = url
        self.prefix = prefix or f"sendmsg-test-{secrets.token_hex(6)}"
        self._started = False

    def start(self) -> None:
        try:
            with self._client() as client:
                client.ping()
        except redis.RedisError as error:
            raise NoServer(f"Redis at {without_password(self._url)}: {error}") from None
        self._started = True

    def url(self, db: int = 0) -> str:
        """The URL as given: which of its numbered databases we may use is not ours to choose."""
        return self._url

    def clear(self) -> None:
        with self._client() as client:
            keys = list(client.scan_iter(match=f"{self.prefix}*", count=1000))
            if keys:
                client.unlink(*keys)

    def remove(self) -> None:
        if self._started:
            self.clear()

    @contextlib.contextmanager
    def _client(self) -> Iterator[redis.Redis]:
        client = redis.Redis.from_url(self._url, socket_connect_timeout=5, socket_timeout=10)
        try:
            yield client
        finally:
            client.close()


class GivenRabbitMQ:
    """A virtual host of a random name, made by `rabbitmqctl` where that reaches the same node, else by its API."""

    def __init__(self, url: str, api_url: str | None = None) -> None:
        self._parts = urlsplit(url)
        self._user, self._password = unquote(self._parts.username or "guest"), unquote(self._parts.password or "guest")
        self._api = (api_url or f"http://{self._parts.hostname}:{API_PORT}").rstrip("/")
        self.vhost = f"sendmsg-test-{secrets.token_hex(6)}"
        self._made_by_ctl = self._made_by_api = False

    def start(self) -> None:
        self._made_by_ctl = self._make_by_ctl()
        if self._made_by_ctl and answers(self.url()):
            return
        self._made_by_api, reason = self._make_by_api()
        if not self._made_by_api or not answers(self.url()):
            self.remove()
            server = without_password(self._parts.geturl())
            raise NoServer(
                f"no virtual host can be made on the RabbitMQ at {server}: neither rabbitmqctl nor the management API "
                f"at {self._api} ({reason}) works; set TEST_RABBITMQ_API_URL, or unset TEST_BROKER_URL"
            )

    def url(self) -> str:
        return urlunsplit(self._parts._replace(path=f"/{quote(self.vhost, safe='')}"))

    def remove(self) -> None:
        if self._made_by_ctl:
            self._ctl("delete_vhost", self.vhost)
        if self._made_by_api:
            self._call_api("DELETE", f"vhosts/{self.vhost}")
        self._made_by_ctl = self._made_by_api = False

    def _make_by_ctl(self) -> bool:
        """Whether a local node has the virtual host now; whether it is the node of the URL, a login has to tell."""
        port = int(os.environ.get("ERL_EPMD_PORT", EPMD_PORT))
        # Without a node there, rabbitmqctl would leave Erlang's name server behind.
        if self._parts.hostname not in LOOPBACK or not _listens(port) or shutil.which("rabbitmqctl") is None:
            return False
        if not self._ctl("add_vhost", self.vhost):
            return False
        self._ctl("set_permissions", "--vhost", self.vhost, self._user, ".*", ".*", ".*")
        return True

    def _ctl(self, *arguments: str) -> bool:
        try:
            done = subprocess.run(
                ["rabbitmqctl", "--quiet", *arguments], capture_output=True, timeout=CTL_WITHIN, check=False
            )
        except subprocess.TimeoutExpired:
            return False
        return done.returncode == 0

    def _make_by_api(self) -> tuple[bool, str]:
        """Whether it worked, and if not, why."""
        everything = {"configure": ".*", "write": ".*", "read": ".*"}
        refused = self._call_api("PUT", f"vhosts/{self.vhost}")
        if refused is None:
            refused = self._call_api("PUT", f"permissions/{self.vhost}/{quote(self._user, safe='')}", everything)
        return refused is None, refused or ""

    def _call_api(self, method: str, path: str, body: dict[str, str] | None = None) -> str | None:
        """Why it failed, None if it did not."""
        with requests.Session() as session:
            session.auth = (self._user, self._password)
            session.trust_env = False  # no proxy stands between us and a broker
            try:
                answer = session.request(method, f"{self._api}/api/{path}", json=body or {}, timeout=API_WITHIN)
            except requests.RequestException as error:
                return type(error).__name__
        return None if answer.ok else f"HTTP {answer.status_code}"


def without_password(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


def _listens(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True
