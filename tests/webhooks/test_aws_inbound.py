"""SNS over HTTPS: signed here with a certificate of our own, by the field order of AWS's documentation."""

import base64
import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any, ClassVar
from uuid import UUID

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.hashes import SHA1, SHA256
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from dispatch.vocabulary import Channel, ReceiptStatus
from sendmsg.errors import MalformedWebhook, SignatureRefused, VerifierUnavailable
from tests.faults import FaultServer, answer
from tests.webhooks.contract import NOW, OLD, SECRET, Example, InboundContract
from webhooks.inbound import sns
from webhooks.inbound.aws import AwsInbound
from webhooks.inbound.base import InboundMessage, InboundProvider, Payload, Proof, WebhookRequest

TOPIC = "arn:aws:sns:eu-west-2:123456789012:receipts"
CERTIFICATE = "https://sns.eu-west-2.amazonaws.com/SimpleNotificationService-0123456789abcdef0123456789abcdef.pem"
REAL_FETCH = sns.fetch
FIELDS = {
    "Notification": ["Message", "MessageId", "Subject", "Timestamp", "TopicArn", "Type"],
    "SubscriptionConfirmation": ["Message", "MessageId", "SubscribeURL", "Timestamp", "Token", "TopicArn", "Type"],
}


@cache
def key(name: str) -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(65537, 2048)


def certificate(signer: Any, start: datetime = NOW - timedelta(days=2), days: int = 365) -> bytes:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "sns.amazonaws.com")])
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).serial_number(1)
    builder = builder.not_valid_before(start).not_valid_after(start + timedelta(days=days))
    return builder.public_key(signer.public_key()).sign(signer, SHA256()).public_bytes(Encoding.PEM)


class Internet:
    """What the process would fetch: pages by their URL, and what was asked for."""

    def __init__(self) -> None:
        self.pages = {CERTIFICATE: certificate(key(SECRET))}
        self.asked: list[str] = []

    def fetch(self, url: str) -> bytes:
        self.asked.append(url)
        if url not in self.pages:
            raise VerifierUnavailable("SNS: HTTP 404")
        return self.pages[url]


@pytest.fixture
def internet(monkeypatch: pytest.MonkeyPatch) -> Internet:
    found = Internet()
    monkeypatch.setattr(sns, "fetch", found.fetch)
    return found


@pytest.fixture(autouse=True, scope="module")
def _certificates() -> Iterator[None]:
    """For all tests of the module: a property test runs its examples within one call."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sns, "fetch", Internet().fetch)
        yield


class TestAws(InboundContract):
    inbound: ClassVar[InboundProvider] = AwsInbound()
    signature_headers: ClassVar[tuple[str, ...]] = ()
    covers_query: ClassVar[bool] = False
    covers_path: ClassVar[bool] = False
    timed: ClassVar[bool] = True
    version: ClassVar[str] = "2"
    examples: ClassVar[tuple[Example, ...]] = tuple(
        Example(f"aws/{name}.json") for name in ("receipt_delivered", "receipt_blocked", "message")
    )

    def credentials(self, *secrets: str) -> dict[str, Any]:
        return {"webhook_topics": [TOPIC if secret == SECRET else f"{TOPIC}-{secret}" for secret in secrets]}

    def sign(self, request: WebhookRequest, secret: str = SECRET) -> WebhookRequest:
        document = json.loads(request.body)
        if secret == OLD:
            document["TopicArn"] = f"{TOPIC}-{OLD}"
        signer = key(SECRET if secret == OLD else secret)
        return replace(request, body=self.enveloped(document, signer))

    def enveloped(self, document: dict[str, Any], signer: rsa.RSAPrivateKey, **more: str) -> bytes:
        text = "".join(f"{name}\n{document[name]}\n" for name in FIELDS[document["Type"]] if name in document)
        digest = SHA1() if self.version == "1" else SHA256()
        signature = base64.b64encode(signer.sign(text.encode(), padding.PKCS1v15(), digest)).decode()
        signed = {"SignatureVersion": self.version, "Signature": signature, "SigningCertURL": CERTIFICATE, **more}
        return json.dumps({**document, **signed}).encode()

    def accepts_body(self, request: WebhookRequest) -> bool:
        """A change that leaves the meaning as it was, such as that of a space."""
        original = [json.loads(self.signed(example).body) for example in self.examples]
        try:
            changed = json.loads(request.body)
        except ValueError:
            return False
        covered = FIELDS["Notification"] + ["SignatureVersion", "SigningCertURL", "Signature"]
        return any(all(one.get(name) == changed.get(name) for name in covered) for one in original)

    test_a_changed_signature_is_refused: ClassVar[None] = None  # type: ignore[assignment]  # it is in the body

    @pytest.mark.parametrize("topics", [[], [""], "", TOPIC, None, {TOPIC: 1}], ids=repr)
    def test_a_connection_without_topics_takes_nothing(self, topics: Any) -> None:
        assert self.refused(self.signed(), {"webhook_topics": topics}) == "no_secret"
        assert self.inbound.proof({"webhook_topics": topics}) is Proof.NONE

    @pytest.mark.parametrize(
        "field", ["Message", "MessageId", "Subject", "Timestamp", "TopicArn", "Type", "Signature", "SignatureVersion"]
    )
    @pytest.mark.parametrize("value", ["x", "", None, 7, [], "Notification", "2026-01-01T12:00:06.000Z", "3"], ids=repr)
    def test_any_changed_field_is_refused(self, field: str, value: Any) -> None:
        for example in self.examples:
            request = self.signed(example)
            document = json.loads(request.body)
            if document.get(field) != value:
                document[field] = value
                assert self.refused(replace(request, body=json.dumps(document).encode()))

    @pytest.mark.parametrize(
        "url",
        [
            "http://sns.eu-west-2.amazonaws.com/SimpleNotificationService-0123456789abcdef.pem",
            "https://sns.eu-west-2.amazonaws.com.attacker.example/SimpleNotificationService-0123456789abcdef.pem",
            "https://attacker.example/SimpleNotificationService-0123456789abcdef.pem",
            "https://sns.eu-west-2.amazonaws.com@attacker.example/SimpleNotificationService-0123456789abcdef.pem",
            "https://attacker@sns.eu-west-2.amazonaws.com/SimpleNotificationService-0123456789abcdef.pem",
            "https://sns.eu-west-2.amazonaws.com:8443/SimpleNotificationService-0123456789abcdef.pem",
            "https://bucket.s3.amazonaws.com/SimpleNotificationService-0123456789abcdef.pem",
            "https://sns.a.b.amazonaws.com/SimpleNotificationService-0123456789abcdef.pem",
            "https://sns.eu-west-2.amazonaws.com/other.pem",
            "https://sns.eu-west-2.amazonaws.com/../SimpleNotificationService-0123456789abcdef.pem",
            "https://sns.eu-west-2.amazonaws.com:x/",
            "https://[",
            "",
            None,
            7,
        ],
    )
    def test_a_certificate_from_anywhere_else_is_not_even_fetched(self, internet: Internet, url: Any) -> None:
        document = {**json.loads(self.examples[0].body)}
        body = self.enveloped(document, key(SECRET), SigningCertURL=url)

        assert self.refused(replace(self.signed(), body=body)) == "bad_signature"
        assert internet.asked == []

    def test_a_topic_of_somebody_else_is_refused_before_anything_is_fetched(self, internet: Internet) -> None:
        document = {**json.loads(self.examples[0].body), "TopicArn": "arn:aws:sns:eu-west-2:999999999999:evil"}

        assert self.refused(replace(self.signed(), body=self.enveloped(document, key(SECRET)))) == "bad_topic"
        assert internet.asked == []

    def test_a_certificate_is_fetched_once(self, internet: Internet) -> None:
        inbound = AwsInbound()
        for example in self.examples * 3:
            inbound.verify(self.signed(example), self.credentials(SECRET))

        assert internet.asked == [CERTIFICATE]

    @pytest.mark.parametrize("page", [None, b"", b"<html>", b"-----BEGIN CERTIFICATE-----\nx\n"])
    def test_while_there_is_no_certificate_nothing_is_taken_nor_refused(self, internet: Internet, page: Any) -> None:
        del internet.pages[CERTIFICATE]
        if page is not None:
            internet.pages[CERTIFICATE] = page
        inbound = AwsInbound()
        with pytest.raises(VerifierUnavailable):
            inbound.verify(self.signed(), self.credentials(SECRET))

        internet.pages[CERTIFICATE] = certificate(key(SECRET))
        inbound.verify(self.signed(), self.credentials(SECRET))

    @pytest.mark.parametrize(
        "page",
        [
            certificate(key(SECRET), NOW + timedelta(days=1)),
            certificate(key(SECRET), NOW - timedelta(days=30), 20),
            certificate(ec.generate_private_key(ec.SECP256R1())),
        ],
        ids=["not yet", "no more", "elliptic"],
    )
    def test_a_certificate_that_is_no_good_proves_nothing(self, internet: Internet, page: bytes) -> None:
        internet.pages[CERTIFICATE] = page

        with pytest.raises(SignatureRefused):
            AwsInbound().verify(self.signed(), self.credentials(SECRET))

    def test_a_repeat_within_an_hour_is_taken(self) -> None:
        for minutes, taken in ((60, True), (70, False)):
            assert self.verdict(replace(self.signed(), at=NOW + timedelta(minutes=minutes))) is taken

    def test_what_was_signed_long_ago_or_is_to_come_is_refused_where_there_is_a_time(self) -> None:
        for seconds in (-86_400, -400, 86_400):
            assert self.refused(replace(self.signed(), at=NOW + timedelta(seconds=seconds))) == "stale_timestamp"

    def test_receipts_are_read(self) -> None:
        [delivered] = self.parse("aws/receipt_delivered.json").receipts
        [blocked] = self.parse("aws/receipt_blocked.json").receipts

        assert delivered.provider_id == "9539975a-e71f-45f3-b496-8d98dc098a77"
        assert delivered.message_id == UUID("01a208a8-1d08-7252-90a9-79f874e03b3f")
        assert (delivered.status, delivered.error_code) == (ReceiptStatus.DELIVERED, "")
        assert delivered.at == datetime(2026, 1, 1, 12, 0, 4, 998_000, UTC)
        assert (blocked.status, blocked.error_code) == (ReceiptStatus.UNDELIVERED, "CARRIER_BLOCKED")
        assert blocked.message_id is None

    def test_an_event_by_way_of_eventbridge_is_read(self) -> None:
        event = json.dumps({"detail-type": "Text", "detail": {"messageId": "m1", "eventType": "TEXT_SUCCESSFUL"}})
        [receipt] = self.parse("aws/receipt_delivered.json", Message=event).receipts

        assert (receipt.provider_id, receipt.status) == ("m1", ReceiptStatus.SENT)

    def test_a_message_is_read(self) -> None:
        [message] = self.parse("aws/message.json").messages

        assert message == InboundMessage(
            "cae173d2-66b9-564c-8309-21f858e9fb84",
            "+447700900123",
            "+447700900001",
            "Yes é",
            Channel.SMS,
            NOW.replace(second=5),
        )

    @pytest.mark.parametrize("event", ["", "{", "[]", "[" * 1_000, '{"messageId": null}', "\ud800"], ids=repr)
    def test_an_event_that_can_not_be_read_is_malformed(self, event: str) -> None:
        body = json.dumps({"Type": "Notification", "Message": event}).encode()
        with pytest.raises(MalformedWebhook):
            self.inbound.parse(Payload(body, NOW))

    def confirmation(self, **changes: Any) -> WebhookRequest:
        document = {**json.loads(Example("aws/confirmation.json").body), **changes}
        return replace(self.signed(), body=self.enveloped(document, key(SECRET)))

    def test_a_subscription_to_our_topic_is_confirmed(self, internet: Internet) -> None:
        request = self.confirmation()
        url = json.loads(request.body)["SubscribeURL"]
        internet.pages[url] = b"<ConfirmSubscriptionResponse/>"

        assert self.inbound.greet(request, self.credentials(SECRET)) is not None
        assert internet.asked[-1] == url

    def test_a_confirmation_that_fails_is_asked_for_again(self, internet: Internet) -> None:
        with pytest.raises(VerifierUnavailable):
            self.inbound.greet(self.confirmation(), self.credentials(SECRET))

    @pytest.mark.parametrize(
        "changes",
        [
            {"TopicArn": "arn:aws:sns:eu-west-2:999999999999:evil"},
            {"SubscribeURL": "https://attacker.example/?Action=ConfirmSubscription"},
            {"SubscribeURL": "http://169.254.169.254/latest/meta-data"},
            {"SubscribeURL": "https://sns.eu-west-2.amazonaws.com@attacker.example/"},
        ],
    )
    def test_no_other_subscription_is_confirmed(self, internet: Internet, changes: dict[str, str]) -> None:
        with pytest.raises(SignatureRefused):
            AwsInbound().greet(self.confirmation(**changes), self.credentials(SECRET))
        assert set(internet.asked) <= {CERTIFICATE}

    def test_an_unsigned_confirmation_is_refused(self, internet: Internet) -> None:
        request = replace(self.signed(), body=Example("aws/confirmation.json").body)
        with pytest.raises(SignatureRefused):
            self.inbound.greet(request, self.credentials(SECRET))
        assert internet.asked == []

    def test_a_notification_is_no_handshake(self) -> None:
        assert self.inbound.greet(self.signed(), self.credentials(SECRET)) is None
        assert self.inbound.greet(replace(self.signed(), body=b"{"), self.credentials(SECRET)) is None


class TestAwsWithSHA1(TestAws):
    version: ClassVar[str] = "1"


@pytest.mark.parametrize("script", [answer(404), answer(302), answer(200, b"x" * (sns.MAX_CERTIFICATE + 1))])
def test_only_a_small_200_is_what_was_asked_for(script: Any) -> None:
    with FaultServer(script) as server, pytest.raises(VerifierUnavailable):
        REAL_FETCH(server.url)


def test_what_is_there_is_fetched() -> None:
    with FaultServer(answer(200, b"pem")) as server:
        assert REAL_FETCH(server.url) == b"pem"


def test_a_host_that_is_not_there_is_no_refusal() -> None:
    with pytest.raises(VerifierUnavailable):
        REAL_FETCH("http://127.0.0.1:1/")
