"""What clients are to be told, on its way to their endpoints, and which clients want to be told at all.

`webhooks.callbacks` turns announcements into callbacks and deletes them. Plain ids and no relations: nothing is looked
up when one is written, and nobody cascades into a table that is empty most of the time.
"""

from django.db import models

from sendmsg.sealing.fields import SealedJSONField


class Announcement(models.Model):
    """One thing that happened; written in the transaction that made it happen."""

    id = models.BigAutoField(primary_key=True)
    account_id = models.UUIDField()
    test = models.BooleanField()
    type = models.CharField(max_length=40, help_text="As clients see it: message.delivered.")
    message_id = models.UUIDField(null=True)
    sequence = models.PositiveIntegerField(null=True, help_text="Of this message's announcements, from 1.")
    data = SealedJSONField(help_text="What the callback says; of a message, what its row may not say any more.")
    url = models.TextField(blank=True, help_text="The message's own callback URL.")
    at = models.DateTimeField(help_text="When it happened.")

    class Meta:
        indexes = [models.Index(fields=["account_id", "id"], name="announcement_account")]

    def __str__(self) -> str:
        return f"{self.type} {self.message_id or ''}".rstrip()


class Listener(models.Model):
    """Somebody has an endpoint for this account and mode. Without one, and without a URL, nothing is announced."""

    account_id = models.UUIDField()
    test = models.BooleanField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["account_id", "test"], name="listener_once")]

    def __str__(self) -> str:
        return f"{self.account_id} {'test' if self.test else 'live'}"
