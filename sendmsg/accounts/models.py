"""Accounts and their API keys.

A key's text exists once, in the answer to its creation; the row keeps the digest that finds it, and just
enough of the text for a person to recognise it. Keys are never edited or deleted: they expire or are revoked,
and both act at once.
"""

from datetime import datetime
from typing import ClassVar

from django.contrib.postgres.fields import ArrayField
from django.core.exceptions import ValidationError
from django.core.validators import MinValueValidator, RegexValidator
from django.db import models
from django.utils import timezone
from uuid_utils.compat import uuid7

from sendmsg.accounts.keys import Mode, mint
from sendmsg.accounts.scopes import Scope

MAX_REPLY = 459  # characters; three parts of an SMS


class Account(models.Model):
    """A client of the gateway: owns messages and keys, and sees nobody else's."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    name = models.CharField(max_length=100, unique=True)
    default_sender = models.CharField(
        max_length=16,  # a phone number with its plus; alphanumeric senders have 11 at most
        blank=True,
        validators=[RegexValidator(r"\A[ -~]*\Z", "Printable ASCII only.")],
        help_text="Sender of messages that name none. Empty: the provider chooses.",
    )
    opt_out_keywords = models.BooleanField(
        default=True, db_default=True, help_text="Act on STOP, START and HELP that people write to its numbers."
    )
    opt_out_per_number = models.BooleanField(
        default=False, db_default=False, help_text="STOP ends what comes from the number written to. Off: all."
    )
    opt_out_confirm = models.BooleanField(default=True, db_default=True, help_text="Confirm STOP and START, once.")
    opt_out_reply = models.CharField(
        max_length=MAX_REPLY,
        blank=True,
        db_default="",
        help_text="Confirms STOP. Empty: a text of ours, by country.",
    )
    help_reply = models.CharField(
        max_length=MAX_REPLY, blank=True, db_default="", help_text="Answers HELP. Empty: nobody does."
    )
    body_days = models.PositiveSmallIntegerField(
        null=True,
        blank=True,
        verbose_name="long texts",
        help_text="Days that a text over 160 characters is whole after its message ended. Empty: BODY_RETENTION_DAYS.",
    )
    message_days = models.PositiveSmallIntegerField(
        null=True,
        blank=True,
        validators=[MinValueValidator(1)],
        verbose_name="messages",
        help_text="Days until messages leave the database for the archive. Empty: MESSAGE_RETENTION_DAYS.",
    )
    timeline_days = models.PositiveSmallIntegerField(
        null=True,
        blank=True,
        verbose_name="timeline",
        validators=[MinValueValidator(1)],
        help_text="Days until events leave the logs database for the archive. Empty: LOGS_RETENTION_DAYS.",
    )
    archive_days = models.PositiveSmallIntegerField(
        null=True,
        blank=True,
        verbose_name="archive",
        help_text="Days until archived files are deleted; 0: never. Empty: ARCHIVE_RETENTION_DAYS.",
    )
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    class Meta:
        ordering: ClassVar = ["name"]

    def __str__(self) -> str:
        return self.name


class ApiKey(models.Model):
    """The right of an account's program to call the API."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    account = models.ForeignKey(Account, on_delete=models.PROTECT, related_name="api_keys")
    name = models.CharField(max_length=100, help_text="Who or what uses this key.")
    mode = models.CharField(max_length=4, choices=Mode.choices)
    digest = models.CharField(max_length=64, unique=True, editable=False)
    prefix = models.CharField(max_length=13, editable=False)
    last4 = models.CharField(max_length=4, editable=False)
    scopes = ArrayField(models.CharField(max_length=32, choices=Scope.choices))
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    expires_at = models.DateTimeField(null=True, blank=True, help_text="Empty: never.")
    revoked_at = models.DateTimeField(null=True, blank=True, editable=False)
    last_used_at = models.DateTimeField(null=True, blank=True, editable=False, help_text="To ten minutes.")

    text: str | None = None
    """The key itself, on the instance that minted it and nowhere else."""

    class Meta:
        ordering: ClassVar = ["-created_at"]
        verbose_name = "API key"

    def __str__(self) -> str:
        return f"{self.prefix}…{self.last4}"

    def clean(self) -> None:
        """Refuse a new key that would be dead from its first second."""
        if self._state.adding and self.is_expired():
            raise ValidationError({"expires_at": "This moment has passed already."})

    def mint(self) -> str:
        """Give this unsaved row a fresh key of its mode, and return its text: the only chance to show it."""
        key = mint(Mode(self.mode))
        self.digest, self.prefix, self.last4, self.text = key.digest, key.prefix, key.last4, key.text
        return key.text

    def is_expired(self, now: datetime | None = None) -> bool:
        """Whether the key's time is over at `now` (default: the current moment)."""
        return self.expires_at is not None and self.expires_at <= (now or timezone.now())
