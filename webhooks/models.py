"""Receipts as evidence: every one that a provider signed is kept, whether or not it changed anything."""

from django.db import models
from django.db.models.functions import Now

from dispatch.models import Connection, Message
from dispatch.vocabulary import ReceiptStatus


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
