"""Dead letters: what could not be done, kept until somebody has seen to it."""

from django.db import models
from django.db.models.functions import Now
from uuid_utils.compat import uuid7

from dispatch.models.connections import Connection
from dispatch.models.messages import Message
from dispatch.vocabulary import LetterState
from sendmsg.accounts.models import Account
from sendmsg.sealing.fields import SealedTextField


class DeadLetter(models.Model):
    """What could not be done: a message that failed for good, or a task that no worker could process.

    Handled once: by replaying or discarding it (`dispatch.replays`), which is the only way its state changes.
    """

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    message = models.ForeignKey(Message, null=True, on_delete=models.CASCADE, related_name="dead_letters")
    account = models.ForeignKey(
        Account, null=True, on_delete=models.PROTECT, db_index=False, help_text="Its message's."
    )
    test = models.BooleanField(default=False, help_text="Of a message made with a test key.")
    connection = models.ForeignKey(
        Connection, null=True, on_delete=models.PROTECT, db_index=False, help_text="Its message's, when it died."
    )
    queue = models.CharField(max_length=100, blank=True, help_text="Where a dead task came from.")
    reason = models.CharField(max_length=60)
    detail = models.CharField(max_length=300, blank=True)
    task = SealedTextField(blank=True, help_text="The body of a dead task: ids, as it came.")
    created_at = models.DateTimeField(db_default=Now(), editable=False)

    state = models.CharField(max_length=10, choices=LetterState.choices, default=LetterState.OPEN)
    handled_at = models.DateTimeField(null=True, help_text="When it was replayed or discarded.")
    handled_by = models.CharField(max_length=160, blank=True, help_text="A user of the admin, api:<key> or cli:<user>.")
    note = models.CharField(max_length=300, blank=True, help_text="Why, in the words of who did it.")

    class Meta:
        ordering = ("-id",)
        indexes = [
            models.Index(fields=["reason", "-id"], name="deadletter_reason"),
            models.Index(fields=["account", "test", "-id"], name="deadletter_account"),
            models.Index(fields=["connection", "-id"], name="deadletter_connection"),
            models.Index(fields=["state", "-id"], name="deadletter_state"),
        ]

    def __str__(self) -> str:
        return f"{self.reason} {self.message_id or self.queue}"
