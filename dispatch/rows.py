"""Reads messages by their ids, and of each only what is asked for: the way of those who read for every message.

Django would take longer to make the query than Postgres to answer it, and would decrypt texts that nobody looks at.
"""

from collections.abc import Collection, Sequence
from typing import Any, Final
from uuid import UUID

from django.db import connection as database

from dispatch.models import Message
from sendmsg.prepared import Prepared

FACTS: Final = frozenset(
    {
        *("id", "account_id", "test", "exempt", "channel", "to", "sender", "segments", "priority", "state"),
        *(
            "lane",
            "connection_id",
            "chosen_connection_id",
            "release",
            "tries",
            "failures",
            "option",
            "refused",
            "in_doubt",
        ),
        *("trace", "request_id", "error_code", "send_at", "due_at", "expires_at", "created_at", "updated_at"),
    }
)
"""What tasks and receipts want to know of a message; whatever else they should ask for costs a query."""
_SELECT: Final = 'SELECT "{}" FROM dispatch_message WHERE id = ANY(%(ids)s::uuid[]) ORDER BY priority, due_at'


class Rows:
    """Reads these fields of messages, the most urgent first."""

    def __init__(self, names: Collection[str]) -> None:
        # In the model's own order, which is how it takes the values of some of its fields.
        fields = [field for field in Message._meta.concrete_fields if field.attname in names]
        self._names = frozenset(field.attname for field in fields)  # Django looks each of its fields up in it
        self._reading = [getattr(field, "from_db_value", None) for field in fields]
        self._statement = Prepared(_SELECT.format('", "'.join(field.attname for field in fields)))

    def __call__(self, ids: Collection[UUID]) -> list[Message]:
        with database.cursor() as cursor:
            self._statement.run(cursor, {"ids": [str(one) for one in ids]})
            return [Message.from_db(database.alias, self._names, self._read(row)) for row in cursor.fetchall()]

    def _read(self, row: Sequence[Any]) -> list[Any]:
        return [
            value if read is None else read(value, None, database)
            for value, read in zip(row, self._reading, strict=True)
        ]


facts = Rows(FACTS)
facts_and_text = Rows(FACTS | {"body"})
