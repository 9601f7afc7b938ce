"""The retention drill: old rows by the million leave both databases while others read and write beside them.

    make drill-retention                                         300,000 messages and 3,000,000 events; some minutes
    make drill-retention ARGS="--messages 500000 --staying 9500000 --events 10000000"    beside messages that stay

It prints what it measured and ends with exit code 0 only if everything left, every row is in a file, and nobody waited
for a lock for a second. How long others took beside it is compared with how long they take without it: a machine that
is busy makes everybody slow.
"""

import argparse
import os
import sys
import tempfile
import threading
import time
from base64 import urlsafe_b64encode
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

from tests.ids import ID
from tests.servers.obtain import shipped_postgres

LONGEST = 1.0  # seconds that anybody may wait for a lock
PROBE = 0.02  # seconds between what others do, and between looks at who waits
ALONE = 15.0  # seconds in which they are measured without the archive
WAITING = """
SELECT COALESCE(max(extract(epoch FROM clock_timestamp() - waitstart)), 0)::float FROM pg_locks WHERE NOT granted
"""
ACCOUNTS = 20
DAYS = 5  # that the messages are of; the events are of one day
AGE, YOUNG = 400, 1  # days
SECRET = "a-secret-key-for-drills-that-is-long-enough-to-pass-every-check"

AT = f"now() - %(age)s::interval - n %% {DAYS} * interval '1 day'"
MESSAGES = f"""
INSERT INTO dispatch_message (
    id, account_id, test, channel, "to", sender, body, segments, encoding, priority, client_reference, metadata, state,
    tries, release, in_doubt, error_code, error_detail, due_at, expires_at, created_at, updated_at
)
SELECT {ID.format(at=AT)}, (%(accounts)s::uuid[])[1 + n %% {ACCOUNTS}], false, 'sms',
    '+4477' || lpad((n %% 100000)::text, 8, '0'), 'Acme', repeat('Hello ', CASE WHEN n %% 10 = 0 THEN 40 ELSE 10 END),
    1, 'gsm7', 2, '', '{{}}', 'delivered', 1, 1, false, '', '', {AT}, {AT}, {AT}, {AT}
FROM generate_series(%(first)s, %(last)s) AS n
"""
EVENTS = f"""
INSERT INTO logs_event (id, message_id, account_id, type, at, data)
SELECT gen_random_uuid(), {ID.format(at="at")}, (%(accounts)s::uuid[])[1 + n %% {ACCOUNTS}], 'sent', at,
    '{{"connection": "main", "attempt": 1}}'
FROM generate_series(%(first)s, %(last)s) AS n,
    LATERAL (SELECT %(day)s::timestamptz + n %% 86000 * interval '1 second' AS at) AS moment
"""
CHUNK = 100_000  # rows an insert
LOCKS = "waiting for a lock"


class Drill:
    def __init__(self) -> None:
        self.failures = 0
        self.worst: dict[str, float] = {}

    def check(self, what: str, holds: bool) -> None:
        print(f"  {'ok  ' if holds else 'FAIL'}  {what}", flush=True)
        self.failures += not holds

    def fill(self, messages: int, staying: int, events: int) -> list[UUID]:
        """The accounts."""
        from django.db import connection, connections, transaction
        from django.utils import timezone

        from sendmsg.accounts.models import Account
        from sendmsg.logs import partitions

        accounts = [Account.objects.create(name=f"Account {number}").id for number in range(ACCOUNTS)]
        day = (timezone.now() - timedelta(days=AGE)).date()
        with transaction.atomic(using="logs"):
            partitions.ensure_day(day)
        for database, statement, count, age in (
            (connection, MESSAGES, staying, YOUNG),
            (connection, MESSAGES, messages, AGE),
            (connections["logs"], EVENTS, events, AGE),
        ):
            with database.cursor() as cursor:
                for first in range(1, count + 1, CHUNK):
                    last = min(first + CHUNK - 1, count)
                    values: dict[str, Any] = {
                        "accounts": [str(account) for account in accounts],
                        "first": first,
                        "last": last,
                        "age": f"{age} days",
                        "day": day.isoformat(),
                    }
                    cursor.execute(statement, values)
        return accounts

    @contextmanager
    def beside(self) -> Iterator[None]:
        """What others do meanwhile, each in a thread; the longest of each, and of waits for locks, is in `worst`."""
        self.worst, ended = {}, threading.Event()
        measured = {**{name: stopwatch(act) for name, act in probes().items()}, LOCKS: longest_wait}
        threads = [threading.Thread(target=self._probe, args=(*one, ended)) for one in measured.items()]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            ended.set()
            for thread in threads:
                thread.join()

    def _probe(self, name: str, measure: Callable[[], float], ended: threading.Event) -> None:
        from django.db import connections

        while not ended.wait(PROBE):
            self.worst[name] = max(self.worst.get(name, 0.0), measure())
        connections.close_all()


def stopwatch(act: Callable[[], object]) -> Callable[[], float]:
    def measure() -> float:
        started = time.monotonic()
        act()
        return time.monotonic() - started

    return measure


def longest_wait() -> float:
    """Seconds that somebody waits for a lock now, in either database: `pg_locks` has those of the whole server."""
    from django.db import connections

    found = 0.0
    for alias in ("default", "logs"):
        with connections[alias].cursor() as cursor:
            cursor.execute(WAITING)
            found = max(found, *(cursor.fetchone() or (0.0,)))
    return found


def probes() -> dict[str, Callable[[], object]]:
    from dispatch import transitions
    from dispatch.changes import Change
    from dispatch.models import Message
    from dispatch.states import State
    from sendmsg.accounts.models import Account
    from sendmsg.logs.models import Event
    from tests.factories import make_message
    from tests.logs.lines import line, write

    account, _ = Account.objects.get_or_create(name="Beside")
    sent = make_message(account, State.SENT)

    def deliver() -> None:
        transitions.apply([Change(make_message(account, State.SENT).id, State.DELIVERED)])

    return {
        "accepting a message": lambda: make_message(account),
        "delivering one": deliver,
        "listing an account's": lambda: list(Message.objects.filter(account=account)[:50]),
        "writing an event": lambda: write([line(at=sent.created_at)]),
        "reading a timeline": lambda: list(Event.objects.filter(message_id=sent.id)),
    }


def timed(what: str, count: int, act: Callable[[], Any]) -> None:
    started = time.monotonic()
    while act():
        pass
    seconds = time.monotonic() - started
    print(f"        {what}: {count:,} in {seconds:.0f} s, {count / max(seconds, 0.001):,.0f} a second", flush=True)


def drill(messages: int, staying: int, events: int) -> int:
    from django.db.models import Sum
    from django.utils import timezone

    from dispatch.models import Message
    from dispatch.retention import bodies
    from dispatch.retention import messages as old
    from sendmsg.logs import partitions
    from sendmsg.logs.archive import timeline
    from sendmsg.logs.archive.leaving import Leaving, leaving
    from sendmsg.logs.models import ArchiveFile

    run, now = Drill(), timezone.now()
    accounts = run.fill(messages, staying, events)
    print(
        f"{messages:,} old messages of {ACCOUNTS} accounts, {staying:,} that stay, {events:,} events of a day",
        flush=True,
    )
    partitions.make_ahead(now.date())
    with run.beside():
        time.sleep(ALONE)
    alone = run.worst
    with run.beside():
        timed("long texts shortened", messages // 10, lambda: bodies.step(now))
        timed("messages archived and deleted", messages, lambda: old.step(now, lambda: False))
        one = Leaving(now, timedelta(days=2 * AGE), {accounts[0]: timedelta(days=AGE // 2)})
        count = events // ACCOUNTS
        timed("events of one account archived and deleted", count, lambda: timeline.step(one, lambda: False))
        timed("events archived and dropped", events - count, lambda: timeline.step(leaving(now), lambda: False))
    for name, seconds in run.worst.items():
        print(
            f"        {name} took {seconds:.3f} s at the worst, and {alone[name]:.3f} s without the archive", flush=True
        )
    run.check(f"nobody waited for a lock for {LONGEST:.0f} s", run.worst[LOCKS] < LONGEST)
    archived = dict(ArchiveFile.objects.values_list("kind").annotate(Sum("rows")).order_by())
    run.check(f"archived: {archived}", archived == {"messages": messages, "events": events})
    left = Message.objects.filter(created_at__lt=now - timedelta(days=100)).count()
    run.check(f"{left} old messages left", not left)
    return run.failures


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="make drill-retention", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--messages", type=int, default=300_000)
    parser.add_argument("--staying", type=int, default=0)
    parser.add_argument("--events", type=int, default=3_000_000)
    options = parser.parse_args(arguments)
    postgres = shipped_postgres()
    postgres.start()
    with tempfile.TemporaryDirectory(prefix="sendmsg drill ") as folder:
        os.environ |= {
            "DJANGO_SETTINGS_MODULE": "sendmsg.settings",
            "SECRET_KEY": SECRET,
            "CREDENTIALS_KEYS": urlsafe_b64encode(b"k" * 32).decode(),
            "DATABASE_URL": postgres.database_url,
            "LOGS_DATABASE_URL": postgres.logs_database_url,
            "ARCHIVE_URL": f"file://{Path(folder).as_posix().replace(' ', '%20')}",
        }
        import django
        from django.core.management import call_command
        from django.db import connections

        django.setup()
        call_command("migrate", verbosity=0)
        call_command("migrate", database="logs", verbosity=0)
        failures = drill(options.messages, options.staying, options.events)
        connections.close_all()
    postgres.remove()
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
