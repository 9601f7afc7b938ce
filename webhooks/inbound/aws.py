"""AWS End User Messaging: events of a configuration set and two-way messages, which come through SNS over HTTPS.

`webhook_topics` lists the ARNs of the topics that are ours; who signed is up to `webhooks.inbound.sns`. A subscription
to one of them is confirmed at once, within the request and for 3 seconds at most; one to any other topic is refused.
Raw message delivery must be off: what is raw has no signature.

Our message id comes back in `context`, whose pairs go out with the message.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, ClassVar, Final

import structlog

from dispatch.vocabulary import Channel, ReceiptStatus
from sendmsg.errors import MalformedWebhook, SignatureRefused
from webhooks.inbound import reading, signatures, sns
from webhooks.inbound.base import (
    InboundMessage,
    InboundProvider,
    Parsed,
    Payload,
    Reply,
    ReportedReceipt,
    WebhookRequest,
)

logger = structlog.stdlib.get_logger(__name__)

STATUSES: Final = {
    **dict.fromkeys(("QUEUED", "PENDING", "SENT", "SUCCESSFUL"), "sent"),  # the last: the carrier has it
    "DELIVERED": "delivered",
    **dict.fromkeys(("INVALID", "INVALID_MESSAGE", "UNREACHABLE", "CARRIER_UNREACHABLE", "TTL_EXPIRED"), "undelivered"),
    **dict.fromkeys(("BLOCKED", "CARRIER_BLOCKED", "SPAM", "PROTECT_BLOCKED"), "undelivered"),
    "UNKNOWN": "unknown",
}
"""AWS's word for what became of a message → `ReceiptStatus`."""

_MILLISECONDS: Final = 0.001


class AwsInbound(InboundProvider):
    slug = "aws"
    secret_names: ClassVar[tuple[str, ...]] = ("webhook_topics",)
    replay_window: ClassVar[int] = sns.LATE + signatures.TOLERANCE

    def __init__(self) -> None:
        self._certificates = sns.Certificates()

    def greet(self, request: WebhookRequest, credentials: Mapping[str, Any]) -> Reply | None:
        """The handshake of a subscription. Its end needs no answer, and an operator who knows of it."""
        try:
            document = reading.json_object(request.body)
        except MalformedWebhook:
            return None
        kind, url = document.get("Type"), document.get("SubscribeURL")
        if kind not in ("SubscriptionConfirmation", "UnsubscribeConfirmation"):
            return None
        self._verify(document, request, credentials)
        if kind == "UnsubscribeConfirmation":
            logger.warning("SNS no longer sends to this webhook: its subscription has ended")
            return self.reply
        if not isinstance(url, str) or not sns.is_of_sns(url):
            raise SignatureRefused("the subscription is not at an SNS host", code="bad_signature")
        sns.fetch(url)
        return self.reply

    def verify(self, request: WebhookRequest, credentials: Mapping[str, Any]) -> str:
        try:
            document = reading.json_object(request.body)
        except MalformedWebhook:
            raise SignatureRefused("no message of SNS", code="bad_signature") from None
        self._verify(document, request, credentials)
        return reading.text(document.get("MessageId"))

    def parse(self, payload: Payload) -> Parsed:
        envelope = reading.json_object(payload.body)
        event = reading.json_object(reading.text(envelope.get("Message")).encode())
        event = event["detail"] if isinstance(event.get("detail"), dict) else event  # by way of EventBridge
        if "inboundMessageId" in event:
            return Parsed(messages=(_message(event, reading.moment(envelope.get("Timestamp"), payload.at)),))
        word = event.get("messageStatus")
        if not isinstance(word, str):
            word = reading.text(event.get("eventType")).partition("_")[2]
        status = reading.status(STATUSES, word)
        receipt = ReportedReceipt(
            provider_id=reading.identifier(event.get("messageId")),
            status=status,
            error_code=reading.code(word) if status is ReceiptStatus.UNDELIVERED else "",
            at=reading.epoch(event.get("eventTimestamp"), payload.at, _MILLISECONDS),
            message_id=reading.message_id(reading.at(event, "context", "message_id")),
        )
        return Parsed(receipts=(receipt,))

    def _verify(self, document: Mapping[str, Any], request: WebhookRequest, credentials: Mapping[str, Any]) -> None:
        topics = signatures.secrets(credentials, *self.secret_names)
        sns.verify(document, topics, request.at, self._certificates)


def _message(event: dict[str, Any], at: datetime) -> InboundMessage:
    return InboundMessage(
        provider_id=reading.identifier(event["inboundMessageId"]),
        sender=reading.phone(event.get("originationNumber")),
        to=reading.phone(event.get("destinationNumber")),
        body=reading.text(event.get("messageBody")),
        channel=Channel.SMS,
        received_at=at,
    )
