"""Who is not written to, and since when; and when people last wrote on WhatsApp.

`dispatch.suppressions` and `dispatch.windows` are the only ways in and out.
"""

from django.db import models
from django.db.models.functions import Now
from uuid_utils.compat import uuid7

from dispatch.models.connections import Connection
from dispatch.vocabulary import Channel, SuppressionReason
from sendmsg.accounts.models import Account


class Suppression(models.Model):
    """A person to whom an account sends nothing: from one sender or from all, by one channel or by all."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    account = models.ForeignKey(Account, on_delete=models.PROTECT, db_index=False)
    test = models.BooleanField(default=False, help_text="For messages of test keys, and only those.")
    recipient = models.CharField(max_length=16, help_text="E.164")
    sender = models.CharField(max_length=32, blank=True, help_text="Empty: from any sender of the account.")
    channel = models.CharField(max_length=10, choices=Channel.choices, blank=True, help_text="Empty: by any.")
    reason = models.CharField(max_length=10, choices=SuppressionReason.choices)
    detail = models.CharField(max_length=100, blank=True, help_text="The keyword, the provider's code, or a note.")
    created_at = models.DateTimeField(db_default=Now(), editable=False)
    confirmed_at = models.DateTimeField(
        null=True, editable=False, help_text="When the person was last owed a confirmation of a keyword."
    )

    class Meta:
        ordering = ("-id",)
        constraints = [
            # Begins with what lookups know: the account and the recipient.
            models.UniqueConstraint(
                fields=["account", "recipient", "sender", "channel", "test"], name="suppression_once"
            )
        ]
        indexes = [models.Index(fields=["account", "test", "-id"], name="suppression_account")]

    def __str__(self) -> str:
        return str(self.id)


class WhatsAppWindow(models.Model):
    """When a person last wrote to a WhatsApp number of ours: for 24 hours from then they may be sent any text.

    Or, in a row without a number, when the provider last refused a text because of that.
    """

    id = models.BigAutoField(primary_key=True)
    connection = models.ForeignKey(Connection, on_delete=models.CASCADE, db_index=False)
    number = models.CharField(max_length=32, blank=True, help_text="Ours.")
    recipient = models.CharField(max_length=8, help_text="The last digits of who wrote.")
    last_inbound_at = models.DateTimeField(null=True)
    refused_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["connection", "number", "recipient"], name="whatsapp_window_once")
        ]
        indexes = [models.Index(fields=["connection", "recipient"], name="whatsapp_window_recipient")]

    def __str__(self) -> str:
        return f"{self.number} {self.recipient}"
