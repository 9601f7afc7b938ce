"""Vonage's delivery receipts and inbound messages, of the SMS API and of the Messages API.

The SMS API sends a GET, a form or JSON, as the account is set, and signs the parameters; they carry their time:

    sig = hex HMAC-MD5, -SHA1, -SHA256 or -SHA512 (secret, "&name=value…" by name, with & and = in values as _)

The Messages API signs by a JWT (HS256) in Authorization, whose `payload_hash` is the SHA-256 of the raw body.

Secrets: `webhook_secrets`, the signature secrets of the account. With `signature_method` (`md5`, `sha1`, `sha256`,
`sha512`) only that one is taken; else the length of `sig` tells. A text in several parts has a receipt for each.
"""

import json
from collections.abc import Mapping
from typing import Any, ClassVar, Final

from dispatch.vocabulary import Channel
from sendmsg.errors import MalformedWebhook, SignatureRefused
from webhooks.inbound import reading, signatures
from webhooks.inbound.base import (
    InboundMessage,
    InboundProvider,
    Media,
    Parsed,
    Part,
    Payload,
    ReportedReceipt,
    WebhookRequest,
)
from webhooks.inbound.jwt import claims

STATUSES: Final = {
    **dict.fromkeys(("accepted", "buffered", "submitted"), "sent"),
    **dict.fromkeys(("delivered", "read"), "delivered"),
    **dict.fromkeys(("expired", "failed", "rejected", "undeliverable"), "undelivered"),
}
"""Vonage's word for what became of a message → `ReceiptStatus`; both APIs'."""

MAX_PARTS: Final = 255  # of one text; the header that numbers them has one byte
_METHODS: Final = {32: "md5", 40: "sha1", 64: "sha256", 128: "sha512"}  # by hex digits
_CLOCK: Final = "%Y-%m-%d %H:%M:%S"


class VonageInbound(InboundProvider):
    slug = "vonage"
    methods: ClassVar[frozenset[str]] = frozenset({"GET", "POST"})
    replay_window: ClassVar[int] = 2 * signatures.TOLERANCE

    def verify(self, request: WebhookRequest, credentials: Mapping[str, Any]) -> str:
        secrets = signatures.secrets(credentials, *self.secret_names)
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer":
            return _verify_token(request, token.strip(), secrets)
        return _verify_parameters(request, secrets, credentials.get("signature_method"))

    def parse(self, payload: Payload) -> Parsed:
        report = reading.fields(payload)
        if "message_uuid" in report:
            return _of_messages_api(report, payload)
        if "status" in report:
            return Parsed(receipts=(_receipt(report, payload),))
        return Parsed(messages=(_message(report, payload),))


def _verify_token(request: WebhookRequest, token: str, secrets: list[str]) -> str:
    """A token covers the body and not the query, so only a body counts."""
    if request.method != "POST":
        raise SignatureRefused("a token covers no query", code="bad_signature")
    found = claims(token, secrets)
    signatures.check_time(str(found.get("iat", "")), request.at)
    signatures.check([str(found.get("payload_hash", "")).lower()], [signatures.sha256(request.body)])
    return token


def _verify_parameters(request: WebhookRequest, secrets: list[str], method: object) -> str:
    try:
        given = reading.fields(request.payload)
    except MalformedWebhook:
        raise SignatureRefused("no signature: the parameters can't be read", code="bad_signature") from None
    signature = given.pop("sig", "")
    signature = signature.lower() if isinstance(signature, str) else ""
    algorithm = _METHODS.get(len(signature))
    if algorithm is None or method not in (None, algorithm):
        raise SignatureRefused("sig is missing or of another method", code="bad_signature")
    signatures.check_time(str(given.get("timestamp", "")), request.at)
    text = "".join(f"&{name}={_signed(given[name])}" for name in sorted(given)).encode("utf-8", "replace")
    signatures.check([signature], [signatures.hexadecimal(secret, text, algorithm) for secret in secrets])
    return signature


def _signed(value: object) -> str:
    """A value as it is signed. What isn't flat can't have been."""
    if isinstance(value, str):
        return value.replace("&", "_").replace("=", "_")
    if isinstance(value, int | float) and not isinstance(value, bool):
        return json.dumps(value)
    raise SignatureRefused("a parameter is neither text nor number", code="bad_signature")


def _receipt(report: dict[str, Any], payload: Payload) -> ReportedReceipt:
    return ReportedReceipt(
        provider_id=reading.identifier(report.get("messageId")),
        status=reading.status(STATUSES, report.get("status")),
        error_code=reading.code(report.get("err-code")),
        at=reading.clock(report.get("message-timestamp"), _CLOCK, payload.at),
        message_id=reading.message_id(report.get("client-ref")),
    )


def _message(report: dict[str, Any], payload: Payload) -> InboundMessage:
    if not {"msisdn", "to"} <= report.keys():
        raise MalformedWebhook("neither a receipt nor a message")
    return InboundMessage(
        provider_id=reading.identifier(report.get("messageId")),
        sender=reading.phone(report["msisdn"]),
        to=reading.phone(report["to"]),
        body=reading.text(report.get("text")),
        channel=Channel.SMS,
        received_at=reading.clock(report.get("message-timestamp"), _CLOCK, payload.at),
        part=_part(report),
    )


def _part(report: dict[str, Any]) -> Part | None:
    if str(report.get("concat", "")).lower() != "true":
        return None
    number, total = (_count(report.get(f"concat-{name}")) for name in ("part", "total"))
    reference = reading.text(str(report.get("concat-ref", "")))[:20]
    return Part(reference, number, total) if 0 < number <= total and total > 1 else None


def _count(value: object) -> int:
    digits = str(value)
    number = int(digits) if digits.isascii() and digits.isdecimal() and len(digits) <= 3 else 0
    return number if number <= MAX_PARTS else 0


def _of_messages_api(report: dict[str, Any], payload: Payload) -> Parsed:
    provider_id = reading.identifier(report["message_uuid"])
    when = reading.moment(report.get("timestamp"), payload.at)
    if "status" in report:
        kind = reading.text(reading.at(report, "error", "type"))
        receipt = ReportedReceipt(
            provider_id=provider_id,
            status=reading.status(STATUSES, report["status"]),
            error_code=reading.code(kind.rpartition("#")[2]),
            at=when,
            message_id=reading.message_id(report.get("client_ref")),
        )
        return Parsed(receipts=(receipt,))
    kind = reading.text(report.get("message_type"))
    url = reading.text(reading.at(report, kind, "url"))
    message = InboundMessage(
        provider_id=provider_id,
        sender=reading.phone(report.get("from")),
        to=reading.phone(report.get("to")),
        body=reading.text(report.get("text")) or reading.text(reading.at(report, kind, "caption")),
        channel=Channel.WHATSAPP if report.get("channel") == "whatsapp" else Channel.SMS,
        received_at=when,
        media=(Media(url),) if url else (),
    )
    return Parsed(messages=(message,))
