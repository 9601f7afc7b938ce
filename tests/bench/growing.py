"""What happens as everything grows: speed with a million messages in the queue, and memory after a million sent."""

import time
from collections.abc import Iterator, Mapping

import psycopg2

from tests.bench.batching import BatchProvider
from tests.bench.delivering import LATENCY, known, lane_of, provider
from tests.bench.figures import Figure, percentiles
from tests.bench.memory import by_process
from tests.bench.running import DELIVERING, asleep, posts
from tests.ids import ID
from tests.load import Load
from tests.stack.stack import Stack
from tests.waiting import eventually

LEVELS = ((10_000, 0), (100_000, 0), (1_000_000, 5_000_000))  # messages that wait, and old ones that are long over
WINDOW = 12.0  # seconds of dispatch at each level, or until half of it is sent: a queue that runs dry is slow
POSTS, CLIENTS = 3000, 8
CHUNK = 500_000  # rows of one statement
LIST = 10_000  # recipients of a broadcast
MANY = 1_000_000  # messages sent until memory is looked at again
PATIENCE = 900.0  # seconds for a million
ATTEMPTS = "SELECT count(*) FROM dispatch_attempt WHERE finished_at IS NOT NULL"
OLD = f"""
INSERT INTO dispatch_message (
    id, account_id, test, lane, channel, "to", sender, body, segments, encoding, priority, client_reference,
    metadata, state, release, tries, in_doubt, error_code, error_detail, due_at, expires_at, created_at, updated_at
)
SELECT {ID.format(at="at")}, a.id, false, 1, 'sms', '+4477' || lpad(n::text, 8, '0'), '', 'long ago', 1, 'gsm7', 1, '',
    '{{}}', 'delivered', 1, 1, false, '', '', at, at, at, at
FROM accounts_account a, generate_series(1, %s) AS n, LATERAL (SELECT now() - n * interval '1 second' AS at) AS moment
WHERE a.name = %s
"""


def growth(stack: Stack) -> Iterator[Figure]:
    """Against itself with ten thousand in the queue."""
    [(account,)] = stack.sql("SELECT name FROM accounts_account ORDER BY created_at LIMIT 1")
    found: list[tuple[int, float, float]] = []
    with provider(stack, "growth", concurrency=128):
        lane, waiting = lane_of(stack, "Growth"), 0
        for level, old in LEVELS:
            with asleep(stack, *DELIVERING):
                stack.queue(account, level - waiting, to="+447700900911", sender="Growth", lane=lane)
                for _ in range(0, old, CHUNK):
                    stack.sql(OLD, CHUNK, account)
                _tidy(stack)
                p99 = _accepted(stack)
            found.append((level, _rate(stack, level // 2), p99))
            waiting = level
    first = found[0]
    for level, rate, p99 in found[1:]:
        reached = min(rate / first[1] / 0.85, first[2] * 1.15 / p99)
        note = f"accept p99 {p99:.0f} ms, with {first[0]:,} {first[2]:.0f} ms"
        yield Figure(f"dispatch with {level:,} waiting", rate, "/s", "within 15 %", reached, first[1], note=note)


def memory(stack: Stack) -> Iterator[Figure]:
    """Of each process that a message passes on its way to a provider, against itself after ten thousand.

    In lists of one length: a web process keeps what its longest request needed, which is no growth with their number.
    """
    with BatchProvider(LATENCY / 1000) as fake:
        credentials = {"api_key": "bench", "webhook_tokens": ["bench"]}
        stack.connect("memory", fake.url, provider="infobip", credentials=credentials, sandbox=False, concurrency=16)
        stack.route("memory", "Memory", "memory")
        known(stack, "Memory", "memory")
        for _ in range(2):  # one for each web process
            _broadcast(stack)
        before = by_process(stack)
        for _ in range(MANY // LIST):
            _broadcast(stack)
        after = by_process(stack)
    passed = [name for name in before if name not in ("sandbox", "callbacks", "receipts", "reconcile", "deadletters")]
    worst = max(passed, key=lambda name: after[name] / before[name])
    note = ", ".join(f"{name} {before[name]:.0f} → {after[name]:.0f} MB" for name in sorted(passed))
    yield Figure(
        f"memory after {MANY:,}",
        after[worst],
        f"MB ({worst})",
        "flat within 10 %",
        1.1 * before[worst] / after[worst],
        before[worst],
        memory=sum(after.values()),
        note=note,
    )


def _accepted(stack: Stack) -> float:
    """p99 of acceptance in milliseconds."""
    body = {"to": "+447700900900", "body": "hello"}
    load = Load(stack.url, CLIENTS)
    load.run(posts(stack.url, "/v1/messages", [body] * POSTS, **stack.headers()))
    assert load.statuses == {202: POSTS}, load.statuses
    return percentiles(load.seconds).p99


def _tidy(stack: Stack) -> None:
    """As a table that has grown in weeks is. Else what is measured is the writing down of six million new rows."""
    connection = psycopg2.connect(stack.servers.database_url)
    try:
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute("VACUUM ANALYZE dispatch_message")
            cursor.execute("CHECKPOINT")
    finally:
        connection.close()


def _rate(stack: Stack, most: int) -> float:
    """Attempts a second."""
    time.sleep(2)  # for the first of them to be under way
    [(before,)], began = stack.sql(ATTEMPTS), time.monotonic()
    done, took = 0, 0.0
    while done < most and took < WINDOW:
        time.sleep(min(2.0, WINDOW - took))
        [(after,)], took = stack.sql(ATTEMPTS), time.monotonic() - began
        done = after - before
    return done / took


def _broadcast(stack: Stack) -> None:
    """Accept one, and wait until the provider has all of it, and the logs too."""
    recipients: list[Mapping[str, str]] = [{"to": f"+4477{number:08d}"} for number in range(LIST)]
    body = {"body": "hello", "from": "Memory", "recipients": recipients}
    load = Load(stack.url, 1)
    load.run(posts(stack.url, "/v1/broadcasts", [body], **stack.headers()))
    assert load.statuses == {202: 1}, load.statuses
    under_way = "SELECT EXISTS (SELECT FROM dispatch_message WHERE state IN ('queued', 'released', 'sending'))"
    eventually(lambda: stack.sql(under_way) == [(False,)], "all are sent", PATIENCE, every=0.2)
    entries = "SELECT EXISTS (SELECT FROM journal_journalentry)"
    eventually(lambda: stack.sql(entries) == [(False,)], "all is in the logs", PATIENCE, every=0.2)
