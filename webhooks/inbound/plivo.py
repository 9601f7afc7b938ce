"""Plivo's message status callbacks and incoming messages: forms, signed over the URL and a nonce.

    X-Plivo-Signature-V3: base64 HMAC-SHA256(auth token, URL + "?" + sorted query + "." + sorted form + "." + nonce)
    X-Plivo-Signature-V2: base64 HMAC-SHA256(auth token, URL without query + nonce)

V3 covers all that is read, and decides where it is there. V2, which Plivo documents for messages, covers no body: who
has seen one such header could send anything with it. So its nonce is remembered for a day, and comes with one content
only. Where that is too little: a path token, a password or addresses (`webhooks.inbound.access`).

Secrets: `auth_token`, and those in `webhook_secrets`.
"""

from collections import defaultdict
from collections.abc import Mapping
from typing import Any, ClassVar, Final

from dispatch.providers.plivo import STATUSES
from dispatch.vocabulary import Channel, ReceiptStatus
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

MAX_MEDIA: Final = 10  # of one message


class PlivoInbound(InboundProvider):
    slug = "plivo"
    opted_out_codes: ClassVar[frozenset[str]] = frozenset({"200"})
    methods: ClassVar[frozenset[str]] = frozenset({"GET", "POST"})
    secret_names: ClassVar[tuple[str, ...]] = ("webhook_secrets", "auth_token")
    replay_window: ClassVar[int] = 86_400

    def verify(self, request: WebhookRequest, credentials: Mapping[str, Any]) -> str:
        secrets = signatures.secrets(credentials, *self.secret_names)
        version = next((one for one in ("v3", "v2") if _given(request, one)), None)
        nonce = request.headers.get(f"x-plivo-signature-{version}-nonce", "")
        if version is None or not nonce:
            raise SignatureRefused("no signature, or no nonce", code="bad_signature")
        signed = _signed_v3(request) + "." if version == "v3" else request.url.partition("?")[0]
        text = f"{signed}{nonce}".encode("utf-8", "replace")
        signatures.check(_given(request, version), [signatures.in_base64(secret, text) for secret in secrets])
        return nonce

    def parse(self, payload: Payload) -> Parsed:
        form = reading.fields(payload)
        if "Status" not in form and "Text" in form:
            return Parsed(messages=(_message(form, payload),))
        status = reading.status(STATUSES, form.get("Status"))
        receipt = ReportedReceipt(
            provider_id=reading.identifier(form.get("ParentMessageUUID") or form.get("MessageUUID")),
            status=status,
            error_code=reading.code(form.get("ErrorCode")) if status is ReceiptStatus.UNDELIVERED else "",
            at=payload.at,  # Plivo's times have no zone
        )
        return Parsed(receipts=(receipt,))


def _given(request: WebhookRequest, version: str) -> list[str]:
    """Signatures by the account and by the main account; V3 may list several, for tokens that are being changed."""
    names = (f"x-plivo-signature-{version}", f"x-plivo-signature-ma-{version}")
    listed = [request.headers.get(name, "").split(",") for name in names]
    return [one for signature in listed for one in signature if one]


def _signed_v3(request: WebhookRequest) -> str:
    """The URL with its parameters sorted, then those of the form."""
    base = request.url.partition("?")[0]
    query = _sorted(request.query, "=", "&")
    if request.method == "GET":
        return f"{base}?{query}" if query else base
    form = request.body.decode("utf-8", "replace") if reading.is_form(request.payload) else ""
    if request.body and not form:
        raise SignatureRefused("the body is no form: nothing covers it", code="bad_signature")
    parameters = _sorted(form, "", "")
    if not parameters:
        return f"{base}?{query}" if query else base
    return f"{base}?{query}{'.' if query else ''}{parameters}"


def _sorted(text: str, between: str, after: str) -> str:
    found: dict[str, list[str]] = defaultdict(list)
    for name, value in reading.pairs(text):
        found[name].append(value)
    return after.join(f"{name}{between}{value}" for name in sorted(found) for value in sorted(found[name]))


def _message(form: dict[str, Any], payload: Payload) -> InboundMessage:
    media = [reading.text(form.get(f"Media{number}")) for number in range(MAX_MEDIA)]
    return InboundMessage(
        provider_id=reading.identifier(form.get("MessageUUID")),
        sender=reading.phone(form.get("From")),
        to=reading.phone(form.get("To")),
        body=reading.text(form.get("Text")),
        channel=Channel.WHATSAPP if form.get("Type") == "whatsapp" else Channel.SMS,
        received_at=payload.at,
        media=tuple(Media(url) for url in media if url),
    )
