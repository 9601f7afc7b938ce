"""Brings back all that is known of a message: its row or its line of the archive, and its whole timeline.

The archive is looked up by the message's id, which begins with the time it was accepted, and by what each file says
its first and last id are; so a few files are read, and not all.
"""

from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final
from uuid import UUID

from django.db.models import QuerySet

from dispatch.models import Message
from sendmsg.ids import made_at
from sendmsg.logs.archive import files, keys
from sendmsg.logs.models import ArchiveFile, Event

CLOCKS: Final = timedelta(days=1)  # how far the day of an id and that of its first event may be apart
KEYS: Final = ("key", "sealed")


@dataclass(frozen=True, slots=True)
class History:
    """`message`: its archived line, None while it is in the default database or where there is none; `erased`: what
    was sealed in it can't be opened any more. `events`: oldest first, of both places."""

    message: dict[str, Any] | None
    events: list[dict[str, Any]]
    erased: bool = False

    @property
    def found(self) -> bool:
        return self.message is not None or bool(self.events)

    def as_json(self) -> dict[str, Any]:
        return {"message": self.message, "erased": self.erased, "events": self.events}


def fetch(message_id: UUID) -> History:
    """Raises `ArchiveDamaged` for a file that can't be read, and `Error` while a database is away."""
    found = _archived(candidates(ArchiveFile.Kind.MESSAGES, message_id), message_id, "id")
    days = candidates(ArchiveFile.Kind.EVENTS, message_id)
    if (account := _account(message_id, found)) is not None:
        days = days.filter(account_id=account)  # others' files need not be read
    events = {event["id"]: event for event in _archived(days, message_id, "message")}
    for row in Event.objects.filter(message_id=message_id):
        events[str(row.id)] = {
            "id": str(row.id),
            "message": str(message_id),
            "type": row.type,
            "at": row.at.isoformat(),
            "data": row.data,
        }
    timeline = sorted(events.values(), key=lambda event: (event["at"], event["id"]))
    if not found:
        return History(None, timeline)
    line = max(found, key=lambda one: str(one["updated_at"]))  # archived twice: it changed in between
    private = keys.unseal(UUID(line["account_id"]), line, message_id)
    clear = {name: value for name, value in line.items() if name not in KEYS}
    return History(_join(clear, private or {}), timeline, erased=private is None)


def candidates(kind: ArchiveFile.Kind, message_id: UUID) -> QuerySet[ArchiveFile]:
    """The files that may hold it; none for an id that is not one of ours."""
    try:
        day = made_at(message_id).date()
    except (ValueError, OverflowError):
        return ArchiveFile.objects.none()
    found = ArchiveFile.objects.filter(kind=kind, first_message__lte=message_id, last_message__gte=message_id)
    if kind == ArchiveFile.Kind.MESSAGES:
        return found.filter(day=day)
    return found.filter(day__gte=day - CLOCKS)


def _account(message_id: UUID, found: list[dict[str, Any]]) -> UUID | None:
    if found:
        return UUID(found[0]["account_id"])
    return Message.objects.filter(pk=message_id).values_list("account_id", flat=True).first()


def _archived(entries: QuerySet[ArchiveFile], message_id: UUID, name: str) -> list[dict[str, Any]]:
    wanted = str(message_id)
    if not files.enabled():
        return []
    return [line for entry in entries for line in files.read(entry, wanted) if line[name] == wanted]


def _join(clear: dict[str, Any], private: dict[str, Any]) -> dict[str, Any]:
    """One document: rows of both sides that are of one attempt or letter become one row."""
    joined = dict(clear)
    for name, value in private.items():
        if name in ("attempts", "letters"):
            joined[name] = [one | other for one, other in zip(clear[name], value, strict=True)]
        else:
            joined[name] = value
    return joined
