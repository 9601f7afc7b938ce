"""Stores one message by one statement: the row, its first event, and the answer kept for a repeat; all or nothing.

Seven statements do the same in `dispatch.acceptance` and `sendmsg.api.idempotency`, with a word for each thing that can
be wrong. This one has no words: it stores nothing when the key is no longer good, the recipient wants no messages, or a
request with the same `Idempotency-Key` was answered or is under way; and whoever asked goes the long way to hear why.

Two requests with one key: the second finds the lock taken, or the first one's answer there (the record's constraint
sees also what was committed after this statement began), and stores nothing.

The statement is prepared once for each database connection: planning it would take longer than doing it.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

from django.db import connection

from dispatch import acceptance
from dispatch.bulk.copying import COLUMNS, NewRow, event_of
from dispatch.models import Message
from dispatch.states import State
from sendmsg.api import idempotency, known
from sendmsg.api.authentication import Client
from sendmsg.api.models import IdempotencyRecord
from sendmsg.journal.events import entry
from sendmsg.journal.models import JournalEntry
from sendmsg.prepared import Prepared

STATEMENT: Final = """
WITH allowed AS MATERIALIZED (
    SELECT FROM (SELECT {still_good}) AS key
    WHERE NOT EXISTS (
        SELECT FROM dispatch_suppression WHERE account_id = {account_id} AND test = {test} AND recipient = {to}
            AND sender IN ('', {sender}) AND channel IN ('', {channel})
    )
), {record} message AS (
    INSERT INTO dispatch_message ({columns}) SELECT {values} FROM {when} RETURNING id
)
INSERT INTO {journal} (events) SELECT {events} FROM message
"""
RECORD: Final = """
locked AS MATERIALIZED (SELECT FROM allowed WHERE pg_try_advisory_xact_lock({lock})),
record AS (
    INSERT INTO {records} (account_id, mode, endpoint, key, fingerprint, status, headers, body, created_at)
    SELECT {account_id}, {mode}, {endpoint}, {key}, {fingerprint}, 202, {headers}, {body_told}, {created_at}
    FROM locked ON CONFLICT DO NOTHING RETURNING id
),
"""
OWN: Final[Mapping[str, str]] = {"key_id": "uuid", "default_sender": "varchar", "events": "text"}
OF_RECORD: Final[Mapping[str, str]] = {
    "lock": "bigint",
    "mode": "varchar",
    "endpoint": "varchar",
    "key": "varchar",
    "fingerprint": "varchar",
    "headers": "jsonb",
    "body_told": "text",
}
"""Parameters beside the message's columns, and their types."""


@dataclass(frozen=True, slots=True)
class Repeatable:
    """What a repeat of the request is told, and by what it is known. `body`: the JSON that is answered."""

    scope: idempotency.Scope
    fingerprint: str
    headers: Mapping[str, str]
    body: str


def store(row: NewRow, client: Client, repeatable: Repeatable | None) -> bool:
    """Whether all of it was stored, and committed: must not be called inside a transaction."""
    values = {
        **_columns(row),
        "key_id": str(client.key_id),
        "default_sender": client.default_sender,
        "events": entry([event_of(row)]),
    }
    if repeatable is not None:
        scope = repeatable.scope
        values |= {
            "lock": scope.lock,
            "mode": scope.mode.value,
            "endpoint": scope.endpoint,
            "key": scope.key,
            "fingerprint": idempotency.to_store(repeatable.fingerprint),
            "headers": json.dumps(dict(repeatable.headers)),
            "body_told": _TOLD.get_db_prep_save(repeatable.body, connection),
        }
    return _WITH_RECORD.run(values) if repeatable is not None else _ALONE.run(values)


def _columns(row: NewRow) -> dict[str, Any]:
    subject = row.subject
    return {
        "id": row.id,
        "account_id": str(subject.account_id),
        "test": subject.test,
        "lane": row.lane,
        "channel": subject.channel,
        "to": subject.to,
        "sender": subject.sender,
        "body": row.stored_body,
        "long": row.long,
        "segments": row.segments,
        "encoding": row.encoding,
        "priority": int(subject.priority),
        "client_reference": row.client_reference,
        "metadata": json.dumps(dict(row.metadata)),
        "callback_url": row.callback_url,
        "send_at": row.send_at,
        "due_at": row.due_at,
        "expires_at": row.expires_at,
        "created_at": row.now,
        "updated_at": row.now,
        "broadcast_id": None,
        "trace": row.begun.column,
        "request_id": acceptance.request_id(),
        "state": State.QUEUED.value,
        "release": 0,
        "tries": 0,
        "in_doubt": False,
        "error_code": "",
        "error_detail": "",
    }


_TOLD: Final = IdempotencyRecord._meta.get_field("body")  # encrypts


class _Statement:
    """One shape of the statement, made at its first use: types of columns are asked of the database's driver."""

    def __init__(self, with_record: bool) -> None:
        self._with_record = with_record

    def run(self, values: Mapping[str, Any]) -> bool:
        with connection.cursor() as cursor:
            self._prepared.run(cursor, values)
            return bool(cursor.rowcount)

    @cached_property
    def _prepared(self) -> Prepared:
        types = {**{name: _type(name) for name in COLUMNS}, **OWN, **(OF_RECORD if self._with_record else {})}
        at = {name: f"%({name})s::{kind}" for name, kind in types.items()}
        still_good = known.STILL_GOOD.format(
            key=at["key_id"], now=at["created_at"], default_sender=at["default_sender"]
        )
        record = RECORD.format(**at, records=IdempotencyRecord._meta.db_table) if self._with_record else ""
        return Prepared(
            STATEMENT.format(
                **at,
                still_good=still_good,
                record=record,
                columns=", ".join(f'"{name}"' for name in COLUMNS),
                values=", ".join(at[name] for name in COLUMNS),
                when="record" if self._with_record else "allowed",
                journal=JournalEntry._meta.db_table,
            )
        )


def _type(column: str) -> str:
    """Without its length: a cast to one would cut off what is too long, where the column refuses it."""
    [field] = [field for field in Message._meta.concrete_fields if field.column == column]
    return re.sub(r"\(.*\)", "", field.db_type(connection) or "").replace("timestamp with time zone", "timestamptz")


_WITH_RECORD: Final = _Statement(with_record=True)
_ALONE: Final = _Statement(with_record=False)
