"""Receipts of the SendMSG provider protocol (docs/provider-protocol.md).

    SendMSG-Timestamp: 1767225600
    SendMSG-Signature: v1=<hex HMAC-SHA256(secret, timestamp + "." + raw body)>[,v1=…]
    {"event_id": "evt_…", "type": "receipt", "id": "snd_…", "status": "delivered", "error_code": null, "at": "…"}

Secrets: the connection's `webhook_secrets`, a list, so that one can be replaced without losing a receipt.
"""

import hashlib
import hmac
import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from dispatch.vocabulary import ReceiptStatus
from sendmsg.errors import MalformedWebhook, SignatureRefused
from webhooks.inbound.base import InboundProvider, ReportedReceipt, WebhookRequest

TOLERANCE = 300  # seconds a timestamp may be off, either way; what Stripe's and Standard Webhooks' libraries allow
MAX_ID = 128  # characters; what the column holds
MAX_CODE = 60  # characters


class SendMSGInbound(InboundProvider):
    slug = "sendmsg"

    def verify(self, request: WebhookRequest, credentials: Mapping[str, Any]) -> None:
        secrets = _secrets(credentials)
        if not secrets:
            raise SignatureRefused("the connection has no webhook_secrets", code="no_secret")
        stamp = request.headers.get("sendmsg-timestamp", "")
        if not (stamp.isascii() and stamp.isdigit() and len(stamp) <= 12):
            raise SignatureRefused("SendMSG-Timestamp is missing or not a number", code="bad_timestamp")
        if abs(request.at.timestamp() - int(stamp)) > TOLERANCE:
            raise SignatureRefused("SendMSG-Timestamp is too far from now", code="stale_timestamp")
        given = _signatures(request.headers.get("sendmsg-signature", ""))
        wanted = [sign(secret, stamp, request.body) for secret in secrets]
        if not any(hmac.compare_digest(one, other) for one in given for other in wanted):
            raise SignatureRefused("no signature matches", code="bad_signature")

    def parse(self, body: bytes, at: datetime) -> list[ReportedReceipt]:
        try:
            report = json.loads(body)
        except (ValueError, RecursionError):
            raise MalformedWebhook("the body is not JSON") from None
        if not isinstance(report, dict):
            raise MalformedWebhook("the body is not an object")
        provider_id, word = report.get("id"), report.get("status")
        if not isinstance(provider_id, str) or not _storable(provider_id, MAX_ID):
            raise MalformedWebhook("id is missing or not a short text")
        status = ReceiptStatus.UNKNOWN
        if isinstance(word, str) and word in ReceiptStatus.values:
            status = ReceiptStatus(word)
        code = report.get("error_code")
        return [
            ReportedReceipt(
                provider_id=provider_id,
                status=status,
                error_code=code if isinstance(code, str) and _storable(code, MAX_CODE) else "",
                at=_time(report.get("at"), at),
            )
        ]


def sign(secret: str, stamp: str, body: bytes) -> bytes:
    """The hex digest over `stamp + "." + body`."""
    return hmac.new(secret.encode(), stamp.encode() + b"." + body, hashlib.sha256).hexdigest().encode()


def _secrets(credentials: Mapping[str, Any]) -> list[str]:
    """Of a text in place of the list each letter would be a secret, and an empty one is known to everybody."""
    listed = credentials.get("webhook_secrets") if isinstance(credentials, Mapping) else None
    return [one for one in listed if isinstance(one, str) and one] if isinstance(listed, list) else []


def _signatures(header: str) -> list[bytes]:
    parts = (part.strip() for part in header.split(","))
    return [part.removeprefix("v1=").encode("utf-8", "replace") for part in parts if part.startswith("v1=")]


def _storable(text: str, longest: int) -> bool:
    return 0 < len(text) <= longest and text.isascii() and text.isprintable()


def _time(value: object, otherwise: datetime) -> datetime:
    if isinstance(value, str):
        try:
            at = datetime.fromisoformat(value)
            if at.tzinfo is not None and at.year > 1970:
                return at.astimezone(UTC)
        except (ValueError, OverflowError):  # the last hours of the year 9999 have no UTC
            return otherwise
    return otherwise
