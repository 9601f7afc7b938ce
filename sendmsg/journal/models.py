"""The journal: events on their way to the logs database.

An event is written here in the same transaction as the change that it tells of, so neither can exist without the
other whatever is killed when. The log writer (`sendmsg.logs.writer`) moves entries on and deletes them: while the
logs database is away they wait here and sending goes on. One entry holds the events of one batch.
"""

import json
from typing import Any

from django.db import models
from django.db.models.functions import Now


class JournalEntry(models.Model):
    """A batch of events; `text` is a list of objects in JSON, as `sendmsg.journal.events.Event.as_json` writes them.

    A text and no `jsonb`: nobody looks into an entry here, and making one took longer than moving the message.
    """

    id = models.BigAutoField(primary_key=True)
    created_at = models.DateTimeField(db_default=Now(), editable=False)
    text = models.TextField(db_column="events")

    class Meta:
        verbose_name_plural = "journal entries"

    def __str__(self) -> str:
        return f"{self.pk}: {len(self.events)} events"

    @property
    def events(self) -> list[dict[str, Any]]:
        return list(json.loads(self.text))
