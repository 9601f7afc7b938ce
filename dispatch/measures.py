"""How messages, connections, queues and dead letters stand, for the metrics (`sendmsg.telemetry.measuring`)."""

from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping
from datetime import datetime
from typing import Any, Final

from django.conf import settings
from django.db import connection as database
from django.db.models import Count, Min
from django.utils import timezone
from kombu import Connection as BrokerConnection

from dispatch import broker, directory, due, routes, routing, topology
from dispatch.due import Queue
from dispatch.lanes import lane_of
from dispatch.models import DeadLetter, Message
from dispatch.standings import standings
from dispatch.states import State
from dispatch.vitals import vitals
from dispatch.vocabulary import BreakerState, LetterState, Priority
from sendmsg.telemetry import gauges
from sendmsg.telemetry.gauges import Reading

BOUND: Final = 20_000  # due messages that are counted at the most, over all queues
LEAST: Final = 100  # of them of each queue, however many queues there are
LETTERS: Final = 10_000  # open dead letters that are counted at the most
HEAD: Final = 200  # messages of a queue that are looked at for one that could leave
NOBODY: Final = "-"  # for messages that no connection could take; no connection is called so
BREAKER: Final = {BreakerState.CLOSED: 0, BreakerState.HALF_OPEN: 1, BreakerState.OPEN: 2}

DEPTHS = """
SELECT q.lane, q.priority, m.count FROM unnest(%(lanes)s::bigint[], %(priorities)s::int[], %(accounts)s::uuid[])
    AS q(lane, priority, account_id)
CROSS JOIN LATERAL (
    SELECT count(*) FROM (
        SELECT FROM dispatch_message
        WHERE state = 'queued' AND lane = q.lane AND priority = q.priority AND account_id = q.account_id
            AND due_at <= %(now)s
        LIMIT %(bound)s
    ) counted
) m
"""
# What stands at the head of a queue may have to wait for a connection of its own (`dispatch.due`).
LEAVING = """
SELECT min(m.due_at) FROM unnest(%(lanes)s::bigint[], %(priorities)s::int[], %(accounts)s::uuid[])
    AS q(lane, priority, account_id)
CROSS JOIN LATERAL (
    SELECT due_at FROM (
        SELECT due_at, in_doubt, connection_id, chosen_connection_id FROM dispatch_message
        WHERE state = 'queued' AND lane = q.lane AND priority = q.priority AND account_id = q.account_id
            AND due_at <= %(now)s
        ORDER BY due_at LIMIT %(bound)s
    ) head
    WHERE (chosen_connection_id IS NULL OR chosen_connection_id = ANY(%(open)s))
        AND (NOT in_doubt OR connection_id = ANY(%(open)s))
    ORDER BY due_at LIMIT 1
) m
"""


def messages() -> Iterator[Reading]:
    """What is due, by everybody who could take it; and what is under way."""
    now = timezone.now()
    entries, book = directory.entries(), routes.book()
    waiting = [queue for queue in due.queues() if queue.due_at <= now]
    takers = {
        queue.lane: {
            way.entry.id: way.entry.name for way in routing.options(lane_of(queue.lane), entries.values(), book)
        }
        for queue in waiting
    }
    yield from _due(waiting, {lane: [*found.values()] for lane, found in takers.items()}, now)
    standing = standings(entries)
    room = {entry.id for entry in entries.values() if standing[entry.id].room > 0}
    able = [queue for queue in waiting if room & takers[queue.lane].keys()]
    leaving = _rows(LEAVING, able, now, HEAD, open=list(room))[0][0] if able else None
    yield Reading(gauges.RELAY_LAG, _age(leaving, now))
    yield from _under_way({entry.id: entry.name for entry in entries.values()}, now)


def connections() -> Iterator[Reading]:
    """Of breakers nothing while Redis is away."""
    entries = directory.entries()
    for name, entry in entries.items():
        yield Reading(gauges.PAUSED, float(entry.paused_at is not None), (name,))
    for name, health in vitals(entries).items():
        yield Reading(gauges.BREAKER, BREAKER[health.state], (name,))
        yield Reading(gauges.WEIGHT, entries[name].weight * health.factor, (name,))


def queues() -> Iterator[Reading]:
    """What the broker holds; who listens is not to be had of a Redis."""
    connection = broker.connect()
    try:
        for name in directory.entries():
            found = _look(connection, topology.deliver_queue(name).name)
            if found is not None:
                yield Reading(gauges.QUEUE_TASKS, found[0], (name,))
                if settings.BROKER_IS_RABBITMQ:
                    yield Reading(gauges.QUEUE_CONSUMERS, found[1], (name,))
        if settings.BROKER_IS_RABBITMQ:
            dead = _look(connection, topology.DEAD_QUEUE.name) or (0, 0)
            yield Reading(gauges.DEAD_TASKS, dead[0])
            stored = _look(connection, topology.RECEIPTS_QUEUE.name) or (0, 0)
            yield Reading(gauges.BUFFERED, stored[0], ("broker",))
    finally:
        broker.drop(connection)


def letters() -> Iterator[Reading]:
    letters = DeadLetter.objects.filter(state=LetterState.OPEN).order_by("id")
    oldest = letters.values_list("created_at", flat=True).first()
    yield Reading(gauges.LETTERS, letters[:LETTERS].count())
    yield Reading(gauges.LETTERS_OLDEST, _age(oldest, timezone.now()))


def _due(waiting: Collection[Queue], takers: Mapping[int, Collection[str]], now: datetime) -> Iterator[Reading]:
    """A message counts at each connection that could take it, and so does the age of the oldest."""
    oldest: dict[tuple[str, str], datetime] = {}
    depth: defaultdict[tuple[str, str], int] = defaultdict(int)
    for queue in waiting:
        for name in takers[queue.lane] or [NOBODY]:
            key = name, Priority(queue.priority).label
            oldest[key] = min(oldest.get(key, queue.due_at), queue.due_at)
    if waiting:
        for lane, priority, count in _rows(DEPTHS, waiting, now, max(LEAST, BOUND // len(waiting))):
            for name in takers[lane] or [NOBODY]:
                depth[name, Priority(priority).label] += count
    for key, since in oldest.items():
        yield Reading(gauges.DUE, depth[key], key)
        yield Reading(gauges.DUE_OLDEST, _age(since, now), key)


def _under_way(names: Mapping[int, str], now: datetime) -> Iterator[Reading]:
    rows = Message.objects.filter(state__in=[State.RELEASED, State.SENDING]).order_by()
    for connection_id, state, count, since in rows.values_list("connection_id", "state").annotate(
        count=Count("id"), since=Min("updated_at")
    ):
        labels = names.get(connection_id or 0, NOBODY), state
        yield Reading(gauges.UNDER_WAY, count, labels)
        yield Reading(gauges.UNDER_WAY_OLDEST, _age(since, now), labels)


def _rows(statement: str, of: Collection[Queue], now: datetime, bound: int, **more: Any) -> list[tuple[Any, ...]]:
    parameters: dict[str, Any] = {
        "lanes": [queue.lane for queue in of],
        "priorities": [queue.priority for queue in of],
        "accounts": [str(queue.account_id) for queue in of],
        "now": now,
        "bound": bound,
        **more,
    }
    with database.cursor() as cursor:
        cursor.execute(statement, parameters)
        return list(cursor.fetchall())


def _age(since: datetime | None, now: datetime) -> float:
    """Seconds; 0 where there is nothing."""
    return max(0.0, (now - since).total_seconds()) if since is not None else 0.0


def _look(connection: BrokerConnection, queue: str) -> tuple[int, int] | None:
    """Tasks on a queue that wait, and who listens to it; None where nobody has declared it yet."""
    missing: Any = connection.channel_errors
    channel: Any = connection.channel()  # a question for what is not there closes it
    try:
        found = channel.queue_declare(queue=queue, passive=True)
    except missing:
        return None
    finally:
        channel.close()
    return found.message_count, found.consumer_count
