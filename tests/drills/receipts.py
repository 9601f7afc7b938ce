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
import sys
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from statistics import quantiles
from urllib.parse import urlsplit

from tests.drills.failover import running_stack
from tests.load import PATIENCE, Load
from tests.stack.stack import SECRETS, Stack
from tests.waiting import eventually
from tests.webhooks.provider import signature

RATE, SECONDS = 2000, 10
ANSWERED_WITHIN = 0.250  # seconds, 99 % of the receipts
APPLIED_WITHIN = 30.0  # seconds after the last answer
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
