"""Vonage's webhooks, with its own signature check and its own token check as the oracles."""

import base64
import json
from dataclasses import replace
from typing import Any, ClassVar, Literal
from urllib.parse import parse_qsl, urlencode
from uuid import UUID

import jwt
import pytest
from vonage_http_client.auth import Auth
from vonage_jwt.errors import VonageVerifyJwtError
from vonage_jwt.verify_jwt import verify_signature

from dispatch.vocabulary import Channel, ReceiptStatus
from tests.webhooks.contract import FORM, NOW, OLD, SECRET, WRONG, Example, InboundContract
from webhooks.inbound import signatures
from webhooks.inbound.base import InboundMessage, InboundProvider, Media, Part, WebhookRequest
from webhooks.inbound.vonage import VonageInbound

Method = Literal["md5", "sha1", "sha256", "sha512"]
OURS = UUID("01a208a8-1d08-7252-90a9-79f874e03b3f")
STAMP = str(int(NOW.timestamp()))


def parameters(request: WebhookRequest) -> Any:
    """As a web framework would give them to Vonage's check; None for what it could not read."""
    if request.method == "GET":
        return dict(parse_qsl(request.query, keep_blank_values=True))
    if request.headers["content-type"] == FORM:
        return dict(parse_qsl(request.body.decode("utf-8", "replace"), keep_blank_values=True))
    try:
        return json.loads(request.body)
    except ValueError:
        return None


def part(raw: bytes) -> str:
    """Of a token."""
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


class TestVonage(InboundContract):
    inbound: ClassVar[InboundProvider] = VonageInbound()
    timed: ClassVar[bool] = True
    covers_path: ClassVar[bool] = False
    covers_query: ClassVar[bool] = False  # of a POST nothing is read there
    signature_headers: ClassVar[tuple[str, ...]] = ("content-type",)
    examples: ClassVar[tuple[Example, ...]] = (
        Example("vonage/receipt_delivered.json"),
        Example("vonage/receipt_failed.json"),
        Example("vonage/receipt_form.form"),
        Example("vonage/receipt_form.form", method="GET"),
        Example("vonage/message.json"),
        Example("vonage/message_part.json"),
    )
    method: ClassVar[Method] = "sha256"

    def sign(self, request: WebhookRequest, secret: str = SECRET) -> WebhookRequest:
        given = {**parameters(request), "timestamp": STAMP, "nonce": "aaaaaaaa-bbbb-cccc"}
        auth = Auth(api_key="abcd1234", signature_secret=secret, signature_method=self.method)
        given["sig"] = auth.sign_params(dict(given))
        if request.method == "GET":
            query = urlencode(given)
            return replace(request, query=query, url=f"{request.url.partition('?')[0]}?{query}")
        form = request.headers["content-type"] == FORM
        return replace(request, body=(urlencode(given) if form else json.dumps(given)).encode())

    def oracle(self, request: WebhookRequest) -> bool | None:
        given = parameters(request)
        if not isinstance(given, dict) or not isinstance(given.get("sig"), str) or not given["sig"].isascii():
            return False
        if given.get("timestamp") != STAMP:  # Vonage's check takes any time, and now for none
            return False
        auth = Auth(api_key="abcd1234", signature_secret=SECRET, signature_method=self.method)
        return bool(auth.check_signature(dict(given)))

    test_a_changed_signature_is_refused: ClassVar[None] = None  # type: ignore[assignment]  # it is in the body

    @pytest.mark.parametrize("change", ["", "0" * 64, "f" * 63, "é" * 64, SECRET])
    def test_a_changed_sig_is_refused(self, change: str) -> None:
        for example in self.examples[:2]:
            request = self.signed(example)
            document = {**json.loads(request.body), "sig": change}
            assert self.refused(replace(request, body=json.dumps(document).encode())) == "bad_signature"

    @pytest.mark.parametrize("field", ["status", "messageId", "err-code", "client-ref"])
    def test_a_changed_field_is_refused(self, field: str) -> None:
        request = self.signed()
        document = json.loads(request.body)
        for changed in ({**document, field: "x"}, {k: v for k, v in document.items() if k != field}):
            assert self.refused(replace(request, body=json.dumps(changed).encode())) == "bad_signature"

    @pytest.mark.parametrize("value", [None, True, [], {}, ["x"]], ids=repr)
    def test_a_parameter_that_is_not_flat_is_refused(self, value: Any) -> None:
        request = self.signed()
        document = {**json.loads(request.body), "price": value}

        assert self.refused(replace(request, body=json.dumps(document).encode())) == "bad_signature"

    def test_a_request_without_its_time_is_refused(self) -> None:
        given = {"messageId": "1", "status": "delivered"}
        signature = signatures.hexadecimal(SECRET, b"&messageId=1&status=delivered")
        body = json.dumps({**given, "sig": signature}).encode()

        assert self.refused(replace(self.signed(), body=body)) == "bad_timestamp"

    def test_only_the_configured_method_is_taken(self) -> None:
        for method in ("md5", "sha1", "sha256", "sha512"):
            credentials = {"webhook_secrets": [SECRET], "signature_method": method}
            if method == self.method:
                self.inbound.verify(self.signed(), credentials)
            else:
                assert self.refused(self.signed(), credentials) == "bad_signature"

    def test_receipts_are_read(self) -> None:
        [delivered] = self.parse("vonage/receipt_delivered.json").receipts
        [failed] = self.parse("vonage/receipt_failed.json").receipts

        assert (delivered.provider_id, delivered.status) == ("0A0000001234567B", ReceiptStatus.DELIVERED)
        assert (delivered.error_code, delivered.message_id) == ("", OURS)
        assert delivered.at.isoformat() == "2026-01-01T12:00:05+00:00"
        assert (failed.status, failed.error_code) == (ReceiptStatus.UNDELIVERED, "6")
        assert self.parse("vonage/receipt_form.form").receipts == (delivered,)

    def test_messages_and_their_parts_are_read(self) -> None:
        [message] = self.parse("vonage/message.json").messages
        [part] = self.parse("vonage/message_part.json").messages

        assert message == InboundMessage(
            "0B00000012345678",
            "+447700900123",
            "+447700900001",
            "Yes & no = 50% é",
            Channel.SMS,
            message.received_at,
        )
        assert (part.body, part.part) == ("the second half", Part("123", 2, 3))

    @pytest.mark.parametrize(
        "numbers", [("0", "3"), ("4", "3"), ("x", "3"), ("1", "256"), ("1", "1"), (None, None), ("1" * 9, "9" * 9)]
    )
    def test_a_part_without_a_sensible_number_is_a_message_of_its_own(self, numbers: Any) -> None:
        [message] = self.parse(
            "vonage/message_part.json", **{"concat-part": numbers[0], "concat-total": numbers[1]}
        ).messages

        assert message.part is None

    @pytest.mark.parametrize("word", ["accepted", "buffered"])
    def test_words_of_the_way_are_sent(self, word: str) -> None:
        assert self.parse("vonage/receipt_delivered.json", status=word).receipts[0].status is ReceiptStatus.SENT

    @pytest.mark.parametrize("word", ["teleported", "", None, 1, [], {}], ids=repr)
    def test_a_word_without_a_meaning_is_unknown(self, word: Any) -> None:
        assert self.parse("vonage/receipt_delivered.json", status=word).receipts[0].status is ReceiptStatus.UNKNOWN


class TestVonageWithMD5(TestVonage):
    method: ClassVar[Method] = "md5"


class TestVonageWithSHA512(TestVonage):
    method: ClassVar[Method] = "sha512"


@pytest.mark.filterwarnings("ignore::jwt.warnings.InsecureKeyLengthWarning")
class TestVonageMessages(InboundContract):
    inbound: ClassVar[InboundProvider] = VonageInbound()
    timed: ClassVar[bool] = True
    covers_path: ClassVar[bool] = False
    covers_query: ClassVar[bool] = False
    signature_headers: ClassVar[tuple[str, ...]] = ("authorization",)
    examples: ClassVar[tuple[Example, ...]] = (
        Example("vonage/messages_api_receipt.json"),
        Example("vonage/messages_api_message.json"),
    )

    def meaning(self, header: str) -> object:
        scheme, _, token = header.partition(" ")
        return scheme.lower(), token.strip()

    def claims(self, request: WebhookRequest) -> dict[str, Any]:
        return {
            "iat": int(NOW.timestamp()),
            "jti": "c5ba8f24-1a14-4c10-bfdf-3fbe8ce511b5",
            "iss": "Vonage",
            "payload_hash": signatures.sha256(request.body),
            "api_key": "abcd1234",
            "application_id": "aaaaaaaa-bbbb-cccc-dddd-0123456789ab",
        }

    def with_token(self, request: WebhookRequest, token: str) -> WebhookRequest:
        return replace(request, headers={**request.headers, "authorization": f"Bearer {token}"})

    def sign(self, request: WebhookRequest, secret: str = SECRET) -> WebhookRequest:
        return self.with_token(request, jwt.encode(self.claims(request), secret, algorithm="HS256"))

    def test_vonages_own_check_takes_what_we_take(self) -> None:
        token = self.signed().headers["authorization"].removeprefix("Bearer ")

        assert verify_signature(token, SECRET)
        assert not verify_signature(token, WRONG)

    @pytest.mark.parametrize("change", [{"iat": None}, {"iat": "now"}, {"iat": 1.5}, {"payload_hash": None}])
    def test_a_token_without_its_time_or_its_digest_is_refused(self, change: dict[str, Any]) -> None:
        request = self.unsigned(self.examples[0])
        claims = {**self.claims(request), **change}
        header, body = (
            base64.urlsafe_b64encode(json.dumps(one).encode()).decode().rstrip("=")
            for one in ({"alg": "HS256"}, claims)
        )
        digest = base64.urlsafe_b64encode(signatures.digest(SECRET, f"{header}.{body}".encode())).decode().rstrip("=")

        assert self.refused(self.with_token(request, f"{header}.{body}.{digest}")) in {"bad_timestamp", "bad_signature"}

    @pytest.mark.parametrize("algorithm", ["none", "HS512", "RS256", None, ["HS256"]])
    def test_a_token_may_not_choose_how_it_is_signed(self, algorithm: Any) -> None:
        request = self.unsigned(self.examples[0])
        header = part(json.dumps({"alg": algorithm}).encode())
        good = self.signed().headers["authorization"].removeprefix("Bearer ")
        _, body, signature = good.split(".")

        signed = f"{header}.{body}"
        fitting = part(signatures.digest(SECRET, signed.encode()))
        for token in (f"{signed}.{fitting}", f"{signed}.", f"{signed}.{signature}", signed, header, "", "..", "."):
            assert self.refused(self.with_token(request, token)) == "bad_signature"
            with pytest.raises((VonageVerifyJwtError, AssertionError)):
                assert verify_signature(token, SECRET)

    def test_a_token_with_another_body_or_as_a_get_is_refused(self) -> None:
        request = self.signed()

        assert self.refused(replace(request, body=request.body + b" ")) == "bad_signature"
        assert self.refused(replace(request, method="GET", query="message_uuid=1&status=delivered")) == "bad_signature"

    def test_receipts_and_messages_are_read(self) -> None:
        [receipt] = self.parse("vonage/messages_api_receipt.json").receipts
        [message] = self.parse("vonage/messages_api_message.json").messages

        assert receipt.provider_id == "aaaaaaaa-bbbb-4ccc-8ddd-0123456789ab"
        assert (receipt.status, receipt.error_code) == (ReceiptStatus.UNDELIVERED, "1320")
        assert receipt.message_id == OURS
        assert (message.body, message.channel) == ("Look", Channel.WHATSAPP)
        assert message.media == (Media("https://api-us.nexmo.com/v3/media/1"),)
        assert (message.sender, message.to) == ("+447700900123", "+447700900001")

    def test_a_secret_that_was_retired_is_not_used(self) -> None:
        assert self.refused(self.sign(self.unsigned(self.examples[0]), OLD)) == "bad_signature"
