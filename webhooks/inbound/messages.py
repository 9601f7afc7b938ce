"""Messages from people: stored once, whole, and given to the account whose number they came to.

What they ask for (`webhooks.inbound.opting`) is done in the transaction that stores them.

A long text may come in parts, in any order. They wait until all are there; after `PARTS_WAIT` the text is stored with
what there is, and a mark where a part is missing: half a message is better than none.
"""

from collections.abc import Iterable, Sequence
from dataclasses import asdict
from datetime import datetime, timedelta
from typing import Any

from django.db.models import Count, F, Min, Q

from dispatch.directory import Entry
from dispatch.models import Connection
from sendmsg.sealing.fields import unreadable
from sendmsg.telemetry import metrics
from webhooks.callbacks import outbox
from webhooks.callbacks.vocabulary import Kind
from webhooks.inbound import opting
from webhooks.inbound.base import InboundMessage, Part
from webhooks.models import Inbound, InboundNumber, InboundPart

PARTS_WAIT = timedelta(hours=1)  # parts leave a phone within seconds; a provider that is behind has an hour
PARTS_KEPT = timedelta(hours=48)  # longer than Vonage repeats what it thinks was not taken, which is 24 hours
MISSING = "[…]"  # stands where a part is missing
GROUPS = 100  # texts put together a step

_GROUP = ("connection_id", "sender", "to", "reference", "total")


def store(received: Sequence[tuple[Entry, InboundMessage]]) -> None:
    """Write messages and parts, inside the caller's transaction; those that are known already are dropped."""
    whole = [(entry, message) for entry, message in received if message.part is None]
    owners = _owners((entry.id, message.to) for entry, message in whole)
    rows = {
        (entry.id, message.provider_id): Inbound(
            connection_id=entry.id,
            provider_id=message.provider_id,
            account_id=owners.get((entry.id, message.to)),
            test=entry.sandbox,
            channel=message.channel,
            sender=message.sender,
            to=message.to,
            body=message.body,
            media=[asdict(one) for one in message.media],
            received_at=message.received_at,
        )
        for entry, message in whole
    }
    names = {entry.id: entry.name for entry, _ in whole}
    _create(rows, names)
    parts = {
        (entry.id, message.provider_id): _part(entry, message, message.part)
        for entry, message in received
        if message.part is not None
    }
    InboundPart.objects.bulk_create([parts[key] for key in sorted(parts)], ignore_conflicts=True)


def assemble(now: datetime) -> None:
    """Put the texts together whose parts have all come, or waited too long; inside the caller's transaction."""
    waiting = InboundPart.objects.filter(whole=None).order_by().values(*_GROUP)
    groups = waiting.annotate(rows=Count("id"), found=Count("number", distinct=True), oldest=Min("created_at"))
    ready = list(groups.filter(Q(found=F("total")) | Q(oldest__lt=now - PARTS_WAIT))[:GROUPS])
    for group in ready:
        _join(group)
    if ready:
        InboundPart.objects.filter(created_at__lt=now - PARTS_KEPT).exclude(whole=None).delete()


def _join(group: dict[str, Any]) -> None:
    """One text. What another pump holds is left to it: then there are fewer rows than there were."""
    same = InboundPart.objects.filter(whole=None, **{name: group[name] for name in _GROUP})
    parts = list(same.order_by("number", "id").select_for_update(skip_locked=True))
    if len(parts) != group["rows"] or any(_locked(part) for part in parts):
        return
    # Of two with one number the first.
    bodies = {part.number: MISSING if unreadable(part.body) else part.body for part in reversed(parts)}
    connection = Connection.objects.defer("credentials").get(pk=group["connection_id"])
    owners = _owners([(connection.pk, group["to"])])
    first = parts[0]
    row = Inbound(
        connection=connection,
        provider_id=first.provider_id,
        account_id=owners.get((connection.pk, first.to)),
        test=connection.sandbox,
        channel=first.channel,
        sender=first.sender,
        to=first.to,
        body="".join(bodies.get(number, MISSING) for number in range(1, first.total + 1)),
        received_at=min(part.received_at for part in parts),
    )
    _create({(connection.pk, row.provider_id): row}, {connection.pk: connection.name})
    whole = Inbound.objects.get(connection=connection, provider_id=row.provider_id)
    InboundPart.objects.filter(id__in=[part.id for part in parts]).update(whole=whole)


def _locked(part: InboundPart) -> bool:
    """A part that another process could decrypt is left to it."""
    found = unreadable(part.body)
    return found is not None and found.locked


def _create(rows: dict[tuple[int, str], Inbound], names: dict[int, str]) -> None:
    """Those that are new, in the order of the unique index: two pumps must not wait for each other crosswise."""
    same = Inbound.objects.filter(connection_id__in=names, provider_id__in=[provider_id for _, provider_id in rows])
    known = set(same.values_list("connection_id", "provider_id")) if rows else set()
    new = [rows[key] for key in sorted(rows) if key not in known]
    for row in new:
        opting.mark(row)
    Inbound.objects.bulk_create(new, ignore_conflicts=True)
    # Another pump may have stored one of them a moment ago, and done what it asks for.
    ours = set(Inbound.objects.filter(id__in=[row.id for row in new]).values_list("id", flat=True)) if new else set()
    stored = [row for row in new if row.id in ours]
    opting.act(stored)
    _tell(stored)
    for row in new:
        metrics.INBOUND.labels(names[row.connection_id], "no" if row.account_id is None else "yes").inc()


def _tell(stored: Iterable[Inbound]) -> None:
    """The accounts whose numbers they came to."""
    for row in stored:
        if row.account_id is not None:
            about = {
                "id": str(row.id),
                "channel": row.channel,
                "from": row.sender,
                "to": row.to,
                "body": row.body,
                "keyword": row.keyword or None,
                "media": row.media,
                "received_at": row.received_at.isoformat(),
            }
            outbox.announce(row.account_id, row.test, Kind.MESSAGE_RECEIVED, about)


def _part(entry: Entry, message: InboundMessage, part: Part) -> InboundPart:
    return InboundPart(
        connection_id=entry.id,
        provider_id=message.provider_id,
        reference=part.reference,
        number=part.number,
        total=part.total,
        channel=message.channel,
        sender=message.sender,
        to=message.to,
        body=message.body,
        received_at=message.received_at,
    )


def _owners(numbers: Iterable[tuple[int, str]]) -> dict[tuple[int, str], Any]:
    """The account of each number that has one, by connection and number."""
    wanted = set(numbers)
    if not wanted:
        return {}
    rows = InboundNumber.objects.filter(
        connection_id__in={connection for connection, _ in wanted}, number__in={number for _, number in wanted}
    )
    found = rows.values_list("connection_id", "number", "account_id")
    return {(connection, number): account for connection, number, account in found}
