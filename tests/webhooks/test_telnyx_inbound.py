"""Telnyx's webhooks, with its SDK's `unwrap` as the oracle."""

import base64
import hashlib
from dataclasses import replace
from typing import Any, ClassVar

import pytest
import time_machine
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from telnyx import Telnyx

from dispatch.vocabulary import Channel, ReceiptStatus
from tests.webhooks.contract import NOW, SECRET, Example, InboundContract
from webhooks.inbound.base import InboundMessage, InboundProvider, Media, Parsed, WebhookRequest
from webhooks.inbound.telnyx import TelnyxInbound

SIGNATURE, STAMP = "telnyx-signature-ed25519", "telnyx-timestamp"
CLIENT = Telnyx(api_key="KEY0")


def key(name: str) -> Ed25519PrivateKey:
    return Ed25519PrivateKey.from_private_bytes(hashlib.sha256(name.encode()).digest())


def public(name: str) -> str:
    return base64.b64encode(key(name).public_key().public_bytes_raw()).decode()


class TestTelnyx(InboundContract):
    inbound: ClassVar[InboundProvider] = TelnyxInbound()
    signature_headers: ClassVar[tuple[str, ...]] = (SIGNATURE, STAMP)
    timed: ClassVar[bool] = True
    covers_query: ClassVar[bool] = False
    covers_path: ClassVar[bool] = False
    examples: ClassVar[tuple[Example, ...]] = tuple(
        Example(f"telnyx/{name}.json") for name in ("receipt_delivered", "receipt_failed", "message")
    )

    def credentials(self, *secrets: str) -> dict[str, Any]:
        return {"webhook_secrets": [public(secret) for secret in secrets]}

    def sign(self, request: WebhookRequest, secret: str = SECRET) -> WebhookRequest:
        stamp = str(int(request.at.timestamp()))
        signature = base64.b64encode(key(secret).sign(stamp.encode() + b"|" + request.body)).decode()
        return replace(request, headers={**request.headers, SIGNATURE: signature, STAMP: stamp})

    def oracle(self, request: WebhookRequest) -> bool | None:
        with time_machine.travel(request.at, tick=False):
            try:
                CLIENT.webhooks.unwrap(request.body.decode(), headers=dict(request.headers), key=public(SECRET))
            except ValueError:
                return False
        return True

    @pytest.mark.parametrize("stamp", ["", "now", "-1", "+1767268810", "1.5", "٣", "9" * 13])
    def test_a_timestamp_that_is_no_plain_number_is_refused(self, stamp: str) -> None:
        request = self.signed()

        assert self.refused(replace(request, headers={**request.headers, STAMP: stamp})) == "bad_timestamp"

    @pytest.mark.parametrize("given", ["", "x", base64.b64encode(b"x" * 31).decode(), "é"])
    def test_a_key_that_is_none_takes_nothing(self, given: str) -> None:
        assert self.refused(self.signed(), {"webhook_secrets": [given, "x"]}) == "bad_signature"

    def test_receipts_are_read(self) -> None:
        [delivered] = self.parse("telnyx/receipt_delivered.json").receipts
        [failed] = self.parse("telnyx/receipt_failed.json").receipts

        assert delivered.provider_id == "40385f64-5717-4562-b3fc-2c963f66afa6"
        assert (delivered.status, delivered.error_code) == (ReceiptStatus.DELIVERED, "")
        assert delivered.at.isoformat() == "2026-01-01T12:00:04+00:00"
        assert (failed.status, failed.error_code) == (ReceiptStatus.UNDELIVERED, "40001")

    def test_a_message_is_read(self) -> None:
        [message] = self.parse("telnyx/message.json").messages

        assert message == InboundMessage(
            "7ee4241c-f127-47e5-9c34-3aac291f8058",
            "+447700900123",
            "+447700900001",
            "Yes é 🎉",
            Channel.SMS,
            NOW.replace(second=0),
            media=(Media("https://media.example/1.png", "image/png"),),
        )

    @pytest.mark.parametrize(
        ("word", "status"),
        [
            ("queued", "sent"),
            ("expired", "undelivered"),
            ("delivery_unconfirmed", "unknown"),
            ("teleported", "unknown"),
        ],
    )
    def test_words_have_their_meaning(self, word: str, status: str) -> None:
        data = {"event_type": "message.finalized", "payload": {"id": "x", "to": [{"status": word}]}}

        assert self.parse("telnyx/receipt_delivered.json", data=data).receipts[0].status == status

    def test_an_event_about_something_else_is_taken_and_tells_nothing(self) -> None:
        assert self.parse("telnyx/message.json", data={"event_type": "call.hangup", "id": "x"}) == Parsed()
