"""Answers of ours to what a person wrote: messages of the account that no suppression holds back.

They leave by the connection that the person's message came by, where its route has that: the number is there.
"""

from datetime import timedelta
from typing import Final
from uuid import UUID

from django.db import transaction
from django.utils import timezone

from dispatch import acceptance, directory, routes, routing
from dispatch.models import Message
from dispatch.routes import Subject
from dispatch.segments import segment
from dispatch.suppressions import Person
from dispatch.vocabulary import Channel, Priority
from sendmsg.journal.events import record
from sendmsg.telemetry import traces

VALID_FOR: Final = timedelta(hours=1)  # later than that nobody knows any more what is being answered
A_DAY: Final = 10  # answers to one person; two machines that answer each other end there


def reply(person: Person, channel: str, number: str, body: str, *, connection_id: int, about: UUID) -> Message | None:
    """Queue an answer from `number`, inside the caller's transaction; None if the person had enough of them today.

    `about`: the id of what is answered.
    """
    now, begun = timezone.now(), traces.begin_own()
    earlier = Message.objects.filter(
        account_id=person.account_id, to=person.number, exempt=True, created_at__gt=now - timedelta(days=1)
    )
    if earlier.count() >= A_DAY:
        return None
    subject = Subject(person.account_id, person.test, channel, person.number, number, Priority.HIGH)
    book = routes.book()
    lane = book.lane(subject)
    ways = routing.options(lane, directory.entries().values(), book)
    parts = segment(body)
    message = Message.objects.create(
        account_id=person.account_id,
        test=person.test,
        exempt=True,
        lane=lane.number,
        chosen_connection_id=connection_id if any(way.entry.id == connection_id for way in ways) else None,
        channel=channel,
        to=person.number,
        sender=number,
        body=body,
        segments=parts.segments if channel == Channel.SMS else 1,
        encoding=parts.encoding.value if channel == Channel.SMS else "utf8",
        priority=Priority.HIGH,
        metadata={"in_reply_to": str(about)},
        trace=begun.column,
        due_at=now,
        expires_at=now + VALID_FOR,
        created_at=now,
        updated_at=now,
    )
    record([acceptance.first_event(subject, message.id, message.segments, now)])
    transaction.on_commit(lambda: acceptance.accepted(subject, message.id, message.segments, begun, now, due=True))
    return message
