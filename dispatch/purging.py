"""Deletes dead letters that were handled long ago, in batches.

A replayed letter tells how long its message may be tried (`dispatch.replays`). So it is kept while that message is
under way, and while it has an open letter, by which it may be replayed once more.
"""

from collections.abc import Iterator
from datetime import timedelta
from typing import Final
from uuid import UUID

from django.db import transaction
from django.db.models import Exists, OuterRef, Q, QuerySet
from django.utils import timezone

from dispatch.models import DeadLetter
from dispatch.states import State
from dispatch.vocabulary import LetterState

BATCH: Final = 500  # letters a transaction
UNDER_WAY: Final = (State.QUEUED, State.RELEASED, State.SENDING)


def purgeable(letters: QuerySet[DeadLetter], days: int) -> QuerySet[DeadLetter]:
    """Those of `letters` that were handled at least so many days ago, and that nothing needs any more."""
    open_ones = DeadLetter.objects.filter(message=OuterRef("message"), state=LetterState.OPEN)
    return (
        letters.exclude(state=LetterState.OPEN)
        .filter(Q(message=None) | ~Q(message__state__in=UNDER_WAY))
        .filter(~Exists(open_ones), handled_at__lte=timezone.now() - timedelta(days=days))
    )


def purge(letters: QuerySet[DeadLetter]) -> Iterator[int]:
    """Delete `letters`, oldest first; how many, after each batch that was committed."""
    last = UUID(int=0)
    while batch := list(letters.filter(id__gt=last).order_by("id").values_list("id", flat=True)[:BATCH]):
        last = batch[-1]
        with transaction.atomic():
            DeadLetter.objects.filter(id__in=batch).exclude(state=LetterState.OPEN).delete()
        yield len(batch)
