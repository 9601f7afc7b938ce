"""Many messages at once: stored by COPY, their events in entries of a thousand, all in the caller's transaction.

A row that comes from here is the row that `dispatch.acceptance` would have made; a test holds the two together.
"""

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from io import StringIO
from itertools import islice
from types import MappingProxyType
from typing import Any, Final, NamedTuple, TypeVar
from uuid import UUID

from django.db import connection as database
from django.db import transaction
from uuid_utils import uuid7

from dispatch import acceptance, wakeup
from dispatch.models import Message
from dispatch.models.messages import SHORT
from dispatch.routes import Subject
from dispatch.states import State
from dispatch.suitability import Carriers
from sendmsg.api.authentication import Client
from sendmsg.journal.events import Event, record
from sendmsg.telemetry import metrics, steps, traces
from sendmsg.telemetry.spans import Data
from sendmsg.written import moment_text, uuid_text

EVENTS: Final = 1000  # events of one journal entry, about 250 kB
READ: Final = 1 << 17  # characters of a COPY at a time; psycopg2's 8 kB are 400 turns at the interpreter for a chunk
CHUNK: Final = 5000  # rows of one COPY; about a quarter of a second, and a few megabytes

Item = TypeVar("Item")


class NewRow(NamedTuple):
    """A message that was found right; a tuple, for a broadcast makes a hundred thousand.

    `id`: as text, which is all that is made of it here. `now`: when it was accepted.
    `sealed_body`: what the column holds, where many rows say the same and it was encrypted once for all of them.
    """

    id: str
    begun: traces.Begun
    subject: Subject
    lane: int
    body: str
    segments: int
    encoding: str
    now: datetime
    due_at: datetime
    expires_at: datetime
    send_at: datetime | None = None
    client_reference: str = ""
    metadata: Mapping[str, str] = MappingProxyType({})
    callback_url: str = ""
    broadcast_id: UUID | None = None
    sealed_body: str = ""

    @property
    def stored_body(self) -> str:
        """What the column holds: encrypted, as an INSERT by the model would."""
        return self.sealed_body or sealed(self.body)

    @property
    def long(self) -> bool:
        return len(self.body) > SHORT


def row_of(
    client: Client, wanted: dict[str, Any], carriers: Carriers, now: datetime, begun: traces.Begun | None = None
) -> NewRow:
    """The row of a validated `NewMessage`. Raises ValidationError if no connection could ever carry it."""
    subject = acceptance.subject_of(client, wanted)
    acceptance.refuse_unsuited(carriers.judge(subject, wanted["body"]))
    due_at, expires_at = acceptance.schedule(wanted, now)
    return NewRow(
        id=new_id(),
        begun=begun or traces.begin_own(),
        subject=subject,
        lane=carriers.lane(subject).number,
        body=wanted["body"],
        segments=wanted["segments"],
        encoding=wanted["encoding"],
        now=now,
        due_at=due_at,
        expires_at=expires_at,
        send_at=wanted.get("send_at"),
        client_reference=wanted.get("client_reference", ""),
        metadata=wanted.get("metadata", {}),
        callback_url=wanted.get("callback_url", ""),
    )


def new_id() -> str:
    return str(uuid7())


def store(rows: Sequence[NewRow]) -> None:
    """Insert the rows and their first events. Needs the caller's transaction; all of it happens or nothing."""
    if not rows:
        return
    copy(rows)
    for batch in chunks(rows, EVENTS):
        record([event_of(row) for row in batch])
    counts = Counter((row.subject.channel, row.subject.test) for row in rows)
    due = any(row.due_at <= row.now for row in rows)
    # Without the rows: a broadcast has many chunks.
    traced = [(row.begun, _traced(row)) for row in rows if row.begun.column or steps.on()]
    at = rows[0].now
    transaction.on_commit(lambda: _after_commit(counts, due, traced, at))


def copy(rows: Iterable[NewRow]) -> None:
    """The rows by COPY, without events."""
    request_id = acceptance.request_id()
    lines = StringIO("".join(_line(row, request_id) for row in rows))
    # psycopg2's own, which Django's cursor hands out without translating what it raises.
    with database.cursor() as cursor, database.wrap_database_errors:
        cursor.copy_expert(_STATEMENT, lines, READ)


def sealed(body: str) -> str:
    """A text as its column holds it."""
    return _BODY.get_prep_value(body) or ""


def chunks(items: Iterable[Item], size: int) -> Iterator[list[Item]]:
    iterator = iter(items)
    while chunk := list(islice(iterator, size)):
        yield chunk


COLUMNS: Final = (
    "id", "account_id", "test", "lane", "channel", "to", "sender", "body", "long", "segments", "encoding", "priority",
    "client_reference", "metadata", "callback_url", "send_at", "due_at", "expires_at", "created_at", "updated_at",
    "broadcast_id", "trace", "request_id", "state", "release", "tries", "in_doubt", "error_code", "error_detail",
)  # fmt: skip
_BODY: Final = Message._meta.get_field("body")
_NEW: Final = f"{State.QUEUED.value}\t0\t0\tf\t\t\n"  # the last six: what every new message is
_STATEMENT: Final = (
    f"COPY {Message._meta.db_table} ({', '.join(f'{chr(34)}{column}{chr(34)}' for column in COLUMNS)}) FROM STDIN"
)
# COPY's text format (PostgreSQL, "COPY", section "Text Format").
_ESCAPED: Final = str.maketrans({"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r"})
_NULL: Final = "\\N"


def _line(row: NewRow, request_id: str) -> str:
    subject = row.subject
    now = moment_text(row.now)
    return "\t".join(
        (
            row.id,
            uuid_text(subject.account_id),
            "t" if subject.test else "f",
            str(row.lane),
            subject.channel,
            subject.to,
            subject.sender.translate(_ESCAPED),
            row.stored_body.translate(_ESCAPED),
            "t" if row.long else "f",
            str(row.segments),
            row.encoding,
            str(int(subject.priority)),
            row.client_reference.translate(_ESCAPED),
            json.dumps(dict(row.metadata)).translate(_ESCAPED) if row.metadata else "{}",
            row.callback_url.translate(_ESCAPED),
            moment_text(row.send_at) if row.send_at else _NULL,
            moment_text(row.due_at),
            moment_text(row.expires_at),
            now,
            now,
            uuid_text(row.broadcast_id) if row.broadcast_id else _NULL,
            row.begun.column,
            request_id,
            _NEW,
        )
    )


def event_of(row: NewRow) -> Event:
    return acceptance.first_event(row.subject, row.id, row.segments, row.now, row.broadcast_id)


def _traced(row: NewRow) -> Data:
    data: dict[str, str | int] = {"message_id": row.id, "channel": row.subject.channel, "segments": row.segments}
    return data | ({"broadcast_id": str(row.broadcast_id)} if row.broadcast_id else {})


def _after_commit(
    counts: Mapping[tuple[str, bool], int], due: bool, traced: Sequence[tuple[traces.Begun, Data]], at: datetime
) -> None:
    for (channel, test), count in counts.items():
        metrics.ACCEPTED.labels(channel, "test" if test else "live").inc(count)
    for begun, data in traced:
        traces.accepted(begun, at, data)
        if steps.on():
            steps.log("accepted", **data)
    if due:
        wakeup.ring()
