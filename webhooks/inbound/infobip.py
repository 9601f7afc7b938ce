"""Infobip's delivery reports and received messages: JSON, several in a request, under `results`.

Infobip signs nothing by itself, and its SDK has no validator. A path token or a password (`webhooks.inbound.access`)
is needed; the token is in the URL that goes with each message. A subscription can add an HMAC of the raw body instead:
then `webhook_secrets` hold its keys and `webhook_signature_header` the name of the header, hex or base64, SHA-256,
SHA-384 or SHA-512 by its length.

The id of a message is ours: it was sent as `messageId`.
"""

from collections.abc import Mapping
from typing import Any, Final

from dispatch.providers.infobip import STATUSES
from dispatch.vocabulary import Channel, ReceiptStatus
from sendmsg.errors import MalformedWebhook, SignatureRefused
from webhooks.inbound import reading, signatures
from webhooks.inbound.base import InboundMessage, OptionallySigned, Parsed, Payload, ReportedReceipt, WebhookRequest

_ALGORITHMS: Final = {32: "sha256", 48: "sha384", 64: "sha512"}  # by bytes


class InfobipInbound(OptionallySigned):
    slug = "infobip"

    def verify_signature(self, request: WebhookRequest, credentials: Mapping[str, Any]) -> str:
        name = credentials.get("webhook_signature_header")
        given = request.headers.get(name.lower(), "") if isinstance(name, str) else ""
        value = _bytes(given.rpartition("=")[2] if given.startswith("sha") else given)
        algorithm = _ALGORITHMS.get(len(value))
        if algorithm is None:
            raise SignatureRefused("no signature of a known length", code="bad_signature")
        secrets = signatures.secrets(credentials, *self.secret_names)
        signatures.check([value.hex()], [signatures.hexadecimal(one, request.body, algorithm) for one in secrets])
        return value.hex()

    def parse(self, payload: Payload) -> Parsed:
        document = reading.json_object(payload.body)
        if not isinstance(document.get("results"), list):
            raise MalformedWebhook("no results")
        results = [one for one in reading.objects(document, "results") if reading.has_id(one, "messageId")]
        return Parsed(
            tuple(_receipt(one, payload) for one in results if isinstance(one.get("status"), dict)),
            tuple(_message(one, payload) for one in results if "status" not in one and "from" in one),
        )


def _receipt(result: dict[str, Any], payload: Payload) -> ReportedReceipt:
    """By the exact name where our table has it, else by its group; what is on its way needs no reason."""
    name, group = (reading.at(result, "status", key) for key in ("name", "groupName"))
    known = isinstance(name, str) and name in STATUSES
    status = reading.status(STATUSES, name if known else group)
    reason = reading.code(reading.at(result, "error", "name"))
    return ReportedReceipt(
        provider_id=reading.identifier(result["messageId"]),
        status=status,
        error_code=reason if status is ReceiptStatus.UNDELIVERED and reason != "NO_ERROR" else "",
        at=reading.moment(result.get("doneAt"), payload.at),
        message_id=reading.message_id(result["messageId"]),
    )


def _message(result: dict[str, Any], payload: Payload) -> InboundMessage:
    return InboundMessage(
        provider_id=reading.identifier(result["messageId"]),
        sender=reading.phone(result.get("from")),
        to=reading.phone(result.get("to")),
        body=reading.text(result.get("text")),
        channel=Channel.SMS,
        received_at=reading.moment(result.get("receivedAt"), payload.at),
    )


def _bytes(given: str) -> bytes:
    try:
        return bytes.fromhex(given)
    except ValueError:
        return signatures.from_base64(given)
