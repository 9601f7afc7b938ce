"""Sinch's delivery reports and inbound messages (XMS): JSON, signed where the account was set so.

    x-sinch-webhook-signature: base64 HMAC-SHA256(secret, raw body + "." + nonce + "." + timestamp)
    x-sinch-webhook-signature-nonce, x-sinch-webhook-signature-timestamp

With `webhook_secrets` the signature is asked for; without, a path token or a password (`webhooks.inbound.access`).

A report names batch and recipient, so a receipt's id is made of both as it was when the batch was sent; a summary that
counts recipients and names none tells of no message.
"""

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar, Final

from dispatch.providers.sinch import MAX_BATCH_ID, STATUSES, reference
from dispatch.vocabulary import Channel, ReceiptStatus
from sendmsg.errors import MalformedWebhook
from webhooks.inbound import reading, signatures
from webhooks.inbound.base import (
    InboundMessage,
    Media,
    OptionallySigned,
    Parsed,
    Payload,
    ReportedReceipt,
    WebhookRequest,
)

_HEADER: Final = "x-sinch-webhook-signature"


class SinchInbound(OptionallySigned):
    slug = "sinch"
    replay_window: ClassVar[int] = 2 * signatures.TOLERANCE

    def verify_signature(self, request: WebhookRequest, credentials: Mapping[str, Any]) -> str:
        stamp, nonce = (request.headers.get(f"{_HEADER}-{name}", "") for name in ("timestamp", "nonce"))
        signatures.check_time(stamp, request.at)
        signed = request.body + f".{nonce}.{stamp}".encode("utf-8", "replace")
        secrets = signatures.secrets(credentials, *self.secret_names)
        signatures.check([request.headers.get(_HEADER, "")], [signatures.in_base64(one, signed) for one in secrets])
        return f"{nonce}.{stamp}"

    def parse(self, payload: Payload) -> Parsed:
        report = reading.json_object(payload.body)
        kind = reading.text(report.get("type"))
        if kind.startswith("mo_"):
            return Parsed(messages=(_message(report, payload),))
        if kind.startswith("recipient_delivery_report_"):
            return Parsed(receipts=(_receipt(report, report.get("recipient"), _batch(report), payload),))
        if kind.startswith("delivery_report_"):
            return Parsed(receipts=tuple(_receipts(report, payload)))
        raise MalformedWebhook("neither a report nor a message")


def _batch(report: dict[str, Any]) -> str:
    """Its id, bounded so that `reference` can be stored."""
    batch_id = reading.identifier(report.get("batch_id"))
    if len(batch_id) > MAX_BATCH_ID or ":" in batch_id:
        raise MalformedWebhook("the batch's id is none of Sinch's")
    return batch_id


def _receipts(report: dict[str, Any], payload: Payload) -> Iterator[ReportedReceipt]:
    batch_id = _batch(report)
    for group in reading.objects(report, "statuses"):
        recipients = group.get("recipients")
        for one in recipients if isinstance(recipients, list) else ():
            if isinstance(one, str):
                yield _receipt({**group, "client_reference": None}, one, batch_id, payload)


def _receipt(report: dict[str, Any], recipient: object, batch_id: str, payload: Payload) -> ReportedReceipt:
    if not isinstance(recipient, str):
        raise MalformedWebhook("no recipient")
    status = reading.status(STATUSES, report.get("status"))
    return ReportedReceipt(
        provider_id=reference(batch_id, reading.text(recipient)),
        status=status,
        error_code=reading.code(report.get("code")) if status is ReceiptStatus.UNDELIVERED else "",
        at=reading.moment(report.get("at"), payload.at),
        message_id=reading.message_id(report.get("client_reference")),
    )


def _message(report: dict[str, Any], payload: Payload) -> InboundMessage:
    body = report.get("body")
    media = [one for one in reading.objects(body, "media") if isinstance(one.get("url"), str)]
    return InboundMessage(
        provider_id=reading.identifier(report.get("id")),
        sender=reading.phone(report.get("from")),
        to=reading.phone(report.get("to")),
        body=reading.text(reading.at(body, "message") if isinstance(body, dict) else body),
        channel=Channel.SMS,
        received_at=reading.moment(report.get("received_at"), payload.at),
        media=tuple(Media(one["url"], reading.text(one.get("content_type"))) for one in media),
    )
