"""Sinch's webhooks, with its SDK's validator as the oracle."""

from dataclasses import replace
from typing import Any, ClassVar
from uuid import UUID

import pytest
from sinch.domains.sms.sinch_events.v1.sms_sinch_event import SmsSinchEvent

from dispatch.providers.sinch import reference
from dispatch.vocabulary import Channel, ReceiptStatus
from sendmsg.errors import MalformedWebhook
from tests.webhooks.contract import SECRET, Example, InboundContract
from tests.webhooks.shared_secrets import SharedSecrets
from webhooks.inbound import signatures
from webhooks.inbound.base import InboundMessage, InboundProvider, Media, Parsed, WebhookRequest
from webhooks.inbound.sinch import SinchInbound

HEADER = "x-sinch-webhook-signature"
BATCH = "01FC66621XXXXX119Z8PMV1QPQ"


class TestSinch(SharedSecrets, InboundContract):
    inbound: ClassVar[InboundProvider] = SinchInbound()
    signature_headers: ClassVar[tuple[str, ...]] = (HEADER, f"{HEADER}-nonce", f"{HEADER}-timestamp")
    timed: ClassVar[bool] = True
    covers_query: ClassVar[bool] = False
    covers_path: ClassVar[bool] = False
    examples: ClassVar[tuple[Example, ...]] = tuple(
        Example(f"sinch/{name}.json")
        for name in (
            "receipt_delivered",
            "receipt_failed",
            "receipts_of_a_batch",
            "receipt_summary",
            "message",
            "message_with_media",
        )
    )

    def sign(self, request: WebhookRequest, secret: str = SECRET) -> WebhookRequest:
        stamp, nonce = str(int(request.at.timestamp())), "01FJA8B4A7BM43YGWSG9GBV067"
        signature = signatures.in_base64(secret, request.body + f".{nonce}.{stamp}".encode())
        headers = {HEADER: signature, f"{HEADER}-nonce": nonce, f"{HEADER}-timestamp": stamp}
        return replace(request, headers={**request.headers, **headers})

    def oracle(self, request: WebhookRequest) -> bool | None:
        return bool(SmsSinchEvent(SECRET).validate_authentication_header(dict(request.headers), request.body))

    def test_the_sdk_reads_the_examples_too(self) -> None:
        for example in self.examples:
            assert SmsSinchEvent(SECRET).parse_event(example.body)

    def test_receipts_are_read(self) -> None:
        [delivered] = self.parse("sinch/receipt_delivered.json").receipts
        [failed] = self.parse("sinch/receipt_failed.json").receipts

        assert delivered.provider_id == reference(BATCH, "+447700900123")
        assert (delivered.status, delivered.error_code) == (ReceiptStatus.DELIVERED, "")
        assert delivered.message_id == UUID("01a208a8-1d08-7252-90a9-79f874e03b3f")
        assert (failed.provider_id, failed.status, failed.error_code) == (
            delivered.provider_id,
            ReceiptStatus.UNDELIVERED,
            "402",
        )
        assert "447700900123" not in delivered.provider_id

    def test_a_report_of_a_batch_is_a_receipt_for_each_recipient(self) -> None:
        receipts = self.parse("sinch/receipts_of_a_batch.json").receipts

        assert [receipt.provider_id for receipt in receipts] == [
            reference(BATCH, f"+44770090012{digit}") for digit in (3, 4, 5)
        ]
        assert [receipt.status for receipt in receipts] == ["delivered", "undelivered", "undelivered"]
        assert [receipt.message_id for receipt in receipts] == [None] * 3

    def test_a_summary_tells_of_no_message(self) -> None:
        assert self.parse("sinch/receipt_summary.json") == Parsed()

    def test_messages_are_read(self) -> None:
        [message] = self.parse("sinch/message.json").messages
        [picture] = self.parse("sinch/message_with_media.json").messages

        assert message == InboundMessage(
            "01XXXXX21XXXXX119Z8P1XXXXX",
            "+447700900123",
            "+447700900001",
            "Yes é 🎉",
            Channel.SMS,
            message.received_at,
        )
        assert (picture.body, picture.to) == ("Look", "12345")
        assert picture.media == (Media("https://media.example/1.jpg", "image/jpeg"),)

    @pytest.mark.parametrize("word", ["Teleported", "delivered", None, 1, {}], ids=repr)
    def test_a_word_without_a_meaning_is_unknown(self, word: Any) -> None:
        assert self.parse("sinch/receipt_delivered.json", status=word).receipts[0].status is ReceiptStatus.UNKNOWN

    @pytest.mark.parametrize("batch_id", ["x" * 101, "a:b", "", None])
    def test_a_batch_that_no_send_can_have_had_is_malformed(self, batch_id: Any) -> None:
        with pytest.raises(MalformedWebhook):
            self.parse("sinch/receipt_delivered.json", batch_id=batch_id)
