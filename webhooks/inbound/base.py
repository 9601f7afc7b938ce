"""What a provider's side of the webhooks must be able to do: prove who sent a request, and read it.

A provider is one subclass in one file of this folder. Both methods are pure: no database, no clock but the one given.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, ClassVar

from dispatch.vocabulary import ReceiptStatus


@dataclass(frozen=True, slots=True)
class WebhookRequest:
    """A request as it came: the raw bytes are what was signed. Header names are lower-case."""

    headers: Mapping[str, str]
    body: bytes
    at: datetime


@dataclass(frozen=True, slots=True)
class ReportedReceipt:
    """One report: the provider's id, what became of the message, the provider's error word, and when."""

    provider_id: str
    status: ReceiptStatus
    error_code: str
    at: datetime


class InboundProvider(ABC):
    slug: ClassVar[str]

    @abstractmethod
    def verify(self, request: WebhookRequest, credentials: Mapping[str, Any]) -> None:
        """Return if the request was signed with one of the connection's secrets; raise `SignatureRefused` if not."""

    @abstractmethod
    def parse(self, body: bytes, at: datetime) -> list[ReportedReceipt]:
        """The reports in a verified body; raises `MalformedWebhook`. `at` stands in for a time the provider left out.

        A status word that we have no meaning for is `ReceiptStatus.UNKNOWN`, never an error: providers add words.
        """
