"""Broadcasts: made whole or not at all, and paused, resumed and canceled by a change of state that counts at once."""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from django.db import transaction
from django.db.models import Count
from django.utils import timezone

from dispatch import acceptance, numbers, suppressions, wakeup
from dispatch.bulk import copying
from dispatch.bulk.lists import Entry, Fault
from dispatch.bulk.texts import Text, ValueMissing
from dispatch.bulk.ways import Ways
from dispatch.models import Broadcast, Message
from dispatch.routes import Subject
from dispatch.serializers import MAX_REFERENCE
from dispatch.suitability import OPTED_OUT, Unsuited
from dispatch.validation import InvalidBody
from dispatch.vocabulary import BroadcastState
from sendmsg.api.authentication import Client
from sendmsg.api.problems import FieldError, Problem
from sendmsg.telemetry import traces

MAX_RECIPIENTS: Final = 100_000  # entries of one list, whatever becomes of them
MAX_LISTED: Final = 100  # rejections that are told one by one
LOOK: Final = 1000  # recipients whose suppressions are looked up at once
MAX_FIELD: Final = 40  # characters that are told of a field's name; one that does not exist may be a whole line

MOVES: Final = {
    "pause": (frozenset({BroadcastState.RUNNING}), BroadcastState.PAUSED),
    "resume": (frozenset({BroadcastState.PAUSED}), BroadcastState.RUNNING),
    "cancel": (frozenset({BroadcastState.RUNNING, BroadcastState.PAUSED}), BroadcastState.CANCELING),
}
"""What can be done to a broadcast: from which states, and to which."""


@dataclass(slots=True)
class Tally:
    """What became of a list so far. `faults`: the first `MAX_LISTED`; `reasons`: how many of each code."""

    recipients: int = 0
    duplicates: int = 0
    rejected: int = 0
    segments: int = 0
    faults: list[Fault] = field(default_factory=list)
    reasons: Counter[str] = field(default_factory=Counter)

    def reject(self, fault: Fault) -> None:
        self.rejected += 1
        self.reasons[fault.code] += 1
        if len(self.faults) < MAX_LISTED:
            self.faults.append(replace(fault, field=fault.field[:MAX_FIELD]))


class Refused(Exception):
    """No recipient can be accepted; or some can't, and all or nothing was asked for."""

    def __init__(self, tally: Tally) -> None:
        super().__init__(f"{tally.rejected} rejected")
        self.tally = tally


@dataclass(frozen=True, slots=True)
class Accepted:
    """A recipient that was found right: the number in its one form, the text, and what it costs."""

    to: str
    body: str
    segments: int
    encoding: str
    lane: int
    client_reference: str


def create(client: Client, wanted: dict[str, Any], entries: Iterable[Entry | Fault]) -> Broadcast:
    """Store a validated `BroadcastFields` and a message for each recipient, inside the caller's transaction.

    Raises Refused, and Problem when there are too many recipients or the list can't be read.
    """
    now = timezone.now()
    due_at, expires_at = acceptance.schedule(wanted, now)
    subject = acceptance.subject_of(client, {**wanted, "to": ""})
    broadcast = Broadcast.objects.create(
        account_id=subject.account_id,
        test=subject.test,
        name=wanted.get("name", ""),
        channel=subject.channel,
        sender=subject.sender,
        body=wanted["body"],
        priority=subject.priority,
        send_at=wanted.get("send_at"),
        expires_at=expires_at,
        created_at=now,
    )
    tally, sealed = Tally(), copying.sealed(wanted["body"])
    for chunk in copying.chunks(examine(subject, wanted["body"], entries, tally), copying.CHUNK):
        copying.store([_row(broadcast, subject, due_at, one, sealed) for one in chunk])
    if not tally.recipients or (tally.rejected and wanted["all_or_nothing"]):
        raise Refused(tally)
    broadcast.recipients = tally.recipients
    broadcast.duplicates = tally.duplicates
    broadcast.rejected = tally.rejected
    broadcast.segments = tally.segments
    broadcast.rejections = [asdict(fault) for fault in tally.faults]
    broadcast.save(update_fields=["recipients", "duplicates", "rejected", "segments", "rejections"])
    return broadcast


def examine(subject: Subject, body: str, entries: Iterable[Entry | Fault], tally: Tally) -> Iterator[Accepted]:
    """The good ones of a list, each number once; the rest is counted. `subject`: what all share.

    Raises Problem when there are too many.
    """
    seen: set[str] = set()
    for found in _wanted(subject, _judged(subject, body, entries)):
        if isinstance(found, Fault):
            tally.reject(found)
        elif found.to in seen:
            tally.duplicates += 1
        else:
            seen.add(found.to)
            tally.recipients += 1
            tally.segments += found.segments
            yield found


def _judged(subject: Subject, body: str, entries: Iterable[Entry | Fault]) -> Iterator[tuple[int, Accepted | Fault]]:
    """Each with its line."""
    text = Text(body, subject.channel)
    ways = Ways(subject, same=not text.names)
    for count, entry in enumerate(entries, 1):
        if count > MAX_RECIPIENTS:
            detail = f"At most {MAX_RECIPIENTS:,} recipients: make several broadcasts."
            raise Problem("validation_failed", errors=[FieldError("/recipients", "max_length", detail)])
        yield entry.line, entry if isinstance(entry, Fault) else _judge(text, ways, entry)


def _wanted(subject: Subject, judged: Iterable[tuple[int, Accepted | Fault]]) -> Iterator[Accepted | Fault]:
    """In place of those who opted out, why."""
    for chunk in copying.chunks(judged, LOOK):
        numbers_of_chunk = {found.to for _, found in chunk if isinstance(found, Accepted)}
        opted_out = suppressions.check(
            subject.account_id, numbers_of_chunk, subject.sender, subject.channel, test=subject.test
        )
        for line, found in chunk:
            if isinstance(found, Accepted) and found.to in opted_out:
                yield Fault(line, OPTED_OUT.field, OPTED_OUT.code, OPTED_OUT.detail)
            else:
                yield found


def move(broadcast_id: UUID, what: str) -> bool:
    """Pause, resume or cancel; True also where that was done before, False when it is too late.

    Needs the caller's transaction.
    """
    sources, target = MOVES[what]
    broadcast = Broadcast.objects.select_for_update().get(pk=broadcast_id)
    if broadcast.state == target or (what == "cancel" and broadcast.state == BroadcastState.CANCELED):
        return True
    if broadcast.state not in sources:
        return False
    broadcast.state = target
    broadcast.save(update_fields=["state"])
    transaction.on_commit(wakeup.ring)
    return True


def counts(broadcast_id: UUID) -> dict[str, int]:
    """How many of its messages are in each state that has any: one look at the index, of 100,000 about 30 ms."""
    rows = Message.objects.filter(broadcast_id=broadcast_id).order_by()
    return dict(rows.values_list("state").annotate(number=Count("*")).order_by("state"))


def _judge(text: Text, ways: Ways, entry: Entry) -> Accepted | Fault:
    try:
        to = numbers.normalise(entry.to)
    except numbers.InvalidNumber as error:
        return Fault(entry.line, "to", error.code, error.detail)
    if len(entry.client_reference) > MAX_REFERENCE:
        return Fault(entry.line, "client_reference", "max_length", f"At most {MAX_REFERENCE} characters.")
    try:
        body, segments, encoding = text.render(entry.values)
    except ValueMissing as error:
        return Fault(entry.line, error.name, "value_missing", "There is no value for this placeholder.")
    except InvalidBody as error:
        return Fault(entry.line, "body", error.code, error.detail)
    lane = ways.find(to, body)
    if isinstance(lane, Unsuited):
        return Fault(entry.line, lane.field, lane.code, lane.detail)
    return Accepted(to, body, segments, encoding, lane, entry.client_reference)


def _row(broadcast: Broadcast, subject: Subject, due_at: datetime, one: Accepted, sealed: str) -> copying.NewRow:
    """`sealed`: the broadcast's text, encrypted. Rows without anything of their own in it share that."""
    return copying.NewRow(
        id=copying.new_id(),
        begun=traces.begin_own(),
        subject=subject.to_another(one.to),
        lane=one.lane,
        body=one.body,
        sealed_body=sealed if one.body == broadcast.body else "",
        segments=one.segments,
        encoding=one.encoding,
        now=broadcast.created_at,
        due_at=due_at,
        expires_at=broadcast.expires_at,
        send_at=broadcast.send_at,
        client_reference=one.client_reference,
        broadcast_id=broadcast.id,
    )
