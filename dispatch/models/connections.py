"""Connections: the accounts that we have at providers, and what happened to each."""

from django.core.validators import MinValueValidator, RegexValidator
from django.db import models
from django.db.models.functions import Now

from dispatch.vocabulary import ConnectionChange, UnknownPolicy, UnknownThen
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
    sender_rate = models.FloatField(
        null=True,
        blank=True,
        validators=[MinValueValidator(0.01)],
        help_text="Segments a second from one sender, over all workers. Empty: no limit.",
    )
    region = models.CharField(
        max_length=40,
        blank=True,
        db_default="",
        validators=[CONNECTION_NAME],
        help_text="Served by workers that were started with this REGION. Empty: by all.",
    )
    unknown_policy = models.CharField(
        max_length=10,
        choices=UnknownPolicy.choices,
        default=UnknownPolicy.AUTO,
        db_default=UnknownPolicy.AUTO,
        help_text="When nobody can say whether a message was sent.",
    )
    unknown_wait = models.PositiveIntegerField(
        default=900, db_default=900, help_text="Seconds in which asking or a receipt may clear that up."
    )
    unknown_then = models.CharField(
        max_length=10,
        choices=UnknownThen.choices,
        default=UnknownThen.OPERATOR,
        db_default=UnknownThen.OPERATOR,
        help_text="What comes after. Failing over may send a message twice.",
    )
    whatsapp_template = models.JSONField(
        default=dict,
        db_default={},
        blank=True,
        help_text='Carries WhatsApp texts outside the 24 hours: {"name": "…", "language": "en"}. Empty: none does.',
    )
    receipt_wait = models.PositiveIntegerField(
        default=3600,
        db_default=3600,
        help_text="Seconds without a final receipt before the provider is asked what became of a message. 0: never.",
    )
    paused_at = models.DateTimeField(null=True, blank=True, editable=False)
    pause_reason = models.CharField(max_length=200, blank=True, db_default="", editable=False)
    created_at = models.DateTimeField(db_default=Now(), editable=False)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        ordering = ("name",)
        permissions = [("operate_connection", "Can pause, resume and weigh connections")]

    def __str__(self) -> str:
        return self.name


class ConnectionEvent(models.Model):
    """One line of a connection's history: its breaker, and what operators did to it."""

    id = models.BigAutoField(primary_key=True)
    connection = models.ForeignKey(Connection, on_delete=models.CASCADE, related_name="events")
    at = models.DateTimeField(db_default=Now(), editable=False)
    change = models.CharField(max_length=10, choices=ConnectionChange.choices)
    reason = models.CharField(max_length=200, blank=True)
    by = models.CharField(
        max_length=160, blank=True, help_text="A user of the admin or cli:<user>; empty: the breaker."
    )

    class Meta:
        ordering = ("-id",)

    def __str__(self) -> str:
        return f"{self.change} {self.at:%Y-%m-%d %H:%M:%S}"
