"""Accepting a message: one committed row is the whole promise of a 202. No broker, no provider, no network."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any, Final
from uuid import UUID

from django.conf import settings
from django.db import transaction
from django.utils import timezone
from rest_framework.exceptions import ErrorDetail, ValidationError

from dispatch import suitability, suppressions, transitions, wakeup
from dispatch.changes import Change
from dispatch.explain import Explanation, explain
from dispatch.models import Message
from dispatch.routes import Subject
from dispatch.serializers import PRIORITIES
from dispatch.states import State
from dispatch.suitability import Unsuited
from dispatch.vocabulary import Priority
from sendmsg.accounts.keys import Mode
from sendmsg.api.authentication import Client
from sendmsg.api.request_id import current_request_id
from sendmsg.journal.events import Event, EventType, record
from sendmsg.telemetry import metrics, steps, traces
from sendmsg.telemetry.logging import mask
from sendmsg.telemetry.spans import Data
from sendmsg.written import uuid_text

_LABELS: Final[Mapping[int, str]] = {priority.value: str(priority.label) for priority in Priority}


def accept(client: Client, wanted: dict[str, Any]) -> Message:
    """Store a validated `NewMessage` and its first event, inside the caller's transaction.

    Raises `ValidationError` if no connection could ever carry it, or if the recipient has opted out.
    """
    subject, carriers = subject_of(client, wanted), suitability.carriers()
    refuse_unsuited(carriers.judge(subject, wanted["body"]))
    refuse_suppressed(subject)
    now, begun = timezone.now(), traces.begin()
    due_at, expires_at = schedule(wanted, now)
    message = Message.objects.create(
        account_id=subject.account_id,
        test=subject.test,
        lane=carriers.lane(subject).number,
        channel=subject.channel,
        to=subject.to,
        sender=subject.sender,
        body=wanted["body"],
        segments=wanted["segments"],
        encoding=wanted["encoding"],
        priority=subject.priority,
        client_reference=wanted.get("client_reference", ""),
        metadata=wanted.get("metadata", {}),
        callback_url=wanted.get("callback_url", ""),
        trace=begun.column,
        request_id=request_id(),
        send_at=wanted.get("send_at"),
        due_at=due_at,
        expires_at=expires_at,
        created_at=now,
        updated_at=now,
    )
    record([first_event(subject, message.id, message.segments, now)])
    transaction.on_commit(lambda: accepted(subject, message.id, message.segments, begun, now, due=due_at <= now))
    return message


def first_event(
    subject: Subject, message_id: UUID | str, segments: int, now: datetime, broadcast_id: UUID | None = None
) -> Event:
    """What its timeline begins with: what was asked for, and by which request, whose log lines have the same id."""
    data = {"channel": subject.channel, "segments": segments, "priority": _LABELS[subject.priority]}
    if broadcast_id:
        data["broadcast"] = uuid_text(broadcast_id)
    if asked_by := request_id():
        data["request_id"] = asked_by
    return Event(message_id, subject.account_id, EventType.ACCEPTED, now, data)


def request_id() -> str:
    """Of the request at hand, as a message's row and its timeline have it: a client may have made it of a number."""
    return _masked(current_request_id())


_masked = lru_cache(maxsize=64)(mask)  # asked for each message of a list


def schedule(wanted: dict[str, Any], now: datetime) -> tuple[datetime, datetime]:
    """When what is accepted now is due, and when its time is over."""
    send_at = wanted.get("send_at")
    due_at = max(send_at, now) if send_at else now
    validity = timedelta(seconds=wanted["valid_for"]) if "valid_for" in wanted else settings.DEFAULT_VALIDITY
    return due_at, due_at + validity


def subject_of(client: Client, wanted: dict[str, Any]) -> Subject:
    """What routes look at in a validated `NewMessage`."""
    return Subject(
        account_id=client.account_id,
        test=client.mode is Mode.TEST,
        channel=wanted["channel"],
        to=wanted["to"],
        sender=wanted.get("from", client.default_sender),
        priority=PRIORITIES[wanted["priority"]],
    )


def refuse_unsuited(found: Unsuited | None) -> None:
    """Raises `ValidationError` for what nothing can carry."""
    if found is not None:
        raise ValidationError({found.field: ErrorDetail(found.detail, found.code)})


def refuse_suppressed(subject: Subject) -> None:
    """Raises `ValidationError` if the recipient does not want the message."""
    if suppressions.check(subject.account_id, {subject.to}, subject.sender, subject.channel, test=subject.test):
        refuse_unsuited(suitability.OPTED_OUT)


def accepted(
    subject: Subject, message_id: UUID | str, segments: int, begun: traces.Begun, at: datetime, *, due: bool
) -> None:
    """Count it, tell whoever follows it, and wake the relay if it is due: once it is committed."""
    metrics.ACCEPTED.labels(subject.channel, "test" if subject.test else "live").inc()
    about: Data = {"message_id": str(message_id), "channel": subject.channel, "segments": segments}
    traces.accepted(begun, at, about)
    if steps.on():
        steps.log("accepted", **about)
    if due:
        wakeup.ring()


def preview(client: Client, wanted: dict[str, Any]) -> Explanation:
    """By what a validated `NewMessage` would leave now; stores nothing. Raises as `accept` does."""
    subject = subject_of(client, wanted)
    refuse_unsuited(suitability.carriers().judge(subject, wanted["body"]))
    refuse_suppressed(subject)
    return explain(subject)


def cancel(message: Message) -> bool:
    """Take a message back; False when it has left, may have left, or is final. Needs the caller's transaction."""
    locked = Message.objects.select_for_update().get(pk=message.pk)
    if locked.in_doubt:
        return False
    return bool(transitions.apply([Change(locked.id, State.CANCELED)]))
