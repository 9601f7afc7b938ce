"""The timeline of every message, in the logs database, one partition a day (UTC); and what is in the archive.

The timeline is append-only. Django knows `id` as the key; in Postgres it is `(id, at)`, because a partitioned table's
key holds its partition column. Writing the same event again is a no-op.
"""

from uuid import uuid4

from django.contrib.postgres.fields import ArrayField
from django.db import models

from sendmsg.encryption import EncryptedJSONField
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


class ArchiveFile(models.Model):
    """A file of the archive that was read back and is whole: what happened on a day, or was accepted, of one account.

    `emptied_at` is written in the transaction that drops the day, or after the last row was deleted; a file with
    neither it nor `leaving_at` may be behind its rows, and is written again then.
    """

    class Kind(models.TextChoices):
        EVENTS = "events", "events"  # of the timeline, by the day that they happened
        MESSAGES = "messages", "messages"  # with attempts, receipts and letters, by the day that they were accepted

    kind = models.CharField(max_length=8, choices=Kind.choices)
    account_id = models.UUIDField()
    day = models.DateField()
    part = models.PositiveIntegerField(help_text="From 1; what came late makes another.")
    name = models.CharField(max_length=120, help_text="In the storage.")
    rows = models.PositiveIntegerField()
    bytes = models.PositiveBigIntegerField()
    sha256 = models.CharField(max_length=64, help_text="Of the file.")
    first_message = models.UUIDField(help_text="The smallest of their ids.")
    last_message = models.UUIDField()
    written_at = models.DateTimeField()
    leaving_at = models.DateTimeField(null=True, help_text="When events began to be deleted before their day was.")
    emptied_at = models.DateTimeField(null=True, help_text="When the rows left their database.")

    class Meta:
        ordering = ("day", "kind", "account_id", "part")
        constraints = [models.UniqueConstraint(fields=["kind", "account_id", "day", "part"], name="archive_file_once")]
        indexes = [models.Index(fields=["kind", "last_message"], name="archive_file_message")]

    def __str__(self) -> str:
        return self.name


class ClearedDay(models.Model):
    """A day of the timeline that others' events have left: whose are still there, so that it need not be counted."""

    day = models.DateField(unique=True)
    staying = ArrayField(models.UUIDField(), help_text="Accounts.")
    looked_at = models.DateTimeField()

    def __str__(self) -> str:
        return f"{self.day}"


class ArchiveKey(models.Model):
    """Half of what opens the sealed lines of an account's month. Without it the whole month is shut."""

    account_id = models.UUIDField()
    month = models.DateField(help_text="Its first day.")
    key = EncryptedJSONField(editable=False)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["account_id", "month"], name="archive_key_once")]

    def __str__(self) -> str:
        return f"{self.account_id} {self.month:%Y-%m}"


class RecipientKey(models.Model):
    """The other half, of one recipient's lines of a month: deleting it erases them, wherever copies of the file are.

    A line names its key by `id`, which is chance: once the row is gone, nothing leads from a line to a number.
    """

    id = models.UUIDField(primary_key=True, default=uuid4, editable=False)
    month = models.DateField(help_text="Its first day.")
    recipient = models.BinaryField(max_length=32, help_text="Keyed hash of the number.")
    secret = models.BinaryField(max_length=32)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["recipient", "month"], name="recipient_key_once")]
        indexes = [models.Index(fields=["month"], name="recipient_key_month")]

    def __str__(self) -> str:
        return str(self.id)


class HashKey(models.Model):
    """The one key of keyed hashes. It never changes: what was hashed with it could not be found again."""

    id = models.PositiveSmallIntegerField(primary_key=True, default=1)
    key = EncryptedJSONField(editable=False)

    def __str__(self) -> str:
        return "hash key"
