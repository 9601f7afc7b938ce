"""The receipts pump: from the buffer to the message.

Promises: a webhook leaves the buffer only when its rows are committed; the same report counts once, however often it
comes; one that overtook our own send waits until the send is settled; a final state never goes back. Several pumps
may run. What people wrote to us goes the same way (`webhooks.inbound.messages`).
"""

import os
import socket
import time
from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime

import structlog
from django.conf import settings
from django.db import connection as database
from django.db import transaction
from django.db.models import Exists, OuterRef
from django.utils import timezone

from dispatch import directory
from dispatch.directory import Entry
from dispatch.models import DeadLetter, ProviderReference
from sendmsg.errors import MalformedWebhook
from sendmsg.prepared import Prepared
from sendmsg.pump import Pump
from sendmsg.telemetry import metrics
from webhooks.inbound import buffer, matching, messages, stored
from webhooks.inbound.base import InboundMessage, ReportedReceipt
from webhooks.inbound.entries import Buffered, Source
from webhooks.inbound.registry import INBOUND
from webhooks.models import Receipt

logger = structlog.stdlib.get_logger(__name__)

BATCH = 500  # webhooks a step
BLOCK = 0.25  # seconds to wait for webhooks before parked receipts are looked at again, and between two such looks
QUIET = 0.25  # seconds without a webhook after which a burst is over
DROWSY = 4  # times as long may both be while no webhook comes and no parked receipt finds its message
LATE = 10.0  # seconds; receipts that wait longer are applied as fast as can be
ASIDE_EVERY = 2.0  # seconds between two looks at an empty fallback
ASIDE_QUIET = 5.0  # seconds without asking a fallback again after it failed


# Each row by its partial index: the tables are large, and what waits in them is not.
WAITING = Prepared("""
SELECT (SELECT id FROM webhooks_receipt WHERE state = 'parked' ORDER BY id LIMIT 1) IS NOT NULL
    OR EXISTS (SELECT FROM webhooks_inboundpart WHERE whole_id IS NULL)
""")


class ReceiptsPump(Pump):
    name = "receipts"
    poll = 0.0  # the wait is in the read
    gather = 0.05  # seconds
    worth = BATCH  # a provider waits for its answer, while what is stored may wait to be applied
    full = BATCH

    def __init__(self) -> None:
        super().__init__()
        self._reader = buffer.source(f"{socket.gethostname()}-{os.getpid()}")
        self._asides = dict.fromkeys(buffer.fallbacks(), 0.0)  # when to look at it again, steady clock
        self._look_back_at = 0.0  # steady clock
        self._calm = 1  # times BLOCK

    def step(self) -> int:
        if time.monotonic() >= self._look_back_at:  # first: receipts that are stored already don't need Redis
            self._look_back()
        found = sum(self._look_aside(fallback) for fallback in self._asides)  # first: without the buffer they fill
        entries = self._reader.read(BATCH, 0 if found else BLOCK * self._calm)
        if found or entries:
            self._calm, self._look_back_at = 1, min(self._look_back_at, time.monotonic() + BLOCK)
        started = time.monotonic()
        self._process(self._reader, entries)
        if len(entries) == BATCH and self._reader.coming(QUIET):
            self._give_way(time.monotonic() - started, entries[0].payload.at)
        return found + len(entries)

    def close(self) -> None:
        for source in (self._reader, *self._asides):
            source.close()

    def _look_back(self) -> None:
        """At what is stored and waits for something: a send to be settled, a time to be over, a missing part."""
        found = 0
        if _anything_waits():
            with transaction.atomic():
                found = matching.match_parked()
                orphan(timezone.now())
                messages.assemble(timezone.now())
        self._calm = 1 if found else min(self._calm * 2, DROWSY)
        self._look_back_at = time.monotonic() + BLOCK * self._calm

    def _give_way(self, took: float, oldest: datetime) -> None:
        """Rest for as long as a full batch took, unless we are late.

        More come than we take: this host may be short of processor time, and a provider waits for its answer for
        seconds where a receipt may wait to be applied.
        """
        if (timezone.now() - oldest).total_seconds() < LATE:
            self.stopping.wait(took)

    def _look_aside(self, fallback: Source) -> int:
        """A fallback that is away itself holds up nobody."""
        if time.monotonic() < self._asides[fallback]:
            return 0
        try:
            entries = fallback.read(BATCH, 0)
        except Exception as error:  # of kombu, of the file system
            logger.warning("fallback not read", source=type(fallback).__name__, reason=type(error).__name__)
            fallback.close()
            self._asides[fallback] = time.monotonic() + ASIDE_QUIET
            return 0
        if not entries:
            self._asides[fallback] = time.monotonic() + ASIDE_EVERY
        self._process(fallback, entries)
        return len(entries)

    @staticmethod
    def _process(source: Source, entries: Sequence[Buffered]) -> None:
        if entries:
            with transaction.atomic():
                store(entries)
                matching.match_parked()
            source.done(entries)


def store(entries: Sequence[Buffered]) -> None:
    """Write the receipts of buffered webhooks as parked rows, and their messages; what is known already is dropped."""
    connections = directory.entries()
    if any(entry.connection not in connections for entry in entries):
        directory.forget()  # the web process knew a connection that is younger than our list
        connections = directory.entries()
    reports: dict[int, list[tuple[ReportedReceipt, datetime]]] = defaultdict(list)
    received: list[tuple[Entry, InboundMessage]] = []
    for entry in entries:
        connection = connections.get(entry.connection)
        if connection is None:
            _give_up(entry, "unknown_connection")
            continue
        try:
            parsed = INBOUND[connection.provider].parse(entry.payload)
        except (MalformedWebhook, KeyError):
            _give_up(entry, "malformed_webhook")
            continue
        except Exception as error:  # a mistake in one parser must not hold up everybody's receipts
            logger.error("webhook parser raised", connection=entry.connection, exc_info=error)
            _give_up(entry, "parser_error")
            continue
        received += [(connection, message) for message in parsed.messages]
        reports[connection.id] += [(report, entry.payload.at) for report in parsed.receipts]
    stored.store(reports)
    messages.store(received)


def _anything_waits() -> bool:
    """One statement, where looks at all that may wait take seven."""
    with database.cursor() as cursor:
        WAITING.run(cursor, {})
        return bool(cursor.fetchone()[0])


def orphan(now: datetime) -> None:
    """Stop waiting for the messages of receipts that were parked too long, inside the caller's transaction.

    A receipt whose message is known waits on, however long that takes to be sent.
    """
    known = ProviderReference.objects.filter(connection=OuterRef("connection"), value=OuterRef("provider_id"))
    old = Receipt.objects.filter(
        ~Exists(known), state=Receipt.State.PARKED, received_at__lt=now - settings.RECEIPT_PARKING
    )
    # Skipping what another pump holds: two that wait for each other's receipts would be a deadlock.
    rows = old.select_related("connection").order_by("id").select_for_update(skip_locked=True, of=("self",))
    orphans = list(rows[:BATCH])
    Receipt.objects.filter(id__in=[receipt.id for receipt in orphans]).update(state=Receipt.State.ORPHANED)
    for receipt in orphans:
        metrics.RECEIPTS.labels(receipt.connection.name, Receipt.State.ORPHANED.value).inc()


def _give_up(entry: Buffered, reason: str) -> None:
    """What was acknowledged and can't be processed is kept for people to read."""
    logger.error("webhook given up", connection=entry.connection, reason=reason)
    content = entry.payload.body or entry.payload.query.encode()
    text = content.decode("utf-8", "replace").replace("\0", "\\0")  # Postgres can't store NUL
    DeadLetter.objects.create(queue="receipts", reason=reason, task=text)
    metrics.DEAD_LETTERS.labels("webhook").inc()
