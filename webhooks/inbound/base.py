"""What a provider's side of the webhooks must be able to do: prove who sent a request, and read it.

A provider is one subclass in one file of this folder. Its methods are pure: no database, no clock but the one given.
Only SNS, whose signatures name a certificate, makes a call of its own (`webhooks.inbound.sns`).
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, ClassVar
from uuid import UUID

from dispatch.vocabulary import Channel, ReceiptStatus
from webhooks.inbound import access, signatures

REPLAY_WINDOW = 3_600
"""Seconds in which a request is recognised where its signature has no time. Later copies change nothing: rows are
unique, and such a signature covers all that is read. Longer would fill the Redis that keeps the receipts."""


@dataclass(frozen=True, slots=True)
class Payload:
    """What is kept of a verified request until it is read: all places that a report may stand in. `query` is raw."""

    body: bytes
    at: datetime
    method: str = "POST"
    query: str = ""
    content_type: str = ""


@dataclass(frozen=True, slots=True)
class WebhookRequest:
    """A request as it came: the raw bytes are what was signed. Header names are lower-case.

    `url`: `PUBLIC_URL`, the path, and the query as it was sent; what the `Host` header says is in none of them.
    `token`: what the path had after the connection's name.
    """

    headers: Mapping[str, str]
    body: bytes
    at: datetime
    method: str = "POST"
    url: str = ""
    query: str = ""
    remote_address: str = ""
    token: str = ""

    @property
    def payload(self) -> Payload:
        return Payload(self.body, self.at, self.method, self.query, self.headers.get("content-type", ""))


@dataclass(frozen=True, slots=True)
class ReportedReceipt:
    """One report: the provider's id, what became of the message, the provider's error word, and when.

    `message_id`: the message's id here, where the provider gives back a reference of ours. It proves nothing by itself:
    whose message that is has to be looked up.
    """

    provider_id: str
    status: ReceiptStatus
    error_code: str
    at: datetime
    message_id: UUID | None = None


@dataclass(frozen=True, slots=True)
class Part:
    """Which part of a longer text this is. All parts have the same sender, recipient, `reference` and `total`."""

    reference: str
    number: int  # from 1
    total: int


@dataclass(frozen=True, slots=True)
class Media:
    """Something that came with a message. `reference`: a URL at the provider, or its id there."""

    reference: str
    content_type: str = ""


@dataclass(frozen=True, slots=True)
class InboundMessage:
    """A message from a person to one of our numbers; numbers are spelt by `reading.phone`."""

    provider_id: str
    sender: str
    to: str
    body: str
    channel: Channel
    received_at: datetime
    part: Part | None = None
    media: tuple[Media, ...] = ()


@dataclass(frozen=True, slots=True)
class Parsed:
    """What one request told us; nothing for an event that is neither."""

    receipts: tuple[ReportedReceipt, ...] = ()
    messages: tuple[InboundMessage, ...] = ()


@dataclass(frozen=True, slots=True)
class Reply:
    """What the provider wants to read."""

    body: str = "ok\n"
    content_type: str = "text/plain"


class Proof(StrEnum):
    """How a connection's webhooks prove where they come from."""

    SIGNED = "signed"
    SHARED = "shared"  # a secret in the path or a password: whoever reads one request can write others
    NONE = "none"  # all are refused


class InboundProvider(ABC):
    slug: ClassVar[str]
    methods: ClassVar[frozenset[str]] = frozenset({"POST"})
    reply: ClassVar[Reply] = Reply()
    secret_names: ClassVar[tuple[str, ...]] = ("webhook_secrets",)
    """The credentials that signatures are checked with."""
    replay_window: ClassVar[int] = REPLAY_WINDOW
    """Seconds in which what `verify` returned is recognised when it comes again."""

    opted_out_codes: ClassVar[frozenset[str]] = frozenset()
    """Error words of its receipts that say: the person does not want messages from this sender."""

    window_closed_codes: ClassVar[frozenset[str]] = frozenset()
    """Error words of its receipts that say: outside WhatsApp's 24 hours, only a template is taken."""

    @abstractmethod
    def verify(self, request: WebhookRequest, credentials: Mapping[str, Any]) -> str:
        """Return if the request was signed with one of the connection's secrets; raise `SignatureRefused` if not.

        Gives what no other request may have: a nonce, or the signature itself; nothing where there is no such thing.
        May raise `VerifierUnavailable`.
        """

    @abstractmethod
    def parse(self, payload: Payload) -> Parsed:
        """What a verified request says; raises `MalformedWebhook`. `payload.at` stands in for a time that is missing.

        A status word that we have no meaning for is `ReceiptStatus.UNKNOWN`, never an error: providers add words.
        """

    def greet(self, request: WebhookRequest, credentials: Mapping[str, Any]) -> Reply | None:
        """The answer to a request that is no report but asks whose this URL is; None for all others.

        Looks after its own proof: raises as `verify` does.
        """
        return None

    def proof(self, credentials: Mapping[str, Any]) -> Proof:
        """What the connection's credentials allow to check."""
        return Proof.SIGNED if signatures.listed(credentials, *self.secret_names) else Proof.NONE


class OptionallySigned(InboundProvider):
    """A provider that signs only where it was asked to. Without secrets a path token or a password must do."""

    def verify(self, request: WebhookRequest, credentials: Mapping[str, Any]) -> str:
        if self.proof(credentials) is Proof.SIGNED:
            return self.verify_signature(request, credentials)
        access.prove(request, credentials)
        return ""

    @abstractmethod
    def verify_signature(self, request: WebhookRequest, credentials: Mapping[str, Any]) -> str:
        """As `verify`, for a connection that has secrets."""

    def proof(self, credentials: Mapping[str, Any]) -> Proof:
        shared = Proof.SHARED if access.shared(credentials) else Proof.NONE
        signed = super().proof(credentials)
        return signed if signed is Proof.SIGNED else shared
