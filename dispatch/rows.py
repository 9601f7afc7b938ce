"""Reads messages by their ids, and of each only what is asked for: the way of those who read for every message.

Django would take longer to make the query than Postgres to answer it, would decrypt texts that nobody looks at, and
would make models of the answer, which takes three times as long as making tuples.
"""

from collections.abc import Callable, Collection, Sequence
from datetime import datetime
from typing import Any, Final, Generic, NamedTuple, TypeVar
from uuid import UUID

from django.db import connection as database

from dispatch.models import Message
from sendmsg.prepared import Prepared

_SELECT: Final = 'SELECT "{}" FROM dispatch_message WHERE id = ANY(%(ids)s::uuid[]) ORDER BY priority, due_at'

Row = TypeVar("Row", bound="tuple[Any, ...]")


class Facts(NamedTuple):
    """What tasks and receipts want to know of a message: fields of `Message` by their columns."""

    id: UUID
    account_id: UUID
    test: bool
    exempt: bool
    channel: str
    to: str
    sender: str
    segments: int
    priority: int
    trace: str
    request_id: str
    state: str
    lane: int
    connection_id: int | None
    chosen_connection_id: int | None
    release: int
    tries: int
    failures: int
    option: int | None
    refused: Sequence[int]
    in_doubt: bool
    error_code: str
    expires_at: datetime
    created_at: datetime
    updated_at: datetime
    body: str = ""
    """Only where it is asked for; encrypted in the column."""


class Rows(Generic[Row]):
    """Reads the fields that a named tuple has, or these of them; the most urgent message first."""

    def __init__(self, kind: Callable[..., Row], names: Sequence[str]) -> None:
        fields = [Message._meta.get_field(name) for name in names]
        found = [(at, getattr(field, "from_db_value", None)) for at, field in enumerate(fields)]
        self._reading = [(at, read) for at, read in found if read is not None]
        self._kind = kind
        self._statement = Prepared(_SELECT.format('", "'.join(names)))

    def __call__(self, ids: Collection[UUID]) -> list[Row]:
        with database.cursor() as cursor:
            self._statement.run(cursor, {"ids": [str(one) for one in ids]})
            return [self._kind(*self._read(row)) for row in cursor.fetchall()]

    def _read(self, row: Sequence[Any]) -> Sequence[Any]:
        """With what its field makes of a column's value."""
        if not self._reading:
            return row
        values = list(row)
        for at, read in self._reading:
            values[at] = read(values[at], None, database)
        return values


facts: Final = Rows(Facts, Facts._fields[:-1])
facts_and_text: Final = Rows(Facts, Facts._fields)
"""With the `body`."""
