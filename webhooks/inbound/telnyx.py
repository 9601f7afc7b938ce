"""Telnyx's events: message.sent, message.finalized and message.received, signed with the account's Ed25519 key.

    telnyx-timestamp: 1767225600
    telnyx-signature-ed25519: base64 Ed25519(timestamp + "|" + raw body)

`webhook_secrets` holds public keys, in base64 as Telnyx shows them: nothing here could sign an event.
"""

from collections.abc import Mapping
from typing import Any, ClassVar, Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from dispatch.providers import telnyx
from dispatch.vocabulary import Channel
from sendmsg.errors import SignatureRefused
from webhooks.inbound import reading, signatures
from webhooks.inbound.base import (
    InboundMessage,
    InboundProvider,
    Media,
    Parsed,
    Payload,
    ReportedReceipt,
    WebhookRequest,
)

STATUSES: Final = {**telnyx.STATUSES, "read": "delivered"}
_RECEIPTS: Final = ("message.sent", "message.finalized")


class TelnyxInbound(InboundProvider):
    slug = "telnyx"
    opted_out_codes: ClassVar[frozenset[str]] = frozenset({"40300"})
    replay_window: ClassVar[int] = 2 * signatures.TOLERANCE

    def verify(self, request: WebhookRequest, credentials: Mapping[str, Any]) -> str:
        keys = signatures.secrets(credentials, *self.secret_names)
        stamp = request.headers.get("telnyx-timestamp", "")
        signatures.check_time(stamp, request.at)
        given = request.headers.get("telnyx-signature-ed25519", "")
        signed = stamp.encode() + b"|" + request.body
        if not any(_fits(key, signatures.from_base64(given), signed) for key in keys):
            raise SignatureRefused("no signature matches", code="bad_signature")
        return given

    def parse(self, payload: Payload) -> Parsed:
        data = reading.at(reading.json_object(payload.body), "data")
        event, about = reading.at(data, "event_type"), reading.at(data, "payload")
        when = reading.moment(reading.at(data, "occurred_at"), payload.at)
        if event == "message.received":
            received = reading.moment(reading.at(about, "received_at"), when)
            message = InboundMessage(
                provider_id=reading.identifier(reading.at(about, "id")),
                sender=reading.phone(reading.at(about, "from", "phone_number")),
                to=reading.phone(reading.at(about, "to", 0, "phone_number")),
                body=reading.text(reading.at(about, "text")),
                channel=Channel.WHATSAPP if reading.at(about, "type") == "WHATSAPP" else Channel.SMS,
                received_at=received,
                media=tuple(
                    Media(one["url"], reading.text(one.get("content_type")))
                    for one in reading.objects(about, "media")
                    if isinstance(one.get("url"), str)
                ),
            )
            return Parsed(messages=(message,))
        if event not in _RECEIPTS:
            reading.identifier(reading.at(data, "id"))
            return Parsed()
        receipt = ReportedReceipt(
            provider_id=reading.identifier(reading.at(about, "id")),
            status=reading.status(STATUSES, reading.at(about, "to", 0, "status")),
            error_code=reading.code(reading.at(about, "errors", 0, "code")),
            at=reading.moment(reading.at(about, "completed_at"), when),
        )
        return Parsed(receipts=(receipt,))


def _fits(key: str, signature: bytes, signed: bytes) -> bool:
    try:
        Ed25519PublicKey.from_public_bytes(signatures.from_base64(key)).verify(signature, signed)
    except (InvalidSignature, ValueError):
        return False
    return True
