"""Twilio's webhooks, with its own `RequestValidator` as the oracle."""

from dataclasses import replace
from typing import ClassVar
from urllib.parse import parse_qsl, urlencode

import pytest
from django.http import QueryDict
from twilio.request_validator import HMAC_SHA256, RequestValidator, get_signature_algorithm

from dispatch.vocabulary import Channel, ReceiptStatus
from tests.webhooks.contract import JSON, NOW, SECRET, URL, Example, InboundContract
from webhooks.inbound import signatures
from webhooks.inbound.base import InboundMessage, InboundProvider, Media, Payload, WebhookRequest
from webhooks.inbound.twilio import TwilioInbound

SIGNATURE, SETTINGS = "x-twilio-signature", "x-twilio-webhooks-signature-settings"
SID = "SM" + "fedcba9876543210" * 2


def signed_content(request: WebhookRequest) -> str | QueryDict | None:
    """As Django and Twilio's own examples hand it to the validator."""
    if request.headers["content-type"] == JSON:
        return request.body.decode("utf-8", "replace")
    return QueryDict(request.body, encoding="utf-8") if request.body else None


class TestTwilio(InboundContract):
    inbound: ClassVar[InboundProvider] = TwilioInbound()
    signature_headers: ClassVar[tuple[str, ...]] = (SIGNATURE,)
    examples: ClassVar[tuple[Example, ...]] = (
        Example("twilio/receipt_delivered.form"),
        Example("twilio/receipt_undelivered.form", extra_query="a=1&b=%C3%A9"),
        Example("twilio/receipt_whatsapp_read.form"),
        Example("twilio/message.form"),
        Example("twilio/message_whatsapp.form"),
        Example("twilio/receipt_delivered.form", method="GET"),
    )
    algorithm: ClassVar[str] = "HMAC_SHA1"

    def sign(self, request: WebhookRequest, secret: str = SECRET) -> WebhookRequest:
        content = signed_content(request)
        parameters = None if isinstance(content, str) else content
        signature = RequestValidator(secret).compute_signature(request.url, parameters, self.algorithm)
        return replace(request, headers={**request.headers, SIGNATURE: signature, **self.settings()})

    def settings(self) -> dict[str, str]:
        return {}

    def oracle(self, request: WebhookRequest) -> bool | None:
        algorithm = get_signature_algorithm(request.headers.get(SETTINGS, ""))
        signature = request.headers.get(SIGNATURE, "")
        return bool(RequestValidator(SECRET).validate(request.url, signed_content(request), signature, algorithm))

    def test_the_auth_token_that_messages_are_sent_with_is_a_secret_too(self) -> None:
        self.inbound.verify(self.signed(), {"auth_token": SECRET})
        self.inbound.verify(self.signed(), {"auth_token": "x", "webhook_secrets": [SECRET]})
        assert self.refused(self.signed(), {"auth_token": "x"}) == "bad_signature"

    @pytest.mark.parametrize("host", ["sendmsg.example:443", "sendmsg.example:8443"])
    def test_a_port_in_the_url_may_be_signed_or_not(self, host: str) -> None:
        plain = self.unsigned(self.examples[0])
        with_port = replace(plain, url=plain.url.replace("sendmsg.example", host))

        for signed, received in ((with_port, with_port), (plain, with_port)):
            headers = self.sign(signed).headers
            request = replace(received, headers=headers)
            assert self.oracle(request)
            assert self.verdict(request)
        assert self.verdict(replace(plain, headers=self.sign(with_port).headers)) == host.endswith(":443")

    def test_a_json_body_is_covered_by_its_digest_in_the_url(self) -> None:
        body = '{"MessageSid": "SM1", "MessageStatus": "é"}'.encode()
        query = f"bodySHA256={signatures.sha256(body)}"
        plain = WebhookRequest({"content-type": JSON}, body, NOW, "POST", f"{URL}/twilio/main?{query}", query)
        request = self.sign(plain)

        assert self.oracle(request)
        assert self.verdict(request)
        for other in (body + b" ", body.replace(b"SM1", b"SM2"), b"{}"):
            assert not self.oracle(replace(request, body=other))
            assert self.refused(replace(request, body=other)) == "bad_signature"

    def test_a_body_that_nothing_covers_is_refused(self) -> None:
        url = self.sign(self.unsigned(Example("twilio/receipt_delivered.form", method="GET")))

        request = replace(url, method="POST", body=b'{"MessageSid": "SM1"}')
        for kind in (JSON, "text/plain", ""):
            changed = replace(request, headers={**request.headers, "content-type": kind})
            assert self.refused(changed) == "bad_signature"

    def test_repeated_parameters_count_once_each(self) -> None:
        body = b"MediaUrl=b&MediaUrl=a&MediaUrl=b&MessageSid=SM1"
        request = self.sign(replace(self.unsigned(self.examples[0]), body=body))

        assert self.oracle(request)
        assert self.verdict(request)

    def test_an_unknown_algorithm_is_refused(self) -> None:
        request = self.signed()
        headers = {**request.headers, SETTINGS: "key=x,algorithm=HMAC_MD5"}

        assert self.refused(replace(request, headers=headers)) == "bad_signature"

    def test_receipts_are_read(self) -> None:
        [delivered] = self.parse("twilio/receipt_delivered.form").receipts
        [undelivered] = self.parse("twilio/receipt_undelivered.form").receipts
        [read] = self.parse("twilio/receipt_whatsapp_read.form").receipts

        assert (delivered.provider_id, delivered.status, delivered.error_code) == (SID, ReceiptStatus.DELIVERED, "")
        assert (undelivered.status, undelivered.error_code) == (ReceiptStatus.UNDELIVERED, "30003")
        assert (read.status, read.at, read.message_id) == (ReceiptStatus.DELIVERED, NOW, None)

    def test_messages_are_read(self) -> None:
        [message] = self.parse("twilio/message.form").messages
        [picture] = self.parse("twilio/message_whatsapp.form").messages

        assert message == InboundMessage(SID, "+447700900123", "+447700900001", "Yes & no = 50% é 🎉", Channel.SMS, NOW)
        assert (picture.sender, picture.to, picture.channel) == ("+447700900123", "+447700900001", Channel.WHATSAPP)
        assert [media.content_type for media in picture.media] == ["image/jpeg"]
        assert isinstance(picture.media[0], Media)

    @pytest.mark.parametrize("word", ["teleported", "", "DELIVERED", "\0"])
    def test_a_word_without_a_meaning_is_unknown(self, word: str) -> None:
        body = urlencode({"MessageSid": "SM1", "MessageStatus": word}).encode()
        [receipt] = self.inbound.parse(Payload(body, NOW, "POST", "", self.examples[0].content_type)).receipts

        assert receipt.status is ReceiptStatus.UNKNOWN

    def test_a_get_is_read_from_its_query(self) -> None:
        request = self.signed(self.examples[-1])
        [receipt] = self.inbound.parse(request.payload).receipts

        assert receipt.provider_id == dict(parse_qsl(request.query))["MessageSid"]


class TestTwilioWithASharedKey(TestTwilio):
    algorithm: ClassVar[str] = HMAC_SHA256

    def settings(self) -> dict[str, str]:
        return {SETTINGS: "key=webhooks_sharedkey_1, algorithm=HMAC_SHA256"}
