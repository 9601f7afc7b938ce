"""What happens after a send: receipts answered and applied, callbacks called, and whole lives from end to end."""

import json
import time
from collections.abc import Iterator

import psycopg2
import requests

from tests.bench.delivering import provider
from tests.bench.figures import Busy, Figure, percentiles
from tests.bench.receiver import Receiver
from tests.bench.running import asleep, bare, callers, posts, worked_off
from tests.drills import receipts as drill
from tests.load import Load
from tests.stack.stack import Stack
from tests.waiting import eventually

RECEIPTS = 8000
CLIENTS = 32
CALLED = 6000
RATE, LASTS = 600, 60  # messages a second, seconds
UNDER_WAY = 600  # lives; more than that at a time would be a backlog
PATIENCE = 60.0  # seconds for what is slower than it should be
CLIENT_TAKES = 0.020  # seconds that the client's program takes to answer
WAITING = """
INSERT INTO webhooks_callback (
    id, endpoint_id, event_id, type, url, body, happened_at, state, due_at, attempts, response_body, error_code
)
SELECT gen_random_uuid(), %s, gen_random_uuid(), 'message.sent', '', %s, now(), 'waiting', now(), 0, '', ''
FROM generate_series(1, %s)
"""
WAL = "SELECT pg_wal_lsn_diff(pg_current_wal_lsn(), '0/0')"  # of both databases, which are one server's here
APPLIED = "SELECT count(*) FROM dispatch_message WHERE sender = 'Drill' AND state = 'delivered'"


def receipts(stack: Stack) -> Iterator[Figure]:
    """Answering while the pump sleeps; then applying what has gathered."""
    stack.sql(drill.SENT, RECEIPTS)
    stack.sql("ANALYZE dispatch_message")
    with asleep(stack, "receipts"), bare(stack) as url:
        Load(url, CLIENTS).run(posts(url, "/receipt", [{"id": "warm"}] * 500))
        busy, ours = Busy(), Load(stack.url, CLIENTS)
        took = ours.run(drill.requests(stack.url, RECEIPTS))
        cpu = busy.each(RECEIPTS)
        control = Load(url, CLIENTS)
        against = control.run(
            posts(url, "/receipt", [{"id": f"drill_{n}", "status": "delivered"} for n in range(RECEIPTS)])
        )
        busy = Busy()
    seconds, left = worked_off(lambda: RECEIPTS - int(stack.sql(APPLIED)[0][0]), RECEIPTS, 120)
    assert not left
    rate, applying = RECEIPTS / seconds, busy.spent(RECEIPTS)
    cuts = percentiles(ours.seconds)
    reached = min(against / took / 0.6, 100 / cuts.p99)
    assert ours.statuses == {200: RECEIPTS}, ours.statuses
    yield Figure(
        "receipts, answered",
        RECEIPTS / took,
        "/s",
        "≥ 0.6 ×, p99 ≤ 100 ms",
        reached,
        RECEIPTS / against,
        times=cuts,
        cpu=cpu,
    )
    updated = _updated(stack)
    yield Figure("receipts, applied", rate, "/s", "≥ 0.3 × bulk UPDATE", rate / (0.3 * updated), updated, **applying)


def callbacks(stack: Stack) -> Iterator[Figure]:
    with Receiver(CLIENT_TAKES) as receiver:
        endpoint = _endpoint(stack, receiver.url)
        with asleep(stack, "callbacks"):
            told = json.dumps({"type": "message.sent", "data": {"id": "x" * 300}})
            stack.sql(WAITING, endpoint, told, CALLED)
            busy = Busy()
        waiting = "SELECT count(*) FROM webhooks_callback WHERE state = 'waiting'"
        seconds, left = worked_off(lambda: int(stack.sql(waiting)[0][0]), CALLED, 120)
        assert not left
        rate, spent = CALLED / seconds, busy.spent(CALLED)
        against = callers(receiver.url, CALLED, 16, "none")
        _remove(stack, endpoint)
    yield Figure("callbacks", rate, "/s", "≥ 0.6 × bare threads", rate / (0.6 * against), against, **spent)


def lives(stack: Stack) -> Iterator[Figure]:
    """Accepted one by one, delivered, receipt applied, callbacks answered: as many as there is no backlog of."""
    with Receiver(0) as receiver, provider(stack, "life", concurrency=128):
        endpoint = _endpoint(stack, receiver.url)
        before = receiver.count()

        def lived() -> int:
            return (receiver.count() - before) // 2  # two things are told of each: sent and delivered

        body = {"to": "+447700900900", "body": "hello", "from": "Life"}
        bodies = posts(stack.url, "/v1/messages", [body] * LASTS * RATE * 2, **stack.headers())
        busy, load = Busy(), Load(stack.url)
        [(log_began,)] = stack.sql(WAL)
        took = load.run(bodies, lasts=LASTS, room=lambda sent: sent - lived() < UNDER_WAY)
        told, sent = lived(), len(load.seconds)
        spent = busy.spent(max(1, told))
        log = float(stack.sql(WAL)[0][0] - log_began) / 1024 / max(1, told)
        eventually(lambda: lived() >= sent, "every life ends", PATIENCE, every=0.25)
        _remove(stack, endpoint)
    rate = told / took
    note = f"{sent - told} under way at the end of {took:.0f} s, {log:.1f} kB of write-ahead log each"
    times = percentiles(load.seconds)
    yield Figure("whole lives", rate, "/s", f"≥ {RATE}/s for {LASTS} s", rate / RATE, times=times, note=note, **spent)


def _endpoint(stack: Stack, url: str) -> str:
    answer = requests.post(f"{stack.url}/v1/webhooks", json={"url": url}, headers=stack.headers(), timeout=15)
    assert answer.status_code == 201, answer.text
    return str(answer.json()["id"])


def _remove(stack: Stack, endpoint: str) -> None:
    requests.delete(f"{stack.url}/v1/webhooks/{endpoint}", headers=stack.headers(), timeout=15)


def _updated(stack: Stack) -> float:
    """Rows a second that one UPDATE of 500 after the other moves, by psycopg2."""
    rows = [
        row[0] for row in stack.sql("SELECT id::text FROM dispatch_message WHERE sender = 'Drill' LIMIT %s", RECEIPTS)
    ]
    connection = psycopg2.connect(stack.servers.database_url)
    try:
        began = time.monotonic()
        for at in range(0, len(rows), 500):
            with connection, connection.cursor() as cursor:
                cursor.execute(
                    "UPDATE dispatch_message SET state = 'delivered', updated_at = now() WHERE id = ANY(%s::uuid[])",
                    (rows[at : at + 500],),
                )
        return len(rows) / (time.monotonic() - began)
    finally:
        connection.close()
