"""Who was erased, when, by whom and why; without the number. `dispatch.retention.erasure` writes it."""

from django.db import models
from django.db.models.functions import Now
from uuid_utils.compat import uuid7


class Erasure(models.Model):
    """One run of `manage.py erase`. Without `finished_at` it ended midway, or left something that was under way."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    recipient = models.CharField(max_length=64, db_index=True, help_text="Keyed hash of the number, in hex.")
    by = models.CharField(max_length=160, help_text="cli:<user>")
    reason = models.CharField(max_length=300, help_text="In the words of who did it: the request's reference.")
    counts = models.JSONField(default=dict, help_text="What was erased, by kind.")
    started_at = models.DateTimeField(db_default=Now(), editable=False)
    finished_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ("-id",)

    def __str__(self) -> str:
        return str(self.id)
