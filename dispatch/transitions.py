"""The one function through which a message changes its state.

`apply` moves a batch in ONE statement: it locks the rows in order of id (so that two batches can't deadlock), checks
each change against the graph of `dispatch.states` and against the release it belongs to, writes the events to the
journal, the dead letters of those that failed for good, and announcements for clients that listen. All of it happens,
or none; a change whose edge does not exist any more is passed over and missing from the answer. A replay or a re-route
counts as a release, so that whoever still holds the last one finds nothing to change. A message that turns out to have
been delivered closes its own letter. One whose text was shortened or whose recipient was erased never queues again.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from uuid import UUID

from django.db import connection as database
from django.db import transaction

from dispatch import spans
from dispatch.changes import Change, columns
from dispatch.states import ANNOUNCED, DEAD, EDGES, FINAL, State
from dispatch.vocabulary import Priority
from sendmsg.prepared import Prepared
from sendmsg.telemetry import metrics, steps

# A provider has had the message, or never will in time: what expired is late for certain.
SETTLED = frozenset({State.SENT, State.DELIVERED, State.UNDELIVERED, State.EXPIRED})
UNSETTLED = frozenset({State.QUEUED, State.SENDING})

# Both `locked` and the UPDATE see one row: FOR UPDATE waits for a rival and re-reads, and the UPDATE re-checks its
# conditions against that newest version (EvalPlanQual), so a state that a rival has just moved is not moved twice.
STATEMENT = Prepared("""
WITH kind AS (
    SELECT * FROM unnest(
        %(target)s::text[], %(due_at)s::timestamptz[], %(expires_at)s::timestamptz[], %(lease_until)s::timestamptz[],
        %(connection)s::bigint[], %(option)s::bigint[], %(in_doubt)s::bool[], %(doubt_until)s::timestamptz[],
        %(failed)s::bool[], %(avoid)s::bool[], %(refused)s::text[], %(code)s::text[], %(detail)s::text[]
    ) WITH ORDINALITY AS k(
        target, due_at, expires_at, lease_until, connection_id, option, in_doubt, doubt_until, failed, avoid, refused,
        code, detail, number
    )
), edge AS (
    SELECT k.number, e.source
    FROM kind k JOIN unnest(%(sources)s::text[], %(targets)s::text[]) AS e(source, target) ON e.target = k.target
), locked AS (
    SELECT id, state, updated_at FROM dispatch_message WHERE id = ANY(%(id)s::uuid[]) ORDER BY id FOR UPDATE
), moved AS (
    UPDATE dispatch_message m SET
        state = c.target,
        release = m.release
            + (c.target = 'released' OR (c.target = 'queued' AND l.state = ANY(%(ended)s::text[])))::int,
        tries = m.tries + (c.target = 'sending')::int,
        lane = CASE WHEN c.target = 'queued' THEN abs(m.lane) ELSE m.lane END,
        sequence = m.sequence + (c.target = ANY(%(announced)s::text[]))::int,
        due_at = COALESCE(c.due_at, m.due_at),
        expires_at = COALESCE(c.expires_at, m.expires_at),
        lease_until = c.lease_until,
        connection_id = COALESCE(c.connection_id, m.connection_id),
        option = COALESCE(c.option, m.option),
        failures = CASE WHEN l.state = ANY(%(dead)s::text[]) THEN 0 ELSE m.failures + c.failed::int END,
        avoided = CASE WHEN l.state = ANY(%(dead)s) THEN NULL WHEN c.avoid THEN m.option ELSE m.avoided END,
        refused = CASE WHEN l.state = ANY(%(dead)s) THEN '{}' ELSE m.refused || c.refused::bigint[] END,
        in_doubt = COALESCE(c.in_doubt, m.in_doubt),
        doubt_until = CASE WHEN NOT c.in_doubt THEN NULL ELSE COALESCE(m.doubt_until, c.doubt_until) END,
        error_code = COALESCE(c.code, m.error_code),
        error_detail = COALESCE(c.detail, m.error_detail),
        updated_at = clock_timestamp()
    FROM unnest(%(id)s, %(release)s::int[], %(kind)s::bigint[], %(data)s::text[], %(letter)s::uuid[])
        AS one(id, release, kind, data, letter)
    JOIN locked l ON l.id = one.id
    JOIN kind c ON c.number = one.kind
    JOIN edge ON edge.number = one.kind AND edge.source = l.state
    WHERE m.id = l.id AND (one.release IS NULL OR one.release = m.release)
        AND (c.target <> 'queued' OR (m.body_length IS NULL AND m."to" <> ''))
    RETURNING m.id, m.account_id, m.test, m.connection_id, m.release, m.tries, l.state AS source, m.state AS target,
        m.error_code, m.error_detail, m.updated_at, m.sequence, m.callback_url, one.data, one.letter, m.priority,
        extract(epoch FROM m.updated_at - GREATEST(m.created_at, m.send_at)) AS age,
        m.trace, m.request_id,
        CASE WHEN l.state = 'queued' THEN GREATEST(l.updated_at, LEAST(m.due_at, m.updated_at)) ELSE l.updated_at END
        AS since
), journaled AS (
    INSERT INTO journal_journalentry (events)
    SELECT '[' || string_agg(concat(
        '{"id": "', gen_random_uuid(), '", "message": "', id, '", "account": "', account_id,
        '", "type": "', CASE
            WHEN target <> 'queued' THEN target
            WHEN source = ANY(%(dead)s) THEN 'replayed'
            ELSE 'retrying'
        END,
        '", "at": "', to_char(updated_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"+00:00"'),
        '", "data": {', data, CASE WHEN tries > 0 AND data <> '' THEN ', ' END,
        CASE WHEN tries > 0 THEN '"attempt": ' || tries END, '}}'
    ), ', ') || ']' FROM moved HAVING count(*) > 0
), announced AS (
    INSERT INTO dispatch_announcement (account_id, test, type, message_id, sequence, data, url, at)
    SELECT account_id, test, 'message.' || target, id, sequence, jsonb_build_object(
        'connection', connection_id, 'code', error_code, 'detail', error_detail
    ), callback_url, updated_at
    FROM moved m WHERE target = ANY(%(announced)s) AND (callback_url <> '' OR EXISTS (
        SELECT FROM dispatch_listener l WHERE l.account_id = m.account_id AND l.test = m.test
    ))
), dead AS (
    INSERT INTO dispatch_deadletter (
        id, message_id, account_id, test, connection_id, reason, detail, queue, task, state, handled_by, note
    )
    SELECT letter, id, account_id, test, connection_id, COALESCE(NULLIF(error_code, ''), target), error_detail,
        '', '', 'open', '', ''
    FROM moved WHERE target = ANY(%(dead)s) AND source <> 'sent'
), resolved AS (
    UPDATE dispatch_deadletter d SET state = 'resolved', handled_at = m.updated_at, handled_by = 'receipt'
    FROM moved m
    WHERE m.target = 'delivered' AND m.source = ANY(%(dead)s) AND d.message_id = m.id AND d.state = 'open'
)
SELECT id, release, tries, source, target, trace, request_id, since, updated_at, priority, test, sequence, age
FROM moved
""")


@dataclass(frozen=True, slots=True)
class Moved:
    """A change that happened: the release and the number of tries are those after it.

    `trace`, `request_id`: the message's columns. `since`: when it came to its source state, or was due in it. `at`:
    when it left it.
    """

    message_id: UUID
    release: int
    tries: int
    source: State
    target: State
    trace: str = field(default="", compare=False)
    request_id: str = field(default="", compare=False)
    since: datetime | None = field(default=None, compare=False)
    at: datetime | None = field(default=None, compare=False)


def apply(changes: Sequence[Change]) -> list[Moved]:
    """Make the changes that the graph still allows; at most one change a message. Those made are returned."""
    if not changes:
        return []
    with database.cursor() as cursor:
        STATEMENT.run(cursor, {**columns(changes), **_GRAPH})
        rows = cursor.fetchall()
    moved = [Moved(row[0], row[1], row[2], _STATES[row[3]], _STATES[row[4]], *row[5:9]) for row in rows]
    for move, row in zip(moved, rows, strict=True):
        _count(move, *row[9:])
    queued = {move.message_id for move in moved if move.target is State.QUEUED}
    metrics.RETRIES.inc(sum(change.failed and change.message_id in queued for change in changes))
    _tell(changes, moved)
    return moved


def _tell(changes: Sequence[Change], moved: Sequence[Moved]) -> None:
    """The traces and the log, once it is committed."""
    told = moved if steps.on() else [move for move in moved if move.trace]
    if told:
        wanted = {change.message_id: change for change in changes}
        pairs = [(move, wanted[move.message_id]) for move in told]
        transaction.on_commit(lambda: spans.moved(pairs), robust=True)


def _count(move: Moved, priority: int, test: bool, sequence: int, age: Decimal) -> None:
    """`sequence`: of the states that say something about the provider, after the move. `age`: seconds since the message
    was accepted, or was to be sent."""
    labels = Priority(priority).label, "test" if test else "live"
    if move.target in SETTLED and move.source in UNSETTLED and sequence == 1:
        metrics.HANDED_OVER.labels(*labels).observe(max(0.0, float(age)))
    if move.target is State.DELIVERED:
        metrics.DELIVERED.labels(*labels).observe(max(0.0, float(age)))
    if move.target in FINAL:
        metrics.FINAL.labels(move.target.value).inc()
    if move.target in DEAD and move.source is not State.SENT:
        metrics.DEAD_LETTERS.labels("message").inc()


def _values(states: Iterable[State]) -> list[str]:
    return sorted(state.value for state in states)


_STATES = {state.value: state for state in State}
_GRAPH = {
    "sources": [source.value for source, _ in sorted(EDGES)],
    "targets": [target.value for _, target in sorted(EDGES)],
    "dead": _values(DEAD),
    "announced": _values(ANNOUNCED),
    "ended": _values(DEAD | {State.SENT}),
}
