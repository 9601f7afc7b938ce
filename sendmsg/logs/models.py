"""The timeline of every message, in the logs database, one partition a day (UTC).

Append-only. Django knows `id` as the key; in Postgres it is `(id, at)`, because a partitioned table's key holds its
partition column. Writing the same event again is a no-op.
"""

from django.db import models

from sendmsg.journal.events import EventType


class Event(models.Model):
    """One line of a message's timeline. Ids of the other database are plain values here: no relation crosses."""

    id = models.UUIDField(primary_key=True, editable=False)
    message_id = models.UUIDField(editable=False)
    account_id = models.UUIDField(editable=False)
    type = models.CharField(max_length=20, choices=[(kind.value, kind.value) for kind in EventType], editable=False)
    at = models.DateTimeField(editable=False)
    data = models.JSONField(default=dict, editable=False)

    class Meta:
        ordering = ("at", "id")

    def __str__(self) -> str:
        return f"{self.type} {self.at:%Y-%m-%d %H:%M:%S}"
