"""How fast accepted messages reach a provider that answers after 50 ms, and how soon a single one does."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.bench.batching import BatchProvider
from tests.bench.figures import Busy, Figure, Spent, percentiles
from tests.bench.running import DELIVERING, SILENT, asleep, callers, posts, worked_off
from tests.load import Load
from tests.stack.processes import Process
from tests.stack.stack import SECRETS, Stack
from tests.waiting import eventually

LATENCY = 50  # milliseconds of the provider
ONES = 8000
TEXTBOOK = 600
BATCHED = 30_000
PATIENCE = 60.0  # seconds for what is slower than it should be
EACH = "+4477{n}"  # somebody else for each: a provider takes a number once in a call
ALONE = 60  # messages on an idle system
LOADED = 20  # seconds
CONTROL_THREADS = 64  # of each bare process: over what 50 ms ask for


def one_call_each(stack: Stack) -> Iterator[Figure]:
    with provider(stack, "bench", concurrency=128) as url:
        rate, spent = drained(stack, ONES, sender="Bench")
        target = f"{url}/v1/messages"
        bare = callers(target, ONES, CONTROL_THREADS, SECRETS["SANDBOX_API_KEY"])
        textbook = by_the_book(stack, target)
    yield Figure("dispatch, one call each", rate, "/s", "≥ 0.8 × bare threads", rate / (0.8 * bare), bare, **spent)
    yield Figure("dispatch, against textbook Celery", rate, "/s", "≥ 8 ×", rate / (8 * textbook), textbook)


def in_batches(stack: Stack) -> Iterator[Figure]:
    with BatchProvider(LATENCY / 1000) as fake:
        credentials = {"api_key": "bench", "webhook_tokens": ["bench"]}
        stack.connect("batches", fake.url, provider="infobip", credentials=credentials, sandbox=False, concurrency=16)
        stack.route("batches", "Batches", "batches")
        known(stack, "Batches", "batches")
        rate, spent = drained(stack, BATCHED, sender="Batches", to=EACH)
    yield Figure("dispatch, batch endpoint", rate, "/s", "≥ 5,000/s, aim 10,000", rate / 5000, **spent)


def soon(stack: Stack) -> Iterator[Figure]:
    """From the acceptance to the provider, which answers at once here, one message after the other."""
    with provider(stack, "soon", latency=0) as url:
        ids = []
        for _ in range(ALONE):
            ids.append(stack.send(SILENT, **{"from": "Soon"}))
            eventually(lambda: stack.states(ids[-1:]).get("sent"), "it is sent", 20, every=0.02)
        cuts = percentiles(waits(stack, url, ids[0]))
    reached = min(25 / cuts.p50, 100 / cuts.p99)
    yield Figure("accept → provider, idle", cuts.p50, "ms", "p50 ≤ 25 ms, p99 ≤ 100 ms", reached, times=cuts)


def loaded(stack: Stack) -> Iterator[Figure]:
    """The same while messages come one by one, half as many as could be dispatched."""
    body = {"to": SILENT, "body": "hello", "from": "Loaded"}
    with provider(stack, "loaded", concurrency=128) as url:
        limit, _ = drained(stack, ONES // 2, sender="Loaded")
        first = stack.send(**body)
        busy, load, count = Busy(), Load(stack.url), round(limit / 2 * LOADED)
        took = load.run(posts(stack.url, "/v1/messages", [body] * count, **stack.headers()), limit / 2)
        eventually(lambda: stack.sql(LEFT, "Loaded") == [(0,)], "all are sent", PATIENCE, every=0.1)
        cpu, cuts = busy.each(count), percentiles(waits(stack, url, first))
    note = f"{count / took:.0f} messages/s came, of {limit:.0f} that could be dispatched"
    yield Figure(
        "accept → provider, half loaded", cuts.p50, "ms", "p99 ≤ 1 s", 1000 / cuts.p99, times=cuts, cpu=cpu, note=note
    )


SINCE = """
SELECT id::text, extract(epoch FROM created_at) FROM dispatch_message
WHERE created_at >= (SELECT created_at FROM dispatch_message WHERE id = %s)
"""


def waits(stack: Stack, url: str, first: str) -> list[float]:
    """Seconds from the acceptance to the provider, of this message and all after it that the provider has."""
    taken = stack.received(url)
    rows = stack.sql(SINCE, first)
    return [taken[one]["sent_at"] - float(at) for one, at in rows if one in taken]


@contextmanager
def provider(stack: Stack, name: str, latency: int = LATENCY, **fields: int) -> Iterator[str]:
    """A fake provider, and a connection to it that messages of the sender of that name take."""
    with stack.provider(name, "--latency-ms", str(latency)) as (_, port):
        url = f"http://127.0.0.1:{port}"
        with stack.detour(name, url, name.capitalize(), **fields):
            yield url


LEFT = "SELECT count(*) FROM dispatch_message WHERE sender = %s AND state IN ('queued', 'released', 'sending')"
LEFT_BY = """
SELECT count(*) FROM dispatch_message m JOIN dispatch_connection c ON c.id = m.connection_id
WHERE m.id = ANY(%s::uuid[]) AND c.name = %s
"""


def known(stack: Stack, sender: str, name: str) -> None:
    """Wait until each process has noticed the route."""

    def noticed() -> bool:
        ids = [stack.send(SILENT, **{"from": sender}) for _ in range(6)]
        eventually(lambda: stack.states(ids)["sent"] == 6, "they are sent", 30)
        return stack.sql(LEFT_BY, ids, name) == [(6,)]

    eventually(noticed, "the route is known", 60)


def drained(stack: Stack, count: int, sender: str, to: str = SILENT) -> tuple[float, Spent]:
    """Messages a second, and the CPU of each: from a full queue to the last one settled, or for `PATIENCE`."""
    lane = lane_of(stack, sender)
    with asleep(stack, *DELIVERING):
        [(account,)] = stack.sql("SELECT name FROM accounts_account ORDER BY created_at LIMIT 1")
        stack.queue(account, count, to=to, sender=sender, lane=lane)
        stack.sql("ANALYZE dispatch_message")
        busy = Busy()
    took, left = worked_off(lambda: int(stack.sql(LEFT, sender)[0][0]), count, PATIENCE)
    return (count - left) / took, busy.spent(max(1, count - left))


def lane_of(stack: Stack, sender: str) -> int:
    """Of the last message that this sender sent."""
    last = "SELECT lane FROM dispatch_message WHERE sender = %s ORDER BY created_at DESC LIMIT 1"
    return int(stack.sql(last, sender)[0][0])


def by_the_book(stack: Stack, url: str) -> float:
    """Messages a second of textbook Celery."""
    from tests.bench.bare import TABLE

    stack.sql(TABLE)
    stack.sql("TRUNCATE bare")
    stack.sql(
        "INSERT INTO bare (id, recipient, body) SELECT gen_random_uuid(), %s, 'hello' FROM generate_series(1, %s)",
        SILENT,
        TEXTBOOK,
    )
    environment = {
        "BROKER_URL": stack.servers.broker_url,
        "DATABASE_URL": stack.servers.database_url,
        "PROVIDER_URL": url,
        "PROVIDER_TOKEN": f"Bearer {SECRETS['SANDBOX_API_KEY']}",
    }
    os.environ["BROKER_URL"] = stack.servers.broker_url
    from tests.bench.textbook import send

    for (one,) in stack.sql("SELECT id::text FROM bare"):
        send.delay(one)
    flags = ("--pool", "prefork", "--concurrency", "8", "--loglevel", "ERROR", "--without-gossip", "--without-mingle")
    with TemporaryDirectory() as folder:
        worker = Process(
            "textbook", ["-m", "celery", "-A", "tests.bench.textbook", "worker", *flags], environment, Path(folder)
        )
        worker.start()
        try:
            sent = "SELECT count(sent_at), extract(epoch FROM max(sent_at) - min(sent_at)) FROM bare"
            eventually(lambda: stack.sql(sent)[0][0] == TEXTBOOK, "the textbook's are sent", 120, every=0.2)
            return TEXTBOOK / float(stack.sql(sent)[0][1])
        finally:
            worker.kill()
