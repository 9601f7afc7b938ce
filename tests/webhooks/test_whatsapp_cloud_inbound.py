"""WhatsApp Cloud's webhooks, with the check of pywa as the oracle: Meta has none in Python."""

from dataclasses import replace
from typing import Any, ClassVar
from urllib.parse import urlencode
from uuid import UUID

import pytest
from pywa.utils import webhook_updates_validator

from dispatch.vocabulary import Channel, ReceiptStatus
from sendmsg.errors import MalformedWebhook, SignatureRefused
from tests.webhooks.contract import SECRET, Example, InboundContract
from webhooks.inbound import signatures
from webhooks.inbound.base import InboundProvider, Media, Parsed, Reply, WebhookRequest
from webhooks.inbound.whatsapp_cloud import WhatsAppCloudInbound

HEADER = "x-hub-signature-256"
OURS = UUID("01a208a8-1d08-7252-90a9-79f874e03b3f")
WAMID = "wamid.HBgMNDQ3NzAwOTAwMTIzFQIAERgSQTM0NUY2Nzg5MEFCQ0RFRjAxAA=="
TOKEN = {"verify_token": "a-token", "webhook_secrets": [SECRET]}


class TestWhatsAppCloud(InboundContract):
    inbound: ClassVar[InboundProvider] = WhatsAppCloudInbound()
    signature_headers: ClassVar[tuple[str, ...]] = (HEADER,)
    covers_query: ClassVar[bool] = False
    covers_path: ClassVar[bool] = False
    examples: ClassVar[tuple[Example, ...]] = tuple(
        Example(f"whatsapp_cloud/{name}.json")
        for name in (
            "receipt_delivered",
            "receipts_of_two",
            "message",
            "messages_of_other_kinds",
            "template_status",
        )
    )

    def sign(self, request: WebhookRequest, secret: str = SECRET) -> WebhookRequest:
        signature = f"sha256={signatures.hexadecimal(secret, request.body)}"
        return replace(request, headers={**request.headers, HEADER: signature})

    def oracle(self, request: WebhookRequest) -> bool | None:
        signature = request.headers.get(HEADER, "")
        return bool(signature.isascii() and webhook_updates_validator(SECRET, request.body, signature))

    def asked(self, **given: str) -> WebhookRequest:
        fields = {"mode": "subscribe", "verify_token": "a-token", "challenge": "1158201444", **given}
        query = urlencode({f"hub.{name}": value for name, value in fields.items()})
        return replace(self.unsigned(self.examples[0]), method="GET", body=b"", query=query)

    def test_the_handshake_is_answered_with_its_challenge(self) -> None:
        for token in ("a-token", ["new", "a-token"]):
            reply = self.inbound.greet(self.asked(), {"verify_token": token})
            assert reply == Reply("1158201444")

    @pytest.mark.parametrize(
        ("given", "credentials"),
        [
            ({"verify_token": "another"}, TOKEN),
            ({"verify_token": ""}, TOKEN),
            ({"verify_token": "é"}, TOKEN),
            ({"mode": "unsubscribe"}, TOKEN),
            ({}, {"webhook_secrets": [SECRET]}),
            ({"verify_token": ""}, {"verify_token": ""}),
        ],
    )
    def test_a_handshake_without_our_token_is_refused(self, given: dict[str, str], credentials: Any) -> None:
        with pytest.raises(SignatureRefused):
            self.inbound.greet(self.asked(**given), credentials)

    @pytest.mark.parametrize("challenge", ["", "<script>", "1" * 129, "a\r\nb", "é"])
    def test_only_a_plain_challenge_is_given_back(self, challenge: str) -> None:
        with pytest.raises(MalformedWebhook):
            self.inbound.greet(self.asked(challenge=challenge), TOKEN)

    def test_a_post_is_no_handshake(self) -> None:
        assert self.inbound.greet(self.signed(), TOKEN) is None

    def test_receipts_are_read(self) -> None:
        [delivered] = self.parse("whatsapp_cloud/receipt_delivered.json").receipts
        failed, read = self.parse("whatsapp_cloud/receipts_of_two.json").receipts

        assert (delivered.provider_id, delivered.message_id) == (WAMID, OURS)
        assert (delivered.status, delivered.at.isoformat()) == (ReceiptStatus.DELIVERED, "2026-01-01T12:00:05+00:00")
        assert (failed.status, failed.error_code) == (ReceiptStatus.UNDELIVERED, "131026")
        assert (read.provider_id, read.status) == (f"{WAMID}2", ReceiptStatus.DELIVERED)

    def test_messages_are_read(self) -> None:
        [message] = self.parse("whatsapp_cloud/message.json").messages
        image, button, unsupported = self.parse("whatsapp_cloud/messages_of_other_kinds.json").messages

        assert (message.provider_id, message.body) == (WAMID, "Yes é 🎉")
        assert (message.sender, message.to, message.channel) == ("+447700900123", "+447700900001", Channel.WHATSAPP)
        assert (image.body, image.media) == ("Look", (Media("1003383421387256", "image/jpeg"),))
        assert (button.body, unsupported.body) == ("Confirm", "")

    def test_an_event_about_something_else_is_taken_and_tells_nothing(self) -> None:
        assert self.parse("whatsapp_cloud/template_status.json") == Parsed()

    def test_one_that_can_not_be_stored_does_not_cost_the_others(self) -> None:
        entry: list[Any] = [
            {
                "changes": [
                    {"value": {"statuses": [{"id": "\0"}, {"id": None}, 7, {"id": "wamid.1", "status": "sent"}]}}
                ]
            },
            {"changes": "nonsense"},
            None,
        ]
        [receipt] = self.parse("whatsapp_cloud/receipt_delivered.json", entry=entry).receipts

        assert (receipt.provider_id, receipt.status) == ("wamid.1", ReceiptStatus.SENT)
