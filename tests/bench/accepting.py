"""How fast messages are accepted: one by one, in batches, and as broadcasts."""

import io
from collections.abc import Iterator
from time import monotonic

import psycopg2

from tests.bench.figures import Busy, Figure, percentiles
from tests.bench.running import DELIVERING, WORKERS, asleep, bare, posts
from tests.load import Load
from tests.stack.stack import Stack

ONES = 4000
CLIENTS = 32
SENDERS = 4  # of batches: two for each web process, so that one is worked on while the other is stored
LISTED = 100_000  # recipients of one broadcast
BATCHES, BATCH = 60, 1000
BUDGET = "≥ 10,000/s and ≥ 0.25 × COPY"
FORGET = "UPDATE dispatch_message SET state = 'canceled' WHERE state = 'queued'"  # what was accepted and not delivered


def one_by_one(stack: Stack) -> Iterator[Figure]:
    """Against a bare view with one INSERT and one confirmed publish; ours publishes later, and promises more."""
    bodies = [{"to": f"+4477009{number:05d}", "body": f"hello {number}"} for number in range(ONES)]
    with asleep(stack, *DELIVERING), bare(stack) as url:
        for where, path in ((stack.url, "/v1/messages"), (url, "/message")):
            Load(where, CLIENTS).run(posts(where, path, bodies[:500], **stack.headers()))
        busy, ours = Busy(), Load(stack.url, CLIENTS)
        took = ours.run(posts(stack.url, "/v1/messages", bodies, **stack.headers()))
        cpu = busy.each(ONES)
        control = Load(url, CLIENTS)
        against = control.run(posts(url, "/message", bodies))
        stack.sql(FORGET)
    assert (ours.statuses, control.statuses) == ({202: ONES}, {202: ONES}), (ours.statuses, control.statuses)
    mine, its = percentiles(ours.seconds), percentiles(control.seconds)
    reached = min(against / took, its.p99 / mine.p99)
    note = f"p99 of the control {its.p99:.0f} ms"
    yield Figure(
        "accept, 32 clients",
        ONES / took,
        "/s",
        "≥ 1.0 ×, p99 ≤ its",
        reached,
        ONES / against,
        times=mine,
        cpu=cpu,
        note=note,
    )


def many(stack: Stack) -> Iterator[Figure]:
    """Against COPY of as many rows by psycopg2 into a table with the same columns and indexes."""
    with asleep(stack, *DELIVERING):
        lists = [
            {"messages": [{"to": f"+4477{n:08d}", "body": f"hello {n}"} for n in range(at, at + BATCH)]}
            for at in range(0, BATCH * BATCHES, BATCH)
        ]
        busy, load = Busy(), Load(stack.url, SENDERS)
        took = load.run(posts(stack.url, "/v1/messages/batch", lists, **stack.headers()))
        spent, count = busy.spent(BATCH * BATCHES), BATCH * BATCHES
        assert set(load.statuses) <= {200, 202, 207}, load.statuses
        copied = _copied(stack, count)
        rate = count / took
        yield Figure("accept, batches of 1,000", rate, "/s", BUDGET, _reached(rate, copied), copied, **spent)

        for at_once, name in ((1, "a broadcast of 100,000"), (WORKERS, "two broadcasts at once")):
            recipients = [{"to": f"+4477{number:08d}"} for number in range(LISTED)]
            broadcasts = [{"body": "hello", "recipients": recipients}] * at_once
            busy, load = Busy(), Load(stack.url, at_once)
            took = load.run(posts(stack.url, "/v1/broadcasts", broadcasts, **stack.headers()))
            assert load.statuses == {202: at_once}, load.statuses
            rate, spent = at_once * LISTED / took, busy.spent(at_once * LISTED)
            yield Figure(f"accept, {name}", rate, "/s", BUDGET, _reached(rate, copied), copied, **spent)
        stack.sql(FORGET)


def _reached(rate: float, copied: float) -> float:
    return min(rate / 10_000, rate / (0.25 * copied))


def _copied(stack: Stack, count: int) -> float:
    """Rows a second."""
    stack.sql("CREATE TABLE copied (LIKE dispatch_message INCLUDING ALL)")
    connection = psycopg2.connect(stack.servers.database_url)
    try:
        with connection, connection.cursor() as cursor:
            out = io.StringIO()
            cursor.copy_expert(
                f"COPY (SELECT * FROM dispatch_message WHERE state = 'queued' LIMIT {count}) TO STDOUT", out
            )
            out.seek(0)
            began = monotonic()
            cursor.copy_expert("COPY copied FROM STDIN", out)
        return count / (monotonic() - began)
    finally:
        connection.close()
        stack.sql("DROP TABLE copied")
