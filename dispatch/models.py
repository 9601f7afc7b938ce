"""Messages and what becomes of them. The row of a message is the truth; queues carry its id.

State changes go through `dispatch.transitions` alone: nothing here has a `save()` that moves a state.
"""

from django.core.validators import MinValueValidator, RegexValidator
from django.db import models
from django.db.models.functions import Now
from uuid_utils.compat import uuid7

from dispatch.states import State
from dispatch.vocabulary import AttemptOutcome, Channel, LetterState, Priority
from sendmsg.accounts.models import Account
from sendmsg.encryption import EncryptedJSONField

CONNECTION_NAME = RegexValidator(r"\A[a-z][a-z0-9-]{0,39}\Z", "Lower-case letters, digits and hyphens, 40 at most.")
BASE_URL = RegexValidator(r"\Ahttps?://[^\s/?#]+[^\s?#]*\Z", "A URL that begins with https:// or http://.")


class Connection(models.Model):
    """An account at a provider: where it is, how we log in, and how much of it may be used."""

    name = models.CharField(max_length=40, unique=True, validators=[CONNECTION_NAME], help_text="Also names its queue.")
    provider = models.CharField(max_length=40, help_text="Whose API it speaks.")
    base_url = models.CharField(max_length=200, validators=[BASE_URL], help_text="Where the provider's API begins.")
    credentials = EncryptedJSONField(default=dict, help_text="Encrypted; the adapter's docs name the keys.")
    sandbox = models.BooleanField(default=False, help_text="Takes test keys' messages, and only those.")
    enabled = models.BooleanField(default=True)
    weight = models.PositiveSmallIntegerField(default=100, help_text="Share among connections that could serve.")
    rate = models.FloatField(
        null=True,
        blank=True,
        validators=[MinValueValidator(0.01)],
        help_text="Segments a second, over all workers. Empty: no limit.",
    )
    concurrency = models.PositiveSmallIntegerField(
        default=16, validators=[MinValueValidator(1)], help_text="Calls at a time, per worker process."
    )
    created_at = models.DateTimeField(db_default=Now(), editable=False)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        ordering = ("name",)

    def __str__(self) -> str:
        return self.name


class Message(models.Model):
    """An accepted message."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    account = models.ForeignKey(Account, on_delete=models.PROTECT, db_index=False)
    test = models.BooleanField(default=False, help_text="Made with a test key: only ever reaches a sandbox.")
    channel = models.CharField(max_length=10, choices=Channel.choices)
    to = models.CharField(max_length=16, help_text="E.164")
    sender = models.CharField(max_length=16, blank=True)
    body = models.TextField()
    segments = models.PositiveSmallIntegerField()
    encoding = models.CharField(max_length=5)
    priority = models.PositiveSmallIntegerField(choices=Priority.choices, default=Priority.NORMAL)
    client_reference = models.CharField(max_length=100, blank=True)
    metadata = models.JSONField(default=dict)

    state = models.CharField(max_length=12, choices=State.choices, default=State.QUEUED)
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
    in_doubt = models.BooleanField(default=False, help_text="An attempt's outcome is unknown: it may have been sent.")
    repeat_until = models.DateTimeField(null=True, help_text="While in doubt: how long the provider knows a repeat.")
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
        indexes = [
            models.Index(fields=["priority", "due_at"], name="message_due", condition=models.Q(state=State.QUEUED)),
            models.Index(fields=["expires_at"], name="message_expiry", condition=models.Q(state=State.QUEUED)),
            models.Index(
                fields=["lease_until"],
                name="message_lease",
                condition=models.Q(state__in=[State.RELEASED, State.SENDING]),
            ),
            models.Index(fields=["account", "-id"], name="message_account"),
            models.Index(fields=["account", "state", "-id"], name="message_account_state"),
            models.Index(fields=["account", "to", "-id"], name="message_account_to"),
            models.Index(
                fields=["account", "client_reference", "-id"],
                name="message_account_reference",
                condition=~models.Q(client_reference=""),
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

    class Meta:
        constraints = [models.UniqueConstraint(fields=["connection", "value"], name="reference_once")]

    def __str__(self) -> str:
        return self.value


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
    task = models.TextField(blank=True, help_text="The body of a dead task: ids, as it came.")
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
