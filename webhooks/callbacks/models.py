"""Clients' endpoints and what they are told.

A callback waits on its row like everything else here: `due_at` says when it is sent, or, while it is being sent, when
it is sent again because whoever held it is gone.
"""

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models.functions import Now
from uuid_utils.compat import uuid7

from sendmsg.accounts.models import Account
from sendmsg.encryption import EncryptedJSONField
from sendmsg.sealing.fields import SealedCharField, SealedTextField
from webhooks.callbacks.vocabulary import CallbackState, Compression, DisabledReason, EndpointKind, EndpointState, Kind

RESPONSE_LENGTH = 1000  # characters of an answer that are kept: enough for an error page's headline


class Signer(models.Model):
    """Holds secrets that callbacks are signed with (`webhooks.callbacks.signing`)."""

    secret = EncryptedJSONField(editable=False)
    old_secrets = EncryptedJSONField(editable=False, help_text="Pairs of a secret and until when it signs too.")

    class Meta:
        abstract = True


class Endpoint(Signer):
    """Where a client wants to be called. `failures` and `paused_until` are its circuit breaker."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    account = models.ForeignKey(Account, on_delete=models.PROTECT, db_index=False)
    test = models.BooleanField(default=False, help_text="Hears of what test keys do, and of nothing else.")
    kind = models.CharField(max_length=8, choices=EndpointKind.choices, default=EndpointKind.DECLARED)
    url = models.TextField(help_text="Of the kind `messages`: scheme, host and port.")
    event_types = ArrayField(models.CharField(max_length=40), default=list, blank=True, help_text="Empty: all.")
    description = models.CharField(max_length=100, blank=True)
    compression = models.CharField(
        max_length=8, choices=Compression.choices, default=Compression.NONE, db_default=Compression.NONE
    )
    state = models.CharField(max_length=8, choices=EndpointState.choices, default=EndpointState.ENABLED)
    disabled_reason = models.CharField(max_length=8, choices=DisabledReason.choices, blank=True)
    disabled_at = models.DateTimeField(null=True)
    failures = models.PositiveIntegerField(default=0, help_text="In a row; a success sets it to 0.")
    failing_since = models.DateTimeField(null=True)
    paused_until = models.DateTimeField(null=True, help_text="Left alone until then, after failures in a row.")
    created_at = models.DateTimeField(db_default=Now(), editable=False)
    updated_at = models.DateTimeField(db_default=Now(), editable=False)

    class Meta:
        ordering = ("-id",)
        constraints = [
            models.UniqueConstraint(
                fields=["account", "test", "url"],
                name="endpoint_of_messages_once",
                condition=models.Q(kind=EndpointKind.MESSAGES) & ~models.Q(state=EndpointState.DELETED),
            )
        ]
        indexes = [
            models.Index(fields=["account", "test", "-id"], name="endpoint_account"),
            models.Index(fields=["state"], name="endpoint_off", condition=~models.Q(state=EndpointState.ENABLED)),
        ]

    def __str__(self) -> str:
        return self.url


class MessageSecret(Signer):
    """What callbacks to the `callback_url` of messages are signed with: one secret for an account and mode."""

    account = models.ForeignKey(Account, on_delete=models.CASCADE, db_index=False)
    test = models.BooleanField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["account", "test"], name="message_secret_once")]

    def __str__(self) -> str:
        return f"{self.account_id} {'test' if self.test else 'live'}"


class Callback(models.Model):
    """One thing to tell one endpoint; what is sent is written here once, so that every try sends the same bytes."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    endpoint = models.ForeignKey(Endpoint, on_delete=models.CASCADE, related_name="callbacks", db_index=False)
    event_id = models.UUIDField(help_text="As `webhook-id`: the same for every try, replay and endpoint.")
    type = models.CharField(max_length=40, choices=Kind.choices)
    message_id = models.UUIDField(null=True)
    url = models.TextField(blank=True, help_text="The message's own; empty: the endpoint's.")
    body = SealedTextField()
    happened_at = models.DateTimeField()
    created_at = models.DateTimeField(db_default=Now(), editable=False)

    state = models.CharField(max_length=9, choices=CallbackState.choices, default=CallbackState.WAITING)
    due_at = models.DateTimeField()
    attempts = models.PositiveSmallIntegerField(default=0, help_text="Since it was made or replayed.")
    attempted_at = models.DateTimeField(null=True)
    response_status = models.PositiveSmallIntegerField(null=True)
    response_body = SealedCharField(blank=True, help_text="May say what it was told.")
    error_code = models.CharField(max_length=40, blank=True)
    milliseconds = models.PositiveIntegerField(null=True, help_text="Of the last try.")

    class Meta:
        ordering = ("-id",)
        indexes = [
            models.Index(
                fields=["endpoint", "due_at"],
                name="callback_due",
                condition=models.Q(state=CallbackState.WAITING),
            ),
            models.Index(fields=["endpoint", "-id"], name="callback_endpoint"),
            models.Index(fields=["message_id"], name="callback_message", condition=models.Q(message_id__isnull=False)),
            models.Index(fields=["-id"], name="callback_failed", condition=models.Q(state=CallbackState.FAILED)),
        ]

    def __str__(self) -> str:
        return f"{self.type} {self.id}"
