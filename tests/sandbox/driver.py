"""Drives the sandbox provider as a real process, and receives its receipts by real HTTP."""

import hashlib
import hmac
import json
import os
import select
import signal
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Condition
from typing import Any

import requests

ROOT = Path(__file__).resolve().parents[2]
KEY = "sandbox-key"
SECRET = "sandbox-receipt-secret"
LATE = 0.3  # seconds, in place of 5
SLOW = 0.8  # seconds, in place of 30
DEADLINE = 5.0  # seconds that a test waits for what must come


@dataclass(frozen=True)
class Receipt:
    """One POST as it arrived, at a time of `time.monotonic`."""

    headers: dict[str, str]
    raw: bytes
    arrived: float

    @property
    def event(self) -> dict[str, Any]:
        event: dict[str, Any] = json.loads(self.raw)
        return event

    @property
    def genuine(self) -> bool:
        signed = self.headers["SendMSG-Timestamp"].encode() + b"." + self.raw
        expected = "v1=" + hmac.new(SECRET.encode(), signed, hashlib.sha256).hexdigest()
        return hmac.compare_digest(self.headers["SendMSG-Signature"], expected)


@dataclass
class Inbox:
    """The receipts that one test gets. `answers` are the statuses to give next; 200 when there are none."""

    url: str
    answers: deque[int] = field(default_factory=deque)
    receipts: list[Receipt] = field(default_factory=list)
    changed: Condition = field(default_factory=Condition)

    def take(self, receipt: Receipt) -> int:
        with self.changed:
            self.receipts.append(receipt)
            self.changed.notify_all()
            return self.answers.popleft() if self.answers else 200

    def wait_for(self, count: int) -> list[Receipt]:
        with self.changed:
            assert self.changed.wait_for(lambda: len(self.receipts) >= count, DEADLINE), "receipts are missing"
            assert all(receipt.genuine for receipt in self.receipts)
            return list(self.receipts)

    def events(self, count: int) -> list[dict[str, Any]]:
        return [receipt.event for receipt in self.wait_for(count)]


class Receiver(ThreadingHTTPServer):
    daemon_threads = False  # joined at the end, so that no socket is left open

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.inboxes: dict[str, Inbox] = {}


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: Receiver

    def do_POST(self) -> None:
        raw = self.rfile.read(int(self.headers["Content-Length"]))
        status = self.server.inboxes[self.path].take(Receipt(dict(self.headers), raw, time.monotonic()))
        self.send_response(status)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  the base class's name
        pass


class Sandbox:
    """A running server, and its client."""

    def __init__(self, process: "subprocess.Popen[str]", url: str) -> None:
        self.process = process
        self.url = url
        self.session = requests.Session()
        self.session.trust_env = False
        self.session.headers["Authorization"] = f"Bearer {KEY}"

    def send(
        self, to: str, key: str, inbox: Inbox | None = None, *, timeout: float = DEADLINE, **fields: Any
    ) -> requests.Response:
        message = {"to": to, "from": "Acme", "body": "Your code is 123456.", "channel": "sms"}
        if inbox is not None:
            message["receipt_url"] = inbox.url
        return self.session.post(
            f"{self.url}/v1/messages",
            json=message | fields,
            headers={"Idempotency-Key": key},
            timeout=timeout,
        )

    def get(self, path: str) -> requests.Response:
        return self.session.get(self.url + path, timeout=DEADLINE)

    def received(self, key: str) -> dict[str, Any]:
        entry: dict[str, Any] = self.get(f"/received?key={key}").json()["messages"][key]
        return entry

    def status(self, message_id: str) -> tuple[str, str | None]:
        message = self.get(f"/v1/messages/{message_id}").json()
        return message["status"], message["error_code"]

    def settle(self) -> None:
        """Waits until no receipt is to come."""
        poll(lambda: self.get("/received?totals_only").json()["receipts"]["pending"] == 0)


def poll(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + DEADLINE
    while not condition():
        assert time.monotonic() < end, "it did not come true in time"
        time.sleep(0.01)


def spawn(*flags: str) -> "subprocess.Popen[str]":
    secrets = {"SANDBOX_API_KEY": KEY, "SANDBOX_RECEIPT_SECRET": SECRET}
    return subprocess.Popen(
        [sys.executable, "-m", "sendmsg.sandbox", *flags],
        cwd=ROOT,
        env=os.environ | secrets,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@contextmanager
def running(*flags: str) -> Iterator[Sandbox]:
    """A server on a free port, which must end cleanly and without a word on stderr."""
    with spawn("--port", "0", *flags) as process:
        assert process.stdout is not None
        assert select.select([process.stdout], [], [], DEADLINE)[0], "no ready line"
        words, _, url = process.stdout.readline().strip().rpartition(" ")
        assert words == "sandbox provider on", process.communicate()
        sandbox = Sandbox(process, url)
        try:
            yield sandbox
        finally:
            sandbox.session.close()
            process.send_signal(signal.SIGTERM)
            try:
                out, errors = process.communicate(timeout=DEADLINE)
            except subprocess.TimeoutExpired:
                process.kill()
                raise
    assert (process.returncode, out, errors) == (0, "", "")
