"""Infobip's webhooks. Its SDK has no validator; signatures are made here apart from the code under test."""

import base64
import hashlib
import hmac
from dataclasses import replace
from typing import Any, ClassVar
from uuid import UUID

import pytest

from dispatch.vocabulary import Channel, ReceiptStatus
from tests.webhooks.contract import SECRET, Example, InboundContract
from tests.webhooks.shared_secrets import SharedSecrets
from webhooks.inbound.base import InboundMessage, InboundProvider, WebhookRequest
from webhooks.inbound.infobip import InfobipInbound

HEADER = "x-infobip-signature"
OURS = "01a208a8-1d08-7252-90a9-79f874e03b3f"


class TestInfobip(SharedSecrets, InboundContract):
    inbound: ClassVar[InboundProvider] = InfobipInbound()
    signature_headers: ClassVar[tuple[str, ...]] = (HEADER,)
    covers_query: ClassVar[bool] = False
    covers_path: ClassVar[bool] = False
    examples: ClassVar[tuple[Example, ...]] = tuple(
        Example(f"infobip/{name}.json") for name in ("receipt_delivered", "receipts_of_three", "message")
    )

    def credentials(self, *secrets: str) -> dict[str, Any]:
        return {"webhook_secrets": list(secrets), "webhook_signature_header": "X-Infobip-Signature"}

    def meaning(self, header: str) -> object:
        return header.lower()

    def sign(self, request: WebhookRequest, secret: str = SECRET, algorithm: str = "sha256") -> WebhookRequest:
        digest = hmac.new(secret.encode(), request.body, algorithm).hexdigest()
        return replace(request, headers={**request.headers, HEADER: digest})

    @pytest.mark.parametrize("algorithm", ["sha256", "sha384", "sha512"])
    def test_a_digest_in_any_of_its_spellings_is_taken(self, algorithm: str) -> None:
        plain = self.unsigned(self.examples[0])
        digest = hmac.new(SECRET.encode(), plain.body, getattr(hashlib, algorithm)).digest()

        for text in (
            digest.hex(),
            digest.hex().upper(),
            base64.b64encode(digest).decode(),
            f"{algorithm}={digest.hex()}",
        ):
            assert self.verdict(replace(plain, headers={HEADER: text})), text

    @pytest.mark.parametrize("algorithm", ["md5", "sha1"])
    def test_a_weak_digest_is_refused(self, algorithm: str) -> None:
        assert self.refused(self.sign(self.unsigned(self.examples[0]), SECRET, algorithm)) == "bad_signature"

    @pytest.mark.parametrize("name", [None, "", 7])
    def test_without_the_name_of_its_header_a_signature_is_refused(self, name: Any) -> None:
        credentials = {"webhook_secrets": [SECRET], "webhook_signature_header": name}

        assert self.refused(self.signed(), credentials) == "bad_signature"

    def test_receipts_are_read(self) -> None:
        [delivered] = self.parse("infobip/receipt_delivered.json").receipts
        absent, at_operator, unknown = self.parse("infobip/receipts_of_three.json").receipts

        assert (delivered.provider_id, delivered.message_id) == (OURS, UUID(OURS))
        assert (delivered.status, delivered.error_code) == (ReceiptStatus.DELIVERED, "")
        assert delivered.at.isoformat() == "2026-01-01T12:00:05+00:00"
        assert (absent.status, absent.error_code) == (ReceiptStatus.UNDELIVERED, "EC_ABSENT_SUBSCRIBER")
        assert (at_operator.status, unknown.status) == (ReceiptStatus.SENT, ReceiptStatus.UNKNOWN)

    def test_a_message_is_read_whole_and_not_without_its_keyword(self) -> None:
        [message] = self.parse("infobip/message.json").messages

        assert message == InboundMessage(
            "817790313235066447",
            "+447700900123",
            "+447700900001",
            "YES please é",
            Channel.SMS,
            message.received_at,
        )

    @pytest.mark.parametrize("status", [{}, {"name": "TELEPORTED"}, {"name": [], "groupName": {}}], ids=repr)
    def test_a_word_without_a_meaning_is_unknown(self, status: Any) -> None:
        results = [{"messageId": "m1", "status": status, "error": None}]

        assert self.parse("infobip/message.json", results=results).receipts[0].status is ReceiptStatus.UNKNOWN
