"""The connections as every process sees them: read from the database, kept for a moment, never mutable.

While the database is away the last list read goes on serving, so a webhook can still be verified and buffered. One that
names an unknown provider, or whose credentials can't be read with our keys, has a `fault` and is passed over.
"""

import time
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import structlog
from django.conf import settings
from django.db import Error
from django.db.models import TextField
from django.db.models.functions import Cast

from dispatch.models import Connection
from dispatch.providers import registry
from dispatch.providers.base import ConnectionConfig, Provider
from dispatch.verdicts import Doubt
from dispatch.vocabulary import UnknownPolicy, UnknownThen
from sendmsg.encryption import decrypt
from sendmsg.errors import ConfigurationError

logger = structlog.stdlib.get_logger(__name__)

KEPT = 2.0  # seconds until a change in the admin is noticed


@dataclass(frozen=True, slots=True)
class Entry:
    """One connection. Equal entries mean that nothing about it changed."""

    id: int
    name: str
    provider: str
    base_url: str
    credentials: dict[str, Any] = field(repr=False)
    sandbox: bool
    enabled: bool
    weight: int
    rate: float | None
    concurrency: int
    updated_at: datetime
    sender_rate: float | None = None
    region: str = ""
    unknown_policy: str = UnknownPolicy.AUTO
    unknown_wait: int = 900
    unknown_then: str = UnknownThen.OPERATOR
    receipt_wait: int = 3600
    paused_at: datetime | None = None
    whatsapp_template: dict[str, Any] = field(default_factory=dict)
    fault: str = ""
    """Why it can't be used at all: an unknown provider, or credentials that none of our keys can read."""

    @property
    def doubt(self) -> Doubt:
        """How an unknown outcome is cleared up here. A policy that the provider can't serve is `WAIT`."""
        can = None if self.fault else registry.get(self.provider).capabilities
        wanted = UnknownPolicy(self.unknown_policy)
        if can and can.deduplicates and wanted in (UnknownPolicy.AUTO, UnknownPolicy.RESEND):
            return Doubt(UnknownPolicy.RESEND, can.remembers_for)
        if can and can.finds and wanted in (UnknownPolicy.AUTO, UnknownPolicy.ASK):
            return Doubt(UnknownPolicy.ASK, self.unknown_wait)
        return Doubt(UnknownPolicy.WAIT, self.unknown_wait)

    @property
    def receipt_url(self) -> str:
        """Where its provider is told to send receipts; ends with the first of its `webhook_tokens`, if it has any."""
        tokens = self.credentials.get("webhook_tokens")
        secret = f"/{tokens[0]}" if isinstance(tokens, list) and tokens and isinstance(tokens[0], str) else ""
        return f"{settings.PUBLIC_URL}/webhooks/{self.provider}/{self.name}{secret}"

    def build(self) -> Provider:
        """A client for this connection; raises `UnknownProvider` or `ConfigurationError`."""
        return registry.get(self.provider)(
            ConnectionConfig(
                name=self.name,
                base_url=self.base_url,
                credentials=self.credentials,
                receipt_url=self.receipt_url,
                concurrency=self.concurrency,
                connect_timeout=settings.CONNECT_TIMEOUT,
                read_timeout=settings.READ_TIMEOUT,
                total_timeout=settings.TOTAL_TIMEOUT,
            )
        )


_entries: dict[str, Entry] = {}
_read_at = float("-inf")


def entries() -> dict[str, Entry]:
    """All connections by name, enabled or not."""
    global _entries, _read_at
    if is_due():
        try:
            rows = Connection.objects.defer("credentials").annotate(token=Cast("credentials", TextField()))
            _entries = {row.name: _read(row, row.token) for row in rows}
        except Error:
            if not _entries:
                raise
        _read_at = time.monotonic()
    return _entries


def is_due() -> bool:
    """Whether the next look asks the database."""
    return time.monotonic() - _read_at > KEPT


def by_id() -> dict[int, Entry]:
    """The same by id, as rows name them."""
    return {entry.id: entry for entry in entries().values()}


def _read(row: Connection, token: str) -> Entry:
    fault, credentials = "", {}
    try:
        registry.get(row.provider)
        credentials = decrypt(token)
    except ConfigurationError as error:
        fault = error.detail
        logger.error("connection can't work", connection=row.name, reason=fault)
    return Entry(
        id=row.pk,
        name=row.name,
        provider=row.provider,
        base_url=row.base_url,
        credentials=credentials,
        sandbox=row.sandbox,
        enabled=row.enabled,
        weight=row.weight,
        rate=row.rate,
        concurrency=row.concurrency,
        updated_at=row.updated_at,
        sender_rate=row.sender_rate,
        region=row.region,
        unknown_policy=row.unknown_policy,
        unknown_wait=row.unknown_wait,
        unknown_then=row.unknown_then,
        receipt_wait=row.receipt_wait,
        paused_at=row.paused_at,
        whatsapp_template=row.whatsapp_template,
        fault=fault,
    )


def forget() -> None:
    """Read anew at the next call."""
    global _read_at
    _read_at = float("-inf")
