"""What providers told us: receipts as evidence, whether or not they changed anything, and messages from people."""

from django.db import models
from django.db.models.functions import Now
from uuid_utils.compat import uuid7

from dispatch.models import Connection, Message
from dispatch.vocabulary import Channel, ReceiptStatus
from sendmsg.accounts.models import Account
from sendmsg.sealing.fields import SealedTextField
from webhooks.callbacks.models import Callback, Endpoint, MessageSecret

__all__ = ["Callback", "Endpoint", "Inbound", "InboundNumber", "InboundPart", "MessageSecret", "Receipt"]


class Receipt(models.Model):
    """One report of a provider about one of its ids. The same report twice is one row."""

    class State(models.TextChoices):
        PARKED = "parked", "parked"  # its message is not known yet, or not sent yet
        APPLIED = "applied", "applied"  # it moved its message
        NOTED = "noted", "noted"  # it belongs to a message and had nothing to change
        ORPHANED = "orphaned", "orphaned"  # no message turned up in time

    id = models.BigAutoField(primary_key=True)
    connection = models.ForeignKey(Connection, on_delete=models.CASCADE, db_index=False)
    provider_id = models.CharField(max_length=128)
    status = models.CharField(max_length=12, choices=ReceiptStatus.choices)
    error_code = models.CharField(max_length=60, blank=True)
    at = models.DateTimeField(help_text="When it happened, says the provider.")
    received_at = models.DateTimeField(db_default=Now())
    state = models.CharField(max_length=8, choices=State.choices, default=State.PARKED)
    message = models.ForeignKey(Message, null=True, on_delete=models.CASCADE, related_name="receipts")
    echoed_id = models.UUIDField(
        null=True, help_text="The reference of ours that the provider gave back: a claim, until it was looked up."
    )

    class Meta:
        ordering = ("id",)
        constraints = [
            models.UniqueConstraint(fields=["connection", "provider_id", "status"], name="receipt_once"),
        ]
        indexes = [
            models.Index(fields=["id"], name="receipt_parked", condition=models.Q(state="parked")),
            models.Index(fields=["-id"], name="receipt_orphaned", condition=models.Q(state="orphaned")),
        ]

    def __str__(self) -> str:
        return f"{self.provider_id} {self.status}"


class Enquiry(models.Model):
    """A message whose receipt is waited for, and when its provider is asked about it next."""

    message = models.OneToOneField(Message, primary_key=True, on_delete=models.CASCADE, related_name="+")
    connection = models.ForeignKey(Connection, on_delete=models.CASCADE, db_index=False)
    asked = models.PositiveSmallIntegerField(default=0, help_text="How often.")
    ask_at = models.DateTimeField()

    class Meta:
        indexes = [models.Index(fields=["connection", "ask_at"], name="enquiry_due")]

    def __str__(self) -> str:
        return str(self.message_id)


class InboundNumber(models.Model):
    """One of our numbers at a connection, and whose it is: messages that come to it are that account's.

    From the time it is entered: what came before stays nobody's.
    """

    connection = models.ForeignKey(Connection, on_delete=models.CASCADE, db_index=False)
    number = models.CharField(max_length=32, help_text="With + and country code; a short code without.")
    account = models.ForeignKey(Account, on_delete=models.PROTECT, help_text="Reads what comes to the number.")

    class Meta:
        ordering = ("number",)
        constraints = [models.UniqueConstraint(fields=["connection", "number"], name="inbound_number_once")]

    def __str__(self) -> str:
        return self.number


class Inbound(models.Model):
    """A message from a person to one of our numbers. The same from the provider twice is one row."""

    class Keyword(models.TextChoices):
        """What the whole text is; what only holds a word for STOP is for people to look at."""

        STOP = "stop", "stop"
        START = "start", "start"
        HELP = "help", "help"
        NEAR_STOP = "near_stop", "perhaps stop"

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    connection = models.ForeignKey(Connection, on_delete=models.PROTECT, db_index=False)
    provider_id = models.CharField(max_length=128)
    account = models.ForeignKey(
        Account, null=True, on_delete=models.PROTECT, db_index=False, help_text="Empty: the number is nobody's."
    )
    test = models.BooleanField(default=False, help_text="Of a sandbox: test keys see it, and only those.")
    channel = models.CharField(max_length=10, choices=Channel.choices)
    sender = models.CharField(max_length=32)
    to = models.CharField(max_length=32)
    body = SealedTextField(blank=True)
    keyword = models.CharField(max_length=10, choices=Keyword.choices, blank=True, db_default="")
    media = models.JSONField(default=list, help_text="What came with it: references at the provider, and their types.")
    received_at = models.DateTimeField(help_text="When it came, says the provider.")
    created_at = models.DateTimeField(db_default=Now(), editable=False)

    class Meta:
        ordering = ("-id",)
        verbose_name = "inbound message"
        constraints = [models.UniqueConstraint(fields=["connection", "provider_id"], name="inbound_once")]
        indexes = [
            models.Index(fields=["account", "test", "-id"], name="inbound_account"),
            models.Index(fields=["sender", "-id"], name="inbound_sender"),
            models.Index(fields=["-id"], name="inbound_nobodys", condition=models.Q(account=None)),
            models.Index(fields=["keyword", "-id"], name="inbound_keyword", condition=~models.Q(keyword="")),
        ]

    def __str__(self) -> str:
        return str(self.id)


class InboundPart(models.Model):
    """A part of a longer text, until all have come; kept a while longer, so that a copy of it starts no new text."""

    id = models.BigAutoField(primary_key=True)
    connection = models.ForeignKey(Connection, on_delete=models.CASCADE, db_index=False)
    provider_id = models.CharField(max_length=128)
    reference = models.CharField(max_length=20)
    number = models.PositiveSmallIntegerField(help_text="From 1.")
    total = models.PositiveSmallIntegerField()
    channel = models.CharField(max_length=10, choices=Channel.choices)
    sender = models.CharField(max_length=32)
    to = models.CharField(max_length=32)
    body = SealedTextField(blank=True)
    received_at = models.DateTimeField()
    created_at = models.DateTimeField(db_default=Now(), editable=False)
    whole = models.ForeignKey(Inbound, null=True, on_delete=models.CASCADE, help_text="What it became a part of.")

    class Meta:
        constraints = [models.UniqueConstraint(fields=["connection", "provider_id"], name="inbound_part_once")]
        indexes = [
            models.Index(
                fields=["connection", "sender", "to", "reference", "total"],
                name="inbound_part_waiting",
                condition=models.Q(whole=None),
            ),
            models.Index(fields=["created_at"], name="inbound_part_age"),
        ]

    def __str__(self) -> str:
        return f"{self.provider_id} {self.number}/{self.total}"
