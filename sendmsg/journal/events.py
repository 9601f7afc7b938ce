"""What an event is, and how a batch of them is written to the journal."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from json import JSONEncoder
from typing import Any, Final
from uuid import UUID

import uuid_utils
from django.db import connection as database

from sendmsg.written import moment_text, uuid_text

_ENCODED: Final = JSONEncoder(ensure_ascii=False, allow_nan=False).encode
_NUL: Final = re.compile(r"(?<!\\)(?:\\\\)*\\u0000")


class EventType(StrEnum):
    """Every kind of event in a message's timeline."""

    ACCEPTED = "accepted"  # the client got its 202
    RELEASED = "released"  # the relay chose a connection and published a task
    SENDING = "sending"  # a worker claimed it; the provider is being called
    SENT = "sent"  # the provider accepted it
    RETRYING = "retrying"  # back in the queue, due later; data says why
    DELIVERED = "delivered"  # a receipt says it arrived
    UNDELIVERED = "undelivered"  # a receipt says it did not
    FAILED = "failed"  # refused for good
    EXPIRED = "expired"  # its time ran out before a provider took it
    CANCELED = "canceled"  # the client took it back in time
    UNKNOWN = "unknown"  # it may have been sent; nobody can say
    RECEIPT = "receipt"  # a receipt came that changed no state
    REPLAYED = "replayed"  # somebody had a failed or expired message tried again, with a new deadline
    DISCARDED = "discarded"  # somebody saw to its dead letter, and nothing shall come of it


@dataclass(frozen=True, slots=True)
class Event:
    """One line of a timeline. `data` holds small JSON values: codes, names, numbers; never a body or a recipient."""

    message_id: UUID | str
    account_id: UUID
    type: EventType
    at: datetime
    data: Mapping[str, Any] = field(default_factory=dict)

    def as_json(self, data: str = "") -> str:
        """The wire form; `data`: its own as JSON, where that is known. The id is made here: it is what makes writing an
        event twice harmless.

        Put together by hand: a broadcast writes a hundred thousand, and of these values `data` alone needs an encoder.
        """
        account = uuid_text(self.account_id)
        return (
            f'{{"id": "{uuid_utils.uuid4()}", "message": "{self.message_id}", "account": "{account}", '
            f'"type": "{self.type.value}", "at": "{moment_text(self.at)}", "data": {data or _json(self.data)}}}'
        )


def as_json(found: Iterable[Mapping[str, Any]]) -> list[str]:
    """The data of each, as an object; what several events of a batch say is put together once.

    Raises ValueError for what the logs database takes for no JSON: who writes it shall see that, and not the log
    writer, which could not pass it.
    """
    known: dict[str, str] = {}
    texts = []
    for data in found:
        key = repr(data)
        if key not in known:
            known[key] = _json(data)
        texts.append(known[key])
    return texts


def _json(data: Mapping[str, Any]) -> str:
    text = _ENCODED(dict(data))
    if "\\u0000" in text and _NUL.search(text):
        raise ValueError("an event can't hold a NUL character")
    return text


def record(events: Iterable[Event]) -> None:
    """Write the events to the journal, inside the caller's transaction."""
    batch = list(events)
    if batch:
        with database.cursor() as cursor:
            cursor.execute("INSERT INTO journal_journalentry (events) VALUES (%s)", [entry(batch)])


def entry(events: Iterable[Event]) -> str:
    """The `text` of a `JournalEntry`."""
    batch = list(events)
    texts = as_json(event.data for event in batch)
    return f"[{', '.join(event.as_json(data) for event, data in zip(batch, texts, strict=True))}]"
