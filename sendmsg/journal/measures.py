"""How far the log writer is behind."""

from collections.abc import Iterator
from typing import Final

from django.utils import timezone

from sendmsg.journal.models import JournalEntry
from sendmsg.telemetry import gauges
from sendmsg.telemetry.gauges import Reading

BOUND: Final = 10_000  # entries that are counted at the most


def journal() -> Iterator[Reading]:
    entries = JournalEntry.objects.order_by("id")
    oldest = entries.values_list("created_at", flat=True).first()
    age = (timezone.now() - oldest).total_seconds() if oldest is not None else 0.0
    yield Reading(gauges.JOURNAL, entries[:BOUND].count())
    yield Reading(gauges.JOURNAL_OLDEST, max(0.0, age))
