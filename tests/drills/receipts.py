"""The receipts drill: 2,000 signed receipts a second for ten seconds, every one for another message.

    make drill-receipts            every process on servers of its own; about a minute
    make drill-receipts ARGS="--rate 500"

It prints how soon they were answered and applied, and ends with exit code 0 only if: all are answered 200, 99 % of them
within 250 ms; and 30 s after the last one every message is delivered. The time of an answer counts from when the
receipt was due, so that a slow answer can't hide the ones that wait behind it. The load comes from one more process on
the same cores.
"""

import argparse
import json
import selectors
import socket
import sys
import time
from collections import Counter, deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from statistics import quantiles
from urllib.parse import urlsplit

from tests.drills.failover import running_stack
from tests.stack.stack import SECRETS, Stack
from tests.waiting import eventually
from tests.webhooks.provider import signature

RATE, SECONDS = 2000, 10
CLIENTS = 64  # kept connections
ANSWERED_WITHIN = 0.250  # seconds, 99 % of the receipts
APPLIED_WITHIN = 30.0  # seconds after the last answer
PATIENCE = 120.0  # seconds for whatever is measured to end at all
SENT = """
WITH numbers AS (SELECT gen_random_uuid() AS id, number FROM generate_series(1, %s) AS number), inserted AS (
    INSERT INTO dispatch_message (
        id, account_id, test, lane, channel, "to", sender, body, segments, encoding, priority, client_reference,
        metadata, state, connection_id, release, tries, in_doubt, error_code, error_detail, due_at, expires_at,
        created_at, updated_at
    )
    SELECT n.id, a.id, false, 1, 'sms', '+447700900900', 'Drill', 'hello', 1, 'gsm7', 1, '', '{}', 'sent', c.id, 1, 1,
        false, '', '', now(), now() + interval '1 hour', now(), now()
    FROM numbers n, (SELECT id FROM accounts_account LIMIT 1) a, dispatch_connection c WHERE c.name = 'sendmsg'
), attempted AS (
    INSERT INTO dispatch_attempt (message_id, number, connection_id, started_at, finished_at, outcome, code, detail)
    SELECT n.id, 1, c.id, now(), now(), 'accepted', '', ''
    FROM numbers n, dispatch_connection c WHERE c.name = 'sendmsg'
)
INSERT INTO dispatch_providerreference (connection_id, value, message_id)
SELECT c.id, 'drill_' || n.number, n.id FROM numbers n, dispatch_connection c WHERE c.name = 'sendmsg'
"""


@dataclass(slots=True)
class Client:
    """One kept connection with at most one request under way."""

    socket: socket.socket
    due_at: float = 0.0
    answer: bytearray = field(default_factory=bytearray)


class Load:
    """Posts each request when it is due, or as soon as a connection is free; notes the answers and their times."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._address = (parts.hostname or "", parts.port or 80)
        self._selector = selectors.DefaultSelector()
        self._free: deque[Client] = deque()
        self.seconds: list[float] = []
        self.statuses: Counter[int] = Counter()

    def run(self, requests: Sequence[bytes], rate: float) -> None:
        for _ in range(CLIENTS):
            self._connect()
        start, sent = time.monotonic(), 0
        give_up_at = start + len(requests) / rate + PATIENCE
        while len(self.seconds) < len(requests) and time.monotonic() < give_up_at:
            while sent < len(requests) and self._free and (due := start + sent / rate) <= time.monotonic():
                client = self._free.popleft()
                client.due_at = due
                client.socket.sendall(requests[sent])
                sent += 1
            wait = start + sent / rate - time.monotonic() if self._free and sent < len(requests) else 0.1
            for key, _ in self._selector.select(max(0.0, wait)):
                self._hear(key.data)

    def _connect(self) -> None:
        client = Client(socket.create_connection(self._address, timeout=PATIENCE))
        client.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._selector.register(client.socket, selectors.EVENT_READ, client)
        self._free.append(client)

    def _hear(self, client: Client) -> None:
        received = client.socket.recv(65_536)
        client.answer += received
        head, separator, body = bytes(client.answer).partition(b"\r\n\r\n")
        length = head.lower().partition(b"content-length:")[2].split(b"\r\n")[0]
        if received and not (separator and length and len(body) >= int(length)):
            return
        self.seconds.append(time.monotonic() - client.due_at)
        self.statuses[int(head.split(b" ")[1]) if received else 0] += 1
        client.answer.clear()
        if received and b"connection: close" not in head.lower():
            self._free.append(client)
            return
        self._selector.unregister(client.socket)
        client.socket.close()
        self._connect()


def requests(url: str, count: int) -> list[bytes]:
    """A signed receipt for each message."""
    host, stamp = urlsplit(url).netloc, str(int(time.time()))
    made = []
    for number in range(1, count + 1):
        report = {"id": f"drill_{number}", "status": "delivered", "at": datetime.now(UTC).isoformat()}
        body = json.dumps({"event_id": f"evt_{number}", "type": "receipt", "error_code": None, **report}).encode()
        signed = signature(SECRETS["SANDBOX_RECEIPT_SECRET"], stamp, body)
        head = (
            f"POST /webhooks/sendmsg/sendmsg HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\n"
            f"SendMSG-Timestamp: {stamp}\r\nSendMSG-Signature: {signed}\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        made.append(head.encode() + body)
    return made


def applied(stack: Stack) -> int:
    return int(stack.sql("SELECT count(*) FROM dispatch_message WHERE sender = 'Drill' AND state = 'delivered'")[0][0])


def play(stack: Stack, rate: int, seconds: int) -> int:
    """The number of checks that failed."""
    count = rate * seconds
    stack.sql(SENT, count)
    stack.sql("ANALYZE")
    load = Load(stack.url)
    posts = requests(stack.url, count)
    started = time.monotonic()
    load.run(posts, rate)
    took, waiting = time.monotonic() - started, count - applied(stack)
    ended = time.monotonic()
    try:
        eventually(lambda: applied(stack) == count, "all are applied", PATIENCE, every=0.25)
    except AssertionError as error:
        print(f"  {error}")
    late = time.monotonic() - ended
    cuts = quantiles(load.seconds, n=100)
    print(f"\n{count} receipts in {took:.1f} s; {waiting} were not applied when the last was answered")
    p50, p95, p99 = cuts[49], cuts[94], cuts[98]
    print(f"answered: p50 {p50:.3f} s, p95 {p95:.3f} s, p99 {p99:.3f} s, max {max(load.seconds):.3f} s\n")
    checks = {
        f"answers {dict(load.statuses)}": load.statuses == {200: count},
        f"p99 of the answers {p99 * 1000:.0f} ms": p99 < ANSWERED_WITHIN,
        f"{applied(stack)} of {count} applied": applied(stack) == count,
        f"the last applied {late:.1f} s after the last answer": late <= APPLIED_WITHIN,
    }
    for what, holds in checks.items():
        print(f"  {'ok  ' if holds else 'FAIL'}  {what}")
    return list(checks.values()).count(False)


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="make drill-receipts", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rate", type=int, default=RATE, help=f"Receipts a second ({RATE}).")
    parser.add_argument("--seconds", type=int, default=SECONDS, help=f"For so long ({SECONDS}).")
    asked = parser.parse_args(arguments)
    print("starting PostgreSQL, Valkey, RabbitMQ and every process", flush=True)
    with running_stack(web_workers=2) as stack:
        failed = play(stack, asked.rate, asked.seconds)
    print(f"\n{failed} failed" if failed else "\nThe drill passed.")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
