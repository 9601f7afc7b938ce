"""Broadcasts: one text to many recipients, each a message of its own. `dispatch.bulk` makes and moves them."""

from django.db import models
from uuid_utils.compat import uuid7

from dispatch.vocabulary import BroadcastState, Channel, Priority
from sendmsg.accounts.models import Account
from sendmsg.sealing.fields import SealedBinaryField, SealedJSONField, SealedTextField


class Broadcast(models.Model):
    """What its messages have in common, and how its list of recipients was taken."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    account = models.ForeignKey(Account, on_delete=models.PROTECT, db_index=False)
    test = models.BooleanField(default=False, help_text="Made with a test key: only ever reaches a sandbox.")
    name = models.CharField(max_length=100, blank=True)
    state = models.CharField(max_length=10, choices=BroadcastState.choices, default=BroadcastState.RUNNING)
    channel = models.CharField(max_length=10, choices=Channel.choices)
    sender = models.CharField(max_length=16, blank=True)
    body = SealedTextField(help_text="The text, with its placeholders.")
    priority = models.PositiveSmallIntegerField(choices=Priority.choices, default=Priority.BULK)
    recipients = models.PositiveIntegerField(default=0, help_text="Messages made.")
    duplicates = models.PositiveIntegerField(default=0, help_text="Recipients that were in the list before.")
    rejected = models.PositiveIntegerField(default=0, help_text="Recipients that could not be accepted.")
    rejections = models.JSONField(default=list, help_text="The first of these: line, field, code, detail.")
    segments = models.PositiveIntegerField(default=0, help_text="Of all its messages.")
    send_at = models.DateTimeField(null=True)
    expires_at = models.DateTimeField()
    created_at = models.DateTimeField()
    finished_at = models.DateTimeField(null=True, help_text="When nothing of it waited or was under way any more.")

    class Meta:
        ordering = ("-id",)
        indexes = [
            models.Index(fields=["account", "test", "-id"], name="broadcast_account"),
            models.Index(
                fields=["state"],
                name="broadcast_open",
                condition=models.Q(state__in=[BroadcastState.RUNNING, BroadcastState.PAUSED, BroadcastState.CANCELING]),
            ),
        ]

    def __str__(self) -> str:
        return self.name or str(self.id)


class BroadcastDraft(models.Model):
    """A list that somebody uploaded in the admin and has not confirmed yet; deleted then, or the day after."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    user_id = models.BigIntegerField(help_text="Of the admin's user who uploaded it; nobody else may confirm it.")
    account = models.ForeignKey(Account, on_delete=models.CASCADE, db_index=False)
    test = models.BooleanField(default=False)
    fields = SealedJSONField(help_text="As of POST /v1/broadcasts, without recipients.")
    content = SealedBinaryField(help_text="The file: CSV in UTF-8.")
    created_at = models.DateTimeField(auto_now_add=True)

    def __str__(self) -> str:
        return str(self.id)
