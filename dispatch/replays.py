"""Replays and discards dead letters: each is handled once, whoever clicks twice or at the same time.

A replay queues the message of a letter again, due now, with as much time as it had at first. What was decided and the
message's move are one transaction under the locks of both rows, so there is neither without the other.

A message in doubt is only replayed by somebody who says that it may arrive twice (`even_if_sent`). One that has
meanwhile moved on, such as an expired one that a late receipt called delivered, never is. Dead tasks can only be
discarded: their messages move by lease.
"""

from collections.abc import Callable, Collection, Iterator, Mapping
from datetime import datetime, timedelta
from typing import TypeAlias
from uuid import UUID

from django.db import transaction
from django.db.models import Max, QuerySet, TextChoices
from django.utils import timezone

from dispatch import directory, routing, transitions, wakeup
from dispatch.changes import Change
from dispatch.directory import Entry
from dispatch.lanes import DEFAULT, Lane
from dispatch.models import DeadLetter, Message
from dispatch.routes import Book
from dispatch.states import DEAD, State
from dispatch.vocabulary import LetterState
from sendmsg.journal.events import Event, EventType, record

BATCH = 500  # letters a transaction


class Result(TextChoices):
    """What became of the wish to handle a letter; the labels are for people."""

    DONE = "done", "done"
    HANDLED = "handled", "handled before"
    NO_MESSAGE = "no_message", "no message: a task or a webhook"
    IN_DOUBT = "in_doubt", "may have been sent by an earlier try"
    MOVED_ON = "moved_on", "neither failed, expired nor unknown any more"
    UNSUITED = "unsuited", "not for this connection"
    GONE = "gone", "its text or recipient is not kept any more"


Results: TypeAlias = Mapping[UUID, Result]


def replay(
    letter_ids: Collection[UUID], by: str, *, note: str = "", via: Entry | None = None, even_if_sent: bool = False
) -> Results:
    """Queue the messages of these letters again; the result of each letter that exists.

    `via`: the one connection they shall leave by; without it routing chooses. `even_if_sent`: also those that an
    earlier try may have sent. Needs the caller's transaction.
    """
    letters = _locked(letter_ids)
    rows = Message.objects.filter(id__in=[letter.message_id for letter in letters]).order_by("id").select_for_update()
    messages = {row.id: row for row in rows}
    results: dict[UUID, Result] = {}
    wanted: dict[UUID, DeadLetter] = {}
    for letter in letters:
        message = messages.get(letter.message_id) if letter.message_id else None
        results[letter.id] = _judge(letter, message, via, even_if_sent)
        if message is not None and results[letter.id] is Result.DONE:
            # A message has one open letter; should there be two, the first brings it back.
            results[letter.id] = Result.DONE if wanted.setdefault(message.id, letter) is letter else Result.MOVED_ON
    now = timezone.now()
    _queue([messages[message_id] for message_id in wanted], wanted, by, via, now)
    _close(wanted.values(), LetterState.REPLAYED, by, note, now)
    if wanted:
        transaction.on_commit(wakeup.ring)
    return results


def replay_by_same(letter_ids: Collection[UUID], by: str, *, note: str = "", even_if_sent: bool = False) -> Results:
    """As `replay`, each message by the connection that it went by last; one that went by none is left to routing."""
    names = {letter.id: letter.connection_id for letter in _locked(letter_ids)}
    entries = directory.by_id()
    results: dict[UUID, Result] = {}
    for connection_id in sorted(set(names.values()), key=lambda one: one or 0):
        ids = [key for key, value in names.items() if value == connection_id]
        via = entries.get(connection_id) if connection_id else None
        results |= replay(ids, by, note=note, via=via, even_if_sent=even_if_sent)
    return results


def discard(letter_ids: Collection[UUID], by: str, *, note: str = "") -> Results:
    """Mark these letters as seen to, with nothing to come of them. Needs the caller's transaction."""
    letters = _locked(letter_ids)
    wanted = [letter for letter in letters if letter.state == LetterState.OPEN]
    now = timezone.now()
    _close(wanted, LetterState.DISCARDED, by, note, now)
    record(
        Event(letter.message_id, letter.account_id, EventType.DISCARDED, now, _why(letter, by))
        for letter in wanted
        if letter.message_id is not None and letter.account_id is not None
    )
    return {letter.id: Result.DONE if letter in wanted else Result.HANDLED for letter in letters}


def may_have_been_sent(letters: QuerySet[DeadLetter]) -> QuerySet[DeadLetter]:
    """Those whose message may arrive twice if it is replayed."""
    return letters.filter(state=LetterState.OPEN, message__in_doubt=True, message__state__in=DEAD)


def sweep(rows: QuerySet[DeadLetter], act: Callable[[Collection[UUID]], Results]) -> Iterator[Results]:
    """`act` on all of `rows`, oldest first, in batches that are committed one by one."""
    last = UUID(int=0)
    while batch := list(rows.filter(id__gt=last).order_by("id").values_list("id", flat=True)[:BATCH]):
        last = batch[-1]
        with transaction.atomic():
            results = act(batch)
        yield results


def _locked(letter_ids: Collection[UUID]) -> list[DeadLetter]:
    """In order of id, so that two who handle the same letters can't deadlock."""
    return list(DeadLetter.objects.filter(id__in=letter_ids).order_by("id").select_for_update())


def _judge(letter: DeadLetter, message: Message | None, via: Entry | None, even_if_sent: bool) -> Result:
    if letter.state != LetterState.OPEN:
        return Result.HANDLED
    if message is None:
        return Result.NO_MESSAGE
    if message.state not in DEAD:
        return Result.MOVED_ON
    if message.body_length is not None or not message.to:
        return Result.GONE
    if message.in_doubt and not even_if_sent:
        return Result.IN_DOUBT
    if via is not None and not routing.options(Lane(DEFAULT, message.test, message.channel), [via], Book()):
        return Result.UNSUITED
    return Result.DONE


def _queue(
    messages: Collection[Message], letters: Mapping[UUID, DeadLetter], by: str, via: Entry | None, now: datetime
) -> None:
    validity = _validity(messages)
    chosen = {"connection": via.name} if via else {}
    changes = [
        Change(
            message.id,
            State.QUEUED,
            due_at=now,
            expires_at=now + validity[message.id],
            in_doubt=False,
            code="",
            detail="",
            data={**_why(letters[message.id], by), **chosen},
        )
        for message in messages
    ]
    moved = transitions.apply(changes)
    if len(moved) != len(changes):
        raise RuntimeError("a message that is locked and dead was not queued")
    ids = [message.id for message in messages]
    Message.objects.filter(id__in=ids).update(chosen_connection_id=via.id if via else None)


def _why(letter: DeadLetter, by: str) -> dict[str, str]:
    """For the timeline, which clients read: not the operator's name."""
    return {"by": _side(by), "reason": letter.reason}


def _validity(messages: Collection[Message]) -> dict[UUID, timedelta]:
    """How long each message might be tried: from when it was accepted, scheduled for or last replayed."""
    replayed = dict(
        DeadLetter.objects.filter(message__in=messages, state=LetterState.REPLAYED)
        .order_by()
        .values_list("message_id")
        .annotate(at=Max("handled_at"))
    )
    return {
        message.id: message.expires_at
        - (replayed.get(message.id) or max(message.send_at or message.created_at, message.created_at))
        for message in messages
    }


def _close(letters: Collection[DeadLetter], state: LetterState, by: str, note: str, now: datetime) -> None:
    ids = [letter.id for letter in letters]
    DeadLetter.objects.filter(id__in=ids, state=LetterState.OPEN).update(
        state=state, handled_at=now, handled_by=by, note=note
    )


def _side(by: str) -> str:
    """Which side asked: an account's timeline doesn't name its operators; the letter does."""
    return "client" if by.startswith("api:") else "operator"
