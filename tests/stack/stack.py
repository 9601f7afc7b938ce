"""The whole gateway, running: every process on real servers, seen only from outside.

`Stack` speaks to it as a client would (HTTP), as the provider's bookkeeper would (the sandbox's ledger), and as an
auditor would (SQL on both databases).
"""

import base64
import json
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg2.extensions
import requests

from tests.ids import ID
from tests.stack.processes import ROOT, Process, free_port
from tests.waiting import eventually

SECRETS = {
    "SECRET_KEY": "a-secret-key-for-tests-that-is-long-enough-to-pass-every-check",
    "CREDENTIALS_KEYS": base64.urlsafe_b64encode(b"k" * 32).decode(),
    "SANDBOX_API_KEY": "sandbox-api-key",
    "SANDBOX_RECEIPT_SECRET": "sandbox-receipt-secret",
    "DEMO_ADMIN_PASSWORD": "admin-password-of-the-tests",
}
# Short leases and waits: a lost worker's messages move again within a test's patience, not an operator's. Long enough
# for a loaded machine: a call that was too slow for them is one attempt more than a test counts.
HASTE = {
    "RELEASE_LEASE": "6",
    "SEND_LEASE": "15",
    "CONNECT_TIMEOUT": "2",
    "READ_TIMEOUT": "4",
    "TOTAL_TIMEOUT": "5",
    "RETRY_BASE": "0.2",
    "RETRY_CAP": "1",
}
CONNECT = """
from dispatch.models import Connection
Connection.objects.update_or_create(name=name, defaults=fields)
"""
ROUTE = """
from dispatch.models import Connection, Route, RouteStep
route, _ = Route.objects.update_or_create(name=name, defaults={"senders": sender, **fields})
route.steps.all().delete()
for position, one in enumerate(connections, 1):
    RouteStep.objects.create(route=route, connection=Connection.objects.get(name=one), position=position)
"""
DEFAULT_LANE = 1  # live SMS without a route (dispatch.lanes)
SWITCH_OFF = """
from dispatch.models import Connection, Route
Route.objects.filter(name=name).update(enabled=False)
Connection.objects.filter(name=name).update(enabled=False)
"""
FINAL = {"delivered", "undelivered", "failed", "expired", "canceled", "unknown"}
SENDERS = 8  # client connections at a time


@dataclass(frozen=True)
class Servers:
    """Where the stack stands: two databases, Redis with a prefix of its own, RabbitMQ."""

    database_url: str
    logs_database_url: str
    redis_url: str
    redis_prefix: str
    broker_url: str


class Stack:
    """Start it, use it, break it, stop it."""

    def __init__(
        self, servers: Servers, folder: Path, *, web_workers: int = 1, web_threads: int = 8, **environment: str
    ) -> None:
        self.servers = servers
        web, sandbox = free_port(), free_port()
        self.url, self.sandbox_url = f"http://127.0.0.1:{web}", f"http://127.0.0.1:{sandbox}"
        self.environment = {
            **SECRETS,
            **HASTE,
            "DATABASE_URL": servers.database_url,
            "LOGS_DATABASE_URL": servers.logs_database_url,
            "REDIS_URL": servers.redis_url,
            "REDIS_PREFIX": servers.redis_prefix,
            "BROKER_URL": servers.broker_url,
            "PUBLIC_URL": self.url,
            "LOG_LEVEL": "INFO",
            "CALLBACKS_ALLOW_HTTP": "true",  # the clients of these tests listen on the loopback
            "CALLBACKS_ALLOW_PRIVATE": "true",
            **environment,
        }
        self._folder = folder
        commands = {
            "web": _manage(
                *("web", "--bind", f"127.0.0.1:{web}", "--workers", str(web_workers), "--threads", str(web_threads))
            ),
            "relay": _manage("relay"),
            "worker": _manage("worker", "--threads", "4"),
            "worker-2": _manage("worker", "--threads", "4"),
            "receipts": _manage("receipts"),
            "reconcile": _manage("reconcile"),
            "callbacks": _manage("callbacks"),
            "logwriter": _manage("logwriter"),
            "deadletters": _manage("deadletters"),
            "sandbox": _sandbox(sandbox, "--slow-seconds", "6", "--late-seconds", "1"),
        }
        self.processes = {name: Process(name, command, self.environment, folder) for name, command in commands.items()}
        self.http = requests.Session()
        self.http.mount("http://", requests.adapters.HTTPAdapter(pool_maxsize=SENDERS))

    def start(self) -> None:
        """Migrate, make the demo data, start everything, and wait until a first message is delivered.

        Before that a queue may be missing: what a test publishes itself would be gone.
        """
        self.manage("migrate", "--verbosity=0")
        self.manage("migrate", "--database=logs", "--verbosity=0")
        self.keys: dict[str, str] = json.loads(self.manage("demo", "--provider-url", self.sandbox_url))
        for process in self.processes.values():
            process.start()
        eventually(lambda: self._answers(f"{self.url}/healthz"), "the web process answers", 60)
        eventually(lambda: self._answers(f"{self.sandbox_url}/received"), "the sandbox answers", 60)
        self.finished(self.send(), seconds=60)

    @contextmanager
    def worker(self, name: str, *flags: str, **environment: str) -> Iterator[Process]:
        """One more worker; it ends politely."""
        command = _manage("worker", "--threads", "4", "--name", name, *flags)
        process = Process(name, command, {**self.environment, **environment}, self._folder)
        process.start()
        try:
            yield process
        finally:
            process.stop()

    def stop(self) -> None:
        for process in self.processes.values():
            process.kill()
        self.http.close()

    def manage(self, *arguments: str) -> str:
        done = subprocess.run(
            [sys.executable, "manage.py", *arguments],
            cwd=ROOT,
            env={**self.environment, "PATH": "/usr/bin:/bin"},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    # As an operator

    @contextmanager
    def provider(self, name: str, *flags: str) -> Iterator[tuple[Process, int]]:
        """One more sandbox provider, with a memory of its own: its process and its port."""
        port = free_port()
        process = Process(name, _sandbox(port, *flags), self.environment, self._folder)
        process.start()
        try:
            eventually(lambda: self._answers(f"http://127.0.0.1:{port}/received"), f"{name} answers", 60)
            yield process, port
        finally:
            process.signal(signal.SIGCONT)
            process.kill()

    def run(self, code: str, **values: Any) -> str:
        """Django code in a process of its own; `values` are its variables."""
        known = f"import json\nglobals().update(json.loads({json.dumps(values)!r}))\n"
        return self.manage("shell", "-v", "0", "-c", known + code)

    def connect(self, name: str, url: str, **fields: Any) -> None:
        """A connection for live keys to a sandbox provider there; made, or changed if it exists."""
        credentials = {
            "api_key": SECRETS["SANDBOX_API_KEY"],
            "webhook_secrets": [SECRETS["SANDBOX_RECEIPT_SECRET"]],
        }
        fields = {"provider": "sendmsg", "base_url": url, "credentials": credentials, **fields}
        self.run(CONNECT, name=name, fields=fields)

    def route(self, name: str, sender: str, *connections: str, **fields: Any) -> None:
        """What this sender sends leaves by these connections, each for when none before it can."""
        self.run(ROUTE, name=name, sender=sender, connections=connections, fields=fields)

    @contextmanager
    def detour(self, name: str, url: str, sender: str, *others: str, **fields: Any) -> Iterator[None]:
        """What this sender sends leaves by a connection to `url`, by `others` when that can't; switched off at the end.

        Without a route all connections share by weight: this one has none, or it would have messages of other tests,
        the next one's too, until each process has noticed that it is off. It begins when every process has noticed it:
        each of the web's accepts by the routes that it knows.
        """
        self.connect(name, url, **{"sandbox": False, "weight": 0, **fields})
        self.route(name, sender, name, *others)

        def noticed() -> bool:
            return self.left_by([self.send(**{"from": sender}) for _ in range(6)]) == {name: 6}

        try:
            eventually(noticed, "the route is known", 60)
            yield
        finally:
            self.run(SWITCH_OFF, name=name)

    # As a client

    def send(self, to: str = "+447700900900", *, key: str = "live", **fields: Any) -> str:
        """POST one message; its id."""
        return str(self.post({"to": to, "body": "hello", **fields}, key=key).json()["id"])

    def post(self, body: dict[str, Any], *, key: str = "live") -> requests.Response:
        answer = self.http.post(f"{self.url}/v1/messages", json=body, headers=self.headers(key), timeout=15)
        assert answer.status_code == 202, answer.text
        return answer

    def send_many(self, count: int, to: str = "+447700900900", after: Callable[[int], None] | None = None) -> list[str]:
        """POST `count` messages over a few connections; `after` is called with the number sent so far."""
        ids: list[str] = []
        with ThreadPoolExecutor(SENDERS) as pool:
            for done, message_id in enumerate(pool.map(lambda _: self.send(to), range(count)), 1):
                ids.append(message_id)
                if after is not None:
                    after(done)
        return ids

    def message(self, message_id: str, *, key: str = "live") -> dict[str, Any]:
        return self._get(f"/v1/messages/{message_id}", key)

    def timeline(self, message_id: str, *, key: str = "live") -> list[dict[str, Any]]:
        return list(self._get(f"/v1/messages/{message_id}/events", key)["results"])

    def finished(self, message_id: str, *, key: str = "live", seconds: float = 30) -> dict[str, Any]:
        """The message, once it is final."""

        def final() -> dict[str, Any] | None:
            message = self.message(message_id, key=key)
            return message if message["status"] in FINAL else None

        return eventually(final, f"message {message_id} is final", seconds) or {}

    def headers(self, key: str = "live") -> dict[str, str]:
        return {"Authorization": f"Bearer {self.keys[key]}"}

    # As the provider's bookkeeper

    def received(self, url: str | None = None) -> dict[str, dict[str, Any]]:
        """What a sandbox was given, by our message id: `sends` that went out, `replays` that it recognised."""
        answer = requests.get(f"{url or self.sandbox_url}/received", headers=self._sandbox_headers, timeout=30)
        return dict(answer.json()["messages"])

    @property
    def _sandbox_headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {SECRETS['SANDBOX_API_KEY']}"}

    # As an auditor

    def sql(self, statement: str, *values: Any, logs: bool = False) -> list[tuple[Any, ...]]:
        url = self.servers.logs_database_url if logs else self.servers.database_url
        connection = psycopg2.connect(url)
        try:
            with connection, connection.cursor() as cursor:
                cursor.execute(statement, values)
                return list(cursor.fetchall()) if cursor.description else []
        finally:
            connection.close()

    def queue(self, account: str, count: int, body: str = "to all", **columns: Any) -> None:
        """So many messages of an account, straight into the database as a broadcast would put them.

        A `{n}` in the column `to` stands for eight digits, another for each.
        """
        self.sql(
            f"""
            INSERT INTO dispatch_message (
                id, account_id, test, lane, channel, "to", sender, body, segments, encoding, priority, client_reference,
                metadata, state, release, tries, in_doubt, error_code, error_detail, due_at, expires_at, created_at,
                updated_at
            )
            SELECT {ID.format(at="clock_timestamp()")}, a.id, false, %s, 'sms',
                replace(%s, '{{n}}', lpad(n::text, 8, '0')), %s, %s, 1, 'gsm7', %s, '', '{{}}', 'queued', 0, 0,
                false, '', '', now(), now() + interval '1 hour', now(), now()
            FROM accounts_account a, generate_series(1, %s) AS n WHERE a.name = %s
            """,
            columns.get("lane", DEFAULT_LANE),
            columns.get("to", "+447700900900"),
            columns.get("sender", ""),
            body,
            columns.get("priority", 2),
            count,
            account,
        )

    def states(self, ids: Iterable[str]) -> Counter[str]:
        rows = self.sql("SELECT state FROM dispatch_message WHERE id = ANY(%s::uuid[])", list(ids))
        return Counter(row[0] for row in rows)

    def settled(self, ids: Sequence[str], seconds: float = 90) -> Counter[str]:
        """The states of all these messages, once every one of them is final."""

        def look() -> Counter[str] | None:
            states = self.states(ids)
            return states if set(states) <= FINAL and sum(states.values()) == len(ids) else None

        try:
            return eventually(look, "every message is final", seconds, every=0.2) or Counter()
        except AssertionError as error:
            tails = "\n".join(f"--- {process.name}\n{process.tail()}" for process in self.processes.values())
            raise AssertionError(f"{error}\n{self.states(ids)}\n{tails}") from None

    def left_by(self, ids: Sequence[str]) -> Counter[str]:
        """The connections that these messages left by, once each is final."""
        self.settled(ids)
        rows = self.sql(
            "SELECT c.name FROM dispatch_message m JOIN dispatch_connection c ON c.id = m.connection_id"
            " WHERE m.id = ANY(%s::uuid[])",
            list(ids),
        )
        return Counter(str(name) for (name,) in rows)

    def logged(self, ids: Sequence[str], types: Iterable[str], seconds: float = 30) -> None:
        """Wait until the logs database has an event of each of these types for every message."""
        wanted = len(ids) * len(list(types))

        def look() -> bool:
            [(count,)] = self.sql(
                "SELECT count(*) FROM (SELECT DISTINCT message_id, type FROM logs_event"
                " WHERE message_id = ANY(%s::uuid[]) AND type = ANY(%s)) AS kinds",
                list(ids),
                list(types),
                logs=True,
            )
            return bool(count == wanted)

        eventually(look, f"{wanted} kinds of events are in the logs database", seconds, every=0.2)

    def sessions(self) -> int:
        """How many connections to the default database were ever made."""
        [(count,)] = self.sql("SELECT sessions FROM pg_stat_database WHERE datname = current_database()")
        return int(count)

    def events_of(self, ids: Iterable[str], kind: str) -> int:
        """How many events of this kind these messages have, in the journal or in the logs database."""
        waiting = "SELECT count(*) FROM journal_journalentry, jsonb_array_elements(events::jsonb) AS event"
        [(journal,)] = self.sql(f"{waiting} WHERE event->>'type' = %s AND event->>'message' = ANY(%s)", kind, list(ids))
        [(logged,)] = self.sql(
            "SELECT count(*) FROM logs_event WHERE type = %s AND message_id = ANY(%s::uuid[])",
            kind,
            list(ids),
            logs=True,
        )
        return int(journal) + int(logged)

    @contextmanager
    def logs_away(self) -> Iterator[None]:
        """The logs database refuses everybody, and throws out who is connected."""
        url = self.servers.database_url
        name = psycopg2.extensions.parse_dsn(self.servers.logs_database_url)["dbname"]
        self._admin(url, f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS false')
        try:
            self._admin(url, f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'")
            yield
        finally:
            self._admin(url, f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS true')

    def _admin(self, url: str, statement: str) -> None:
        with closing(psycopg2.connect(url)) as connection:
            connection.autocommit = True
            connection.cursor().execute(statement)

    def _get(self, path: str, key: str) -> dict[str, Any]:
        answer = self.http.get(self.url + path, headers=self.headers(key), timeout=15)
        assert answer.status_code == 200, answer.text
        return dict(answer.json())

    def _answers(self, url: str) -> bool:
        try:
            return requests.get(url, timeout=5).status_code in (200, 401)
        except requests.RequestException:
            return False


def _sandbox(port: int, *flags: str) -> list[str]:
    return ["-m", "sendmsg.sandbox", "--port", str(port), "--latency-ms", "20", *flags]


def _manage(*arguments: str) -> list[str]:
    return ["manage.py", *arguments]
