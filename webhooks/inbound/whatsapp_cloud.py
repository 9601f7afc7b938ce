"""WhatsApp's Cloud API (Meta): statuses and messages, several of each in a request, and the handshake of its URL.

    X-Hub-Signature-256: sha256=<hex HMAC-SHA256(app secret, raw body)>
    GET ?hub.mode=subscribe&hub.verify_token=…&hub.challenge=… is answered with the challenge

The bytes count: Meta escapes what isn't ASCII, and a body that was written anew has another signature. There is no
timestamp: copies are recognised by the signature for a while. `delivered` may be left out when `read` follows at once.

Secrets: `webhook_secrets`, the app's secret; `verify_token` (a text or a list), which was entered at Meta with the URL.
"""

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar, Final

from dispatch.vocabulary import Channel
from sendmsg.errors import MalformedWebhook, SignatureRefused
from webhooks.inbound import reading, signatures
from webhooks.inbound.base import (
    InboundMessage,
    InboundProvider,
    Media,
    Parsed,
    Payload,
    Reply,
    ReportedReceipt,
    WebhookRequest,
)

STATUSES: Final = {
    **dict.fromkeys(("accepted", "sent"), "sent"),
    **dict.fromkeys(("delivered", "read", "played"), "delivered"),
    "failed": "undelivered",
}
"""Meta's word for what became of a message → `ReceiptStatus`."""

MAX_CHALLENGE: Final = 128  # characters; real ones have about ten digits


class WhatsAppCloudInbound(InboundProvider):
    slug = "whatsapp_cloud"
    opted_out_codes: ClassVar[frozenset[str]] = frozenset({"131050"})
    window_closed_codes: ClassVar[frozenset[str]] = frozenset({"131047"})
    methods: ClassVar[frozenset[str]] = frozenset({"GET", "POST"})

    def greet(self, request: WebhookRequest, credentials: Mapping[str, Any]) -> Reply | None:
        if request.method != "GET":
            return None
        asked = dict(reading.pairs(request.query))
        tokens = signatures.listed(credentials, "verify_token")
        if asked.get("hub.mode") != "subscribe" or not tokens:
            raise SignatureRefused("no handshake, or the connection has no verify_token", code="no_secret")
        try:
            signatures.check([asked.get("hub.verify_token", "")], tokens)
        except SignatureRefused:
            raise SignatureRefused("another verify_token", code="bad_token") from None
        challenge = asked.get("hub.challenge", "")
        if not challenge.isascii() or not challenge.isalnum() or len(challenge) > MAX_CHALLENGE:
            raise MalformedWebhook("no challenge")
        return Reply(challenge)

    def verify(self, request: WebhookRequest, credentials: Mapping[str, Any]) -> str:
        secrets = signatures.secrets(credentials, *self.secret_names)
        given = request.headers.get("x-hub-signature-256", "")
        wanted = [f"sha256={signatures.hexadecimal(secret, request.body)}" for secret in secrets]
        signatures.check([given], wanted)
        return given

    def parse(self, payload: Payload) -> Parsed:
        document = reading.json_object(payload.body)
        if not isinstance(document.get("entry"), list):
            raise MalformedWebhook("no entries")
        values = [
            change.get("value")
            for entry in reading.objects(document, "entry")
            for change in reading.objects(entry, "changes")
        ]
        return Parsed(
            tuple(_receipt(one, payload) for value in values for one in _named(value, "statuses")),
            tuple(_message(one, value, payload) for value in values for one in _named(value, "messages")),
        )


def _named(value: object, kind: str) -> Iterator[dict[str, Any]]:
    yield from filter(reading.has_id, reading.objects(value, kind))


def _receipt(status: dict[str, Any], payload: Payload) -> ReportedReceipt:
    return ReportedReceipt(
        provider_id=reading.identifier(status["id"]),
        status=reading.status(STATUSES, status.get("status")),
        error_code=reading.code(reading.at(status, "errors", 0, "code")),
        at=reading.epoch(status.get("timestamp"), payload.at),
        message_id=reading.message_id(status.get("biz_opaque_callback_data")),
    )


def _message(message: dict[str, Any], value: object, payload: Payload) -> InboundMessage:
    kind = reading.text(message.get("type"))
    media = reading.at(message, kind, "id")
    return InboundMessage(
        provider_id=reading.identifier(message["id"]),
        sender=reading.phone(message.get("from")),
        to=reading.phone(reading.at(value, "metadata", "display_phone_number")),
        body=_body(message, kind),
        channel=Channel.WHATSAPP,
        received_at=reading.epoch(message.get("timestamp"), payload.at),
        media=(Media(media, reading.text(reading.at(message, kind, "mime_type"))),) if isinstance(media, str) else (),
    )


def _body(message: dict[str, Any], kind: str) -> str:
    """What was written, or the label of the button that was pressed."""
    places = (
        ("text", "body"),
        (kind, "caption"),
        ("button", "text"),
        ("interactive", "button_reply", "title"),
        ("interactive", "list_reply", "title"),
        ("reaction", "emoji"),
    )
    return next((found for place in places if (found := reading.text(reading.at(message, *place)))), "")
