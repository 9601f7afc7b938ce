"""Messages and what becomes of them. The row of a message is the truth; queues carry its id.

State changes go through `dispatch.transitions` alone: nothing here has a `save()` that moves a state.
"""

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models.functions import Left, Length
from django.db.models.lookups import Exact, GreaterThan
from uuid_utils.compat import uuid7

from dispatch.models.broadcasts import Broadcast
from dispatch.models.connections import Connection
from dispatch.states import FINAL, State
from dispatch.vocabulary import AttemptOutcome, Channel, Priority
from sendmsg.accounts.models import Account
from sendmsg.sealing.envelope import MARK
from sendmsg.sealing.fields import SealedTextField

SHORT = 160  # characters of a text that stay as long as its row: an SMS of one segment

LONG = models.Q(long=True) | models.Q(
    GreaterThan(Length("body"), SHORT), ~models.Q(Exact(Left("body", len(MARK)), MARK))
)
"""Texts that are longer; those in clear too, of which code before `long` said nothing."""


class Message(models.Model):
    """An accepted message."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    account = models.ForeignKey(Account, on_delete=models.PROTECT, db_index=False)
    test = models.BooleanField(default=False, help_text="Made with a test key: only ever reaches a sandbox.")
    broadcast = models.ForeignKey(Broadcast, null=True, on_delete=models.PROTECT, db_index=False)
    exempt = models.BooleanField(
        default=False, db_default=False, help_text="An answer to a keyword: no suppression holds it back."
    )
    channel = models.CharField(max_length=10, choices=Channel.choices)
    to = models.CharField(max_length=16, help_text="E.164")
    sender = models.CharField(max_length=16, blank=True)
    body = SealedTextField(flag="long", beyond=SHORT)
    long = models.BooleanField(default=False, db_default=False, help_text="The text has more than 160 characters.")
    body_length = models.PositiveIntegerField(null=True, help_text="Characters of the text before it was shortened.")
    body_hash = models.CharField(max_length=64, blank=True, db_default="", help_text="Keyed, of the whole text.")
    segments = models.PositiveSmallIntegerField()
    encoding = models.CharField(max_length=5)
    priority = models.PositiveSmallIntegerField(choices=Priority.choices, default=Priority.NORMAL)
    client_reference = models.CharField(max_length=100, blank=True)
    metadata = models.JSONField(default=dict)
    callback_url = models.TextField(blank=True, db_default="", help_text="Told of its states, beside the endpoints.")
    sequence = models.PositiveIntegerField(
        default=0, db_default=0, help_text="Counts the states that clients are told of; in their callbacks."
    )
    trace = models.CharField(
        max_length=55, blank=True, db_default="", help_text="Where its spans belong (sendmsg.telemetry.traceparent)."
    )
    request_id = models.CharField(
        max_length=64, blank=True, db_default="", help_text="Of the request that brought it: its log lines have it too."
    )

    state = models.CharField(max_length=12, choices=State.choices, default=State.QUEUED)
    lane = models.BigIntegerField(
        default=0, db_default=0, help_text="Route, channel and mode in one number (dispatch.lanes); negative: held."
    )
    connection = models.ForeignKey(Connection, null=True, on_delete=models.PROTECT, db_index=False)
    chosen_connection = models.ForeignKey(
        Connection,
        null=True,
        on_delete=models.PROTECT,
        related_name="+",
        db_index=False,
        help_text="Replayed by this connection and no other; empty: routing chooses.",
    )
    release = models.PositiveIntegerField(default=0, help_text="Counts releases; a task names the one it belongs to.")
    tries = models.PositiveIntegerField(default=0, help_text="Attempts made.")
    failures = models.PositiveIntegerField(
        default=0, db_default=0, help_text="Attempts that failed since it was accepted or replayed; waits grow by them."
    )
    option = models.BigIntegerField(
        null=True, help_text="What it was last released by: a step of a route, or a connection as a negative number."
    )
    avoided = models.BigIntegerField(null=True, help_text="The option that just failed: any other goes first.")
    refused = ArrayField(
        models.BigIntegerField(), default=list, db_default=[], help_text="Options that refused it for good."
    )
    in_doubt = models.BooleanField(default=False, help_text="An attempt's outcome is unknown: it may have been sent.")
    doubt_until = models.DateTimeField(
        null=True, help_text="While in doubt: until then a repeat, a question or a receipt may clear it up."
    )
    error_code = models.CharField(max_length=60, blank=True)
    error_detail = models.CharField(max_length=300, blank=True)

    send_at = models.DateTimeField(null=True)
    due_at = models.DateTimeField(help_text="While queued: when the relay may release it.")
    lease_until = models.DateTimeField(null=True, help_text="While released or sending: when it moves again by itself.")
    expires_at = models.DateTimeField()
    created_at = models.DateTimeField()
    updated_at = models.DateTimeField()

    class Meta:
        ordering = ("-id",)
        permissions = [("read_text", "Can read what messages say")]
        indexes = [
            models.Index(
                fields=["lane", "priority", "account", "due_at"],
                name="message_lane",
                condition=models.Q(state=State.QUEUED),
            ),
            models.Index(fields=["expires_at"], name="message_expiry", condition=models.Q(state=State.QUEUED)),
            models.Index(
                fields=["doubt_until"], name="message_doubt", condition=models.Q(state=State.QUEUED, in_doubt=True)
            ),
            models.Index(
                fields=["lease_until"],
                name="message_lease",
                condition=models.Q(state__in=[State.RELEASED, State.SENDING]),
            ),
            models.Index(
                fields=["connection", "updated_at"], name="message_sent", condition=models.Q(state=State.SENT)
            ),
            models.Index(fields=["account", "-id"], name="message_account"),
            models.Index(fields=["account", "state", "-id"], name="message_account_state"),
            models.Index(fields=["account", "to", "-id"], name="message_account_to"),
            models.Index(
                fields=["account", "client_reference", "-id"],
                name="message_account_reference",
                condition=~models.Q(client_reference=""),
            ),
            # Counts a broadcast's messages by state, and finds those to hold and to let go.
            models.Index(
                fields=["broadcast", "state", "lane"],
                name="message_broadcast",
                condition=models.Q(broadcast__isnull=False),
            ),
            # For people who look for trouble: partial, so a message that simply delivers touches none of them.
            models.Index(fields=["error_code", "-id"], name="message_error", condition=~models.Q(error_code="")),
            models.Index(
                fields=["state", "-id"],
                name="message_ended_badly",
                condition=models.Q(
                    state__in=[State.UNDELIVERED, State.FAILED, State.EXPIRED, State.CANCELED, State.UNKNOWN]
                ),
            ),
            models.Index(fields=["-id"], name="message_test", condition=models.Q(test=True)),
            # What is still to be shortened. Few texts are that long, so most messages never touch it.
            models.Index(
                fields=["account", "updated_at"],
                name="message_shorten",
                condition=models.Q(LONG, state__in=sorted(FINAL), body_length=None),
            ),
        ]

    def __str__(self) -> str:
        return str(self.id)


class Attempt(models.Model):
    """One try at a provider. Written before the call, finished after it: a crash in between leaves it open."""

    id = models.BigAutoField(primary_key=True)
    message = models.ForeignKey(Message, on_delete=models.CASCADE, related_name="attempts", db_index=False)
    number = models.PositiveIntegerField()
    connection = models.ForeignKey(Connection, on_delete=models.PROTECT, db_index=False)
    started_at = models.DateTimeField()
    finished_at = models.DateTimeField(null=True)
    outcome = models.CharField(max_length=12, choices=AttemptOutcome.choices, blank=True)
    code = models.CharField(max_length=60, blank=True)
    detail = models.CharField(max_length=300, blank=True)

    class Meta:
        ordering = ("message", "number")
        constraints = [models.UniqueConstraint(fields=["message", "number"], name="attempt_once")]

    def __str__(self) -> str:
        return f"{self.message_id} #{self.number}"


class ProviderReference(models.Model):
    """An id that a provider gave to a message; one message may have several, an id belongs to one message."""

    connection = models.ForeignKey(Connection, on_delete=models.CASCADE, db_index=False)
    value = models.CharField(max_length=128)
    message = models.ForeignKey(Message, on_delete=models.CASCADE, related_name="references")
    attempt = models.PositiveIntegerField(
        null=True, help_text="The number of the attempt that it was given to; several of one attempt are parts."
    )

    class Meta:
        constraints = [models.UniqueConstraint(fields=["connection", "value"], name="reference_once")]

    def __str__(self) -> str:
        return self.value
