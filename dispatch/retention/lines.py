"""The line of a message in the archive: what happened to it in clear, what may be known of a person sealed."""

import json
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final
from uuid import UUID

from django.core.serializers.json import DjangoJSONEncoder

from dispatch.models import Attempt, DeadLetter, Message, ProviderReference
from dispatch.retention.registry import RELATIONS
from sendmsg.logs.archive.columns import Column, Columns
from sendmsg.logs.archive.keys import Sealer
from sendmsg.sealing.fields import UnreadableText, gone

CLEAR: Final[Columns] = {
    "account_id": Column.TEXT,
    "test": Column.FLAG,
    "broadcast_id": Column.TEXT,
    "channel": Column.TEXT,
    "state": Column.TEXT,
    "segments": Column.NUMBER,
    "encoding": Column.TEXT,
    "priority": Column.NUMBER,
    "tries": Column.NUMBER,
    "error_code": Column.TEXT,
    "in_doubt": Column.FLAG,
    "send_at": Column.TIME,
    "expires_at": Column.TIME,
    "created_at": Column.TIME,
    "updated_at": Column.TIME,
}
PRIVATE: Final = (
    *("to", "sender", "body", "body_length", "body_hash", "client_reference", "metadata", "callback_url"),
    "error_detail",
)
ERASED: Final = "erased"  # stands for the number of a message that was erased before it was archived

Rows = Mapping[UUID, list[dict[str, Any]]]


def columns() -> Columns:
    """Of what `lines` makes; what other apps know of a message is known once they are loaded."""
    return {
        "id": Column.TEXT,
        **CLEAR,
        "connection": Column.TEXT,
        **dict.fromkeys(("attempts", "letters", *(relation.name for relation in RELATIONS)), Column.JSON),
        "key": Column.TEXT,
        "sealed": Column.TEXT,
    }


def lines(messages: Sequence[Message], sealer: Sealer) -> Iterator[tuple[UUID, str]]:
    """Each message's id and its line, with all that belongs to it. A few queries for all of them."""
    ids = [message.id for message in messages]
    about: dict[str, Rows] = {
        "attempts": _rows(Attempt, ids, "number", "connection__name", "started_at", "finished_at", "outcome", "code"),
        "letters": _rows(DeadLetter, ids, "id", "reason", "state", "created_at", "handled_at", "handled_by"),
        **{relation.name: relation.read(ids) for relation in RELATIONS},
    }
    private: dict[str, Rows] = {
        "attempts": _rows(Attempt, ids, "number", "detail"),
        "letters": _rows(DeadLetter, ids, "id", "detail", "note"),
        "provider_ids": _rows(ProviderReference, ids, "connection__name", "value", "attempt"),
    }
    sealer.expect(message.to or ERASED for message in messages)
    for message in messages:
        clear = {name: getattr(message, name) for name in CLEAR}
        hidden = {name: _readable(getattr(message, name)) for name in PRIVATE}
        hidden |= {name: rows.get(message.id, []) for name, rows in private.items()}
        line = {
            "id": message.id,
            **clear,
            "connection": message.connection.name if message.connection else None,
            **{name: rows.get(message.id, []) for name, rows in about.items()},
            **sealer.seal(message.to or ERASED, message.id, _dump(hidden)),
        }
        yield message.id, _dump(line)


def _readable(value: Any) -> Any:
    """A text whose key is gone for good is archived as it is: encrypted."""
    return value.token if isinstance(value, UnreadableText) and gone(value) else value


def _rows(model: Any, ids: Sequence[UUID], *names: str) -> Rows:
    found: dict[UUID, list[dict[str, Any]]] = defaultdict(list)
    for row in model.objects.filter(message__in=ids).order_by("id").values("message_id", *names):
        found[row.pop("message_id")].append(row)
    return found


def _dump(value: Any) -> str:
    return json.dumps(value, cls=ExactEncoder, ensure_ascii=False, separators=(",", ":"))


class ExactEncoder(DjangoJSONEncoder):
    """Times to the microsecond: Django's own cuts them to milliseconds."""

    def default(self, o: Any) -> Any:
        return o.isoformat() if hasattr(o, "isoformat") else super().default(o)
