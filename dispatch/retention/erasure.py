"""Erases a person, by number: from both databases, and from the archive by deleting the keys of what is sealed there.

Promises: rows stay, so every count stays; what they say of the person goes. It can be repeated, and goes in batches
that lock for moments; each run leaves an `Erasure`, which has the number as a keyed hash only. The archive's pump is
held off meanwhile, so that nothing which was read before is sealed after.

What waits to be sent is canceled. What a worker has in its hands is left: the run says so, and is to be repeated.
A suppression stays, with its number: without it, who asked to be left alone would be written to again.
"""

import json
from collections import defaultdict
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

from django.db import transaction
from django.utils import timezone
from django_celery_results.models import TaskResult

from dispatch import acceptance, windows
from dispatch.models import (
    Announcement,
    Attempt,
    BroadcastDraft,
    Connection,
    DeadLetter,
    Erasure,
    Message,
    Suppression,
    WhatsAppWindow,
)
from dispatch.retention.batches import ROWS, batch
from dispatch.retention.mentions import mentions
from dispatch.retention.registry import ERASERS, Eraser
from dispatch.states import FINAL, State
from sendmsg.accounts.models import Account
from sendmsg.api.models import IdempotencyRecord
from sendmsg.errors import ArchiveBusy
from sendmsg.logs.archive import keys, locks
from sendmsg.sealing.fields import gone

PATIENCE: Final = 120.0  # seconds to wait for the archive's pump; writing a file of messages takes some twenty
ENDED: Final = FINAL | {State.SENT}
KEPT: Final = ("id", "status", "sequence")
"""What a document that was sent or answered keeps: which message, and what became of it."""


@dataclass(frozen=True, slots=True)
class Report:
    """What was erased, by kind, and how many messages are under way: repeat it for those."""

    counts: dict[str, int]
    under_way: int


def erase(number: str, by: str, reason: str) -> Report:
    """Erase an E.164 number. Raises `ArchiveBusy`; whatever else it raises, what was done by then stays done."""
    with locks.held(locks.MESSAGES, PATIENCE) as ours:
        if not ours:
            raise ArchiveBusy("The archive's pump is writing. Try again in a minute.")
        audit = Erasure.objects.create(recipient=keys.fingerprint(number).hex(), by=by, reason=reason)
        counts = {eraser.kind: eraser.erase(number) for eraser in ERASERS}
        under_way = sum(1 for _ in _of(number))
        audit.counts, audit.finished_at = counts, None if under_way else timezone.now()
        audit.save(update_fields=["counts", "finished_at"])
    return Report(counts, under_way)


def redacted(document: str) -> str:
    """What is left of a JSON text that was told or answered."""
    found = json.loads(document)
    inner = found.get("data") if isinstance(found, dict) else None
    if isinstance(inner, dict):
        return json.dumps({**found, "data": {**_kept(inner), "erased": True}})
    return json.dumps({**_kept(found), "erased": True})


def _kept(found: Any) -> dict[str, Any]:
    return {name: found[name] for name in KEPT if name in found} if isinstance(found, dict) else {}


def _of(number: str) -> Iterator[UUID]:
    """Ids of messages to the number. An index begins with the account, of which there are few."""
    for account in Account.objects.values_list("id", flat=True):
        yield from Message.objects.filter(account_id=account, to=number).values_list("id", flat=True).iterator()


def _archived(number: str) -> int:
    return keys.destroy(number)


def _waiting(number: str) -> int:
    """Cancel what has not left."""
    done = 0
    for message_id in list(_of(number)):
        with transaction.atomic():
            message = Message.objects.filter(pk=message_id, state__in=[State.QUEUED, State.RELEASED]).first()
            done += message is not None and acceptance.cancel(message)
    return done


def _messages(number: str) -> int:
    ids = list(_of(number))
    done = 0
    for start in range(0, len(ids), ROWS):
        with batch():
            rows = Message.objects.filter(id__in=ids[start : start + ROWS], state__in=ENDED).order_by("id")
            some = list(rows.select_for_update(no_key=True).values_list("id", flat=True))
            Attempt.objects.filter(message__in=some).update(detail="")
            DeadLetter.objects.filter(message__in=some).update(detail="", note="")
            _keep_lengths(some)
            done += Message.objects.filter(id__in=some).update(
                to="",
                body="",
                long=False,
                body_hash="",
                client_reference="",
                metadata={},
                callback_url="",
                error_detail="",
            )
    return done


def _keep_lengths(ids: Collection[UUID]) -> None:
    """How long the texts were; 0 where that can't be told any more."""
    lengths: dict[int, list[UUID]] = defaultdict(list)
    for message_id, body in Message.objects.filter(id__in=ids, body_length=None).values_list("id", "body"):
        lengths[len(body)].append(message_id)
    for length, same in lengths.items():
        Message.objects.filter(id__in=same).update(body_length=length)


def _announcements(number: str) -> int:
    """Those of messages say no number; those of suppressions and of what people wrote do."""
    done = 0
    for found in mentions(Announcement, number, "data"):
        with batch():
            done += Announcement.objects.filter(pk__in=found).update(data={"erased": True})
    return done


def _answers(number: str) -> int:
    """Answers to idempotent requests: the row stays for its day, so that a repetition still has no second effect."""
    done = 0
    for found in mentions(IdempotencyRecord, number, "body"):
        with batch():
            for row in IdempotencyRecord.objects.filter(pk__in=found).order_by("pk").select_for_update():
                IdempotencyRecord.objects.filter(pk=row.pk).update(body=redacted(row.body))
                done += 1
    return done


def _drafts(number: str) -> int:
    """Lists that somebody uploaded and did not confirm; they are deleted after a day anyway."""
    digits = number.removeprefix("+").encode()
    rows = BroadcastDraft.objects.iterator(10)
    drafts = [draft.pk for draft in rows if gone(draft.content) or digits in bytes(draft.content)]
    return BroadcastDraft.objects.filter(pk__in=drafts).delete()[0]


def _windows(number: str) -> int:
    """By the last digits, which others may have too: theirs opens again with the next word they write."""
    rows = WhatsAppWindow.objects.filter(connection__in=Connection.objects.values("id"), recipient=windows.tail(number))
    return rows.delete()[0]


def _suppressions(number: str) -> int:
    done = 0
    for account in Account.objects.values_list("id", flat=True):
        done += Suppression.objects.filter(account_id=account, recipient=number).exclude(detail="").update(detail="")
    return done


def _task_failures(number: str) -> int:
    found = [key for keys_ in mentions(TaskResult, number, "result", "traceback", "task_args", "meta") for key in keys_]
    return TaskResult.objects.filter(pk__in=found).delete()[0]


ERASERS += [
    Eraser("archived", _archived),
    Eraser("canceled", _waiting),
    Eraser("messages", _messages),
    Eraser("announcements", _announcements),
    Eraser("answers", _answers),
    Eraser("drafts", _drafts),
    Eraser("windows", _windows),
    Eraser("suppression details", _suppressions),
    Eraser("task failures", _task_failures),
]
