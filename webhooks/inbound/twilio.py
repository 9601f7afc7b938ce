"""Twilio's status callbacks and incoming messages: forms, signed over the URL and their sorted parameters.

    X-Twilio-Signature: base64 HMAC(secret, URL + name + value + name + value …)
    X-Twilio-Webhooks-Signature-Settings: key=…,algorithm=HMAC_SHA256

HMAC-SHA1 with the account's auth token, or SHA-256 with a shared key where the second header says so. A body that is no
form is covered by `bodySHA256` in the URL. There is no timestamp: copies are recognised by the signature for a while.

Secrets: `auth_token`, and those in `webhook_secrets`.
"""

from collections.abc import Mapping
from typing import Any, ClassVar, Final
from urllib.parse import SplitResult, urlsplit

from dispatch.providers.twilio import STATUSES
from dispatch.vocabulary import Channel
from sendmsg.errors import SignatureRefused
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

MAX_MEDIA: Final = 10  # of one message; Twilio's own limit
_ALGORITHMS: Final = {"HMAC_SHA1": "sha1", "HMAC_SHA256": "sha256"}
_PORTS: Final = {"https": 443, "http": 80}


class TwilioInbound(InboundProvider):
    slug = "twilio"
    opted_out_codes: ClassVar[frozenset[str]] = frozenset({"21610"})
    methods: ClassVar[frozenset[str]] = frozenset({"GET", "POST"})
    secret_names: ClassVar[tuple[str, ...]] = ("webhook_secrets", "auth_token")
    reply: ClassVar[Reply] = Reply('<?xml version="1.0" encoding="UTF-8"?><Response/>', "text/xml")

    def verify(self, request: WebhookRequest, credentials: Mapping[str, Any]) -> str:
        secrets = signatures.secrets(credentials, *self.secret_names)
        given = request.headers.get("x-twilio-signature", "")
        algorithm = _algorithm(request.headers.get("x-twilio-webhooks-signature-settings", ""))
        signed = [(url + _signed_content(request)).encode("utf-8", "replace") for url in _spellings(request.url)]
        wanted = [signatures.in_base64(secret, text, algorithm) for secret in secrets for text in signed]
        signatures.check([given], wanted)
        return given

    def parse(self, payload: Payload) -> Parsed:
        form = reading.fields(payload)
        provider_id = reading.identifier(form.get("MessageSid") or form.get("SmsSid"))
        word = form.get("MessageStatus") or form.get("SmsStatus")
        if "Body" in form and word in (None, "", "received", "receiving"):
            return Parsed(messages=(_message(form, provider_id, payload),))
        receipt = ReportedReceipt(
            provider_id=provider_id,
            status=reading.status(STATUSES, word),
            error_code=reading.code(form.get("ErrorCode")),
            at=payload.at,  # `RawDlrDoneDate` has no zone
        )
        return Parsed(receipts=(receipt,))


def _signed_content(request: WebhookRequest) -> str:
    """What follows the URL in the signed text: a form's parameters; nothing for others, whose digest is in the URL."""
    if not request.body:
        return ""
    if reading.is_form(request.payload):
        given = set(reading.pairs(request.body.decode("utf-8", "replace")))
        return "".join(name + value for name, value in sorted(given))
    named = [value for name, value in reading.pairs(request.query) if name == "bodySHA256"]
    if len(named) != 1:
        raise SignatureRefused("nothing covers the body", code="bad_signature")
    signatures.check([named[0]], [signatures.sha256(request.body)])
    return ""


def _algorithm(settings: str) -> str:
    """Named by the header; SHA-1 without it."""
    named = [
        value.strip()
        for name, _, value in (one.partition("=") for one in settings.split(","))
        if name.strip() == "algorithm" and value.strip()
    ]
    found = _ALGORITHMS.get(named[0].upper() if named else "HMAC_SHA1")
    if found is None:
        raise SignatureRefused("the signature's algorithm is unknown", code="bad_signature")
    return found


def _spellings(url: str) -> list[str]:
    """With and without the port: which of them Twilio signs differs."""
    parts = urlsplit(url)
    host = parts.netloc.rpartition(":")[0] if parts.port else parts.netloc
    with_port = f"{host}:{parts.port or _PORTS.get(parts.scheme, '')}"
    return [_with_host(url, parts, host), _with_host(url, parts, with_port)]


def _with_host(url: str, parts: SplitResult, host: str) -> str:
    return url.replace(f"//{parts.netloc}", f"//{host}", 1)


def _message(form: dict[str, Any], provider_id: str, payload: Payload) -> InboundMessage:
    sender, to = reading.text(form.get("From")), reading.text(form.get("To"))
    media = [(form.get(f"MediaUrl{number}"), form.get(f"MediaContentType{number}")) for number in range(MAX_MEDIA)]
    return InboundMessage(
        provider_id=provider_id,
        sender=reading.phone(sender),
        to=reading.phone(to),
        body=reading.text(form.get("Body")),
        channel=Channel.WHATSAPP if to.startswith("whatsapp:") else Channel.SMS,
        received_at=payload.at,
        media=tuple(Media(reading.text(url), reading.text(kind)) for url, kind in media if url),
    )
