"""Receipts and messages of the SendMSG provider protocol (docs/provider-protocol.md).

    SendMSG-Timestamp: 1767225600
    SendMSG-Signature: v1=<hex HMAC-SHA256(secret, timestamp + "." + raw body)>[,v1=…]
    {"event_id": "evt_…", "type": "receipt", "id": "snd_…", "status": "delivered", "error_code": null, "at": "…"}
    {"event_id": "evt_…", "type": "message", "id": "rcv_…", "from": "+44…", "to": "+44…", "body": "…",
     "channel": "sms", "at": "…"}

Or signed by the Standard Webhooks spec (`webhooks.inbound.standard`), with a secret that begins with `whsec_`.
Secrets: the connection's `webhook_secrets`, a list, so that one can be replaced without losing a receipt.
"""

from collections.abc import Mapping
from typing import Any, ClassVar, Final

from dispatch.vocabulary import Channel, ReceiptStatus
from webhooks.inbound import reading, signatures, standard
from webhooks.inbound.base import InboundMessage, InboundProvider, Parsed, Payload, ReportedReceipt, WebhookRequest

_STATUSES: Final = {status.value: status.value for status in ReceiptStatus}


class SendMSGInbound(InboundProvider):
    slug = "sendmsg"
    opted_out_codes: ClassVar[frozenset[str]] = frozenset({"opted_out"})
    replay_window: ClassVar[int] = 2 * signatures.TOLERANCE

    def verify(self, request: WebhookRequest, credentials: Mapping[str, Any]) -> str:
        secrets = signatures.secrets(credentials, *self.secret_names)
        if standard.signs(request):
            return standard.verify(request, secrets)
        stamp = request.headers.get("sendmsg-timestamp", "")
        signatures.check_time(stamp, request.at)
        given = _signatures(request.headers.get("sendmsg-signature", ""))
        signatures.check(given, [sign(secret, stamp, request.body) for secret in secrets])
        return f"{stamp}.{signatures.sha256(request.body)}"

    def parse(self, payload: Payload) -> Parsed:
        report = reading.json_object(payload.body)
        if report.get("type") == "message":
            return Parsed(messages=(_message(report, payload),))
        return Parsed(receipts=(_receipt(report, payload),))


def sign(secret: str, stamp: str, body: bytes) -> str:
    """The hex digest over `stamp + "." + body`."""
    return signatures.hexadecimal(secret, stamp.encode() + b"." + body)


def _receipt(report: dict[str, Any], payload: Payload) -> ReportedReceipt:
    given = report.get("error_code")
    return ReportedReceipt(
        provider_id=reading.identifier(report.get("id")),
        status=reading.status(_STATUSES, report.get("status")),
        error_code=reading.code(given) if isinstance(given, str) else "",
        at=reading.moment(report.get("at"), payload.at),
    )


def _message(report: dict[str, Any], payload: Payload) -> InboundMessage:
    return InboundMessage(
        provider_id=reading.identifier(report.get("id")),
        sender=reading.phone(report.get("from")),
        to=reading.phone(report.get("to")),
        body=reading.text(report.get("body")),
        channel=Channel.WHATSAPP if report.get("channel") == Channel.WHATSAPP else Channel.SMS,
        received_at=reading.moment(report.get("at"), payload.at),
    )


def _signatures(header: str) -> list[str]:
    parts = (part.strip() for part in header.split(","))
    return [part.removeprefix("v1=") for part in parts if part.startswith("v1=")]
