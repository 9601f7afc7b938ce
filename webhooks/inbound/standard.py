"""Signatures by the Standard Webhooks spec, for a provider that signs as our own callbacks do.

    webhook-id: msg_…        the same for every try
    webhook-timestamp: 1767225600
    webhook-signature: v1,<base64 HMAC-SHA256(key, id + "." + timestamp + "." + raw body)>[ v1,…]

Secrets are `whsec_` and the key in base64 (https://github.com/standard-webhooks/standard-webhooks). The spec's package
makes the signature; times and comparisons are those of all other providers.
"""

import binascii
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Final

from standardwebhooks import Webhook
from standardwebhooks.webhooks import EmptyWebhookSecretError

from sendmsg.errors import SignatureRefused
from webhooks.inbound import signatures
from webhooks.inbound.base import WebhookRequest

HEADER: Final = "webhook-signature"
PREFIX: Final = "whsec_"


def signs(request: WebhookRequest) -> bool:
    """Whether this is how the request says it is signed."""
    return HEADER in request.headers


def verify(request: WebhookRequest, secrets: Iterable[str]) -> str:
    """What no other request has; raises `SignatureRefused`."""
    stamp, identifier = request.headers.get("webhook-timestamp", ""), request.headers.get("webhook-id", "")
    signatures.check_time(stamp, request.at)
    if not identifier or stamp.startswith("0"):  # one request has one spelling: copies are known by it
        raise SignatureRefused("the id is missing, or the timestamp has zeros before it", code="bad_signature")
    try:
        body, at = request.body.decode(), datetime.fromtimestamp(int(stamp), UTC)
        wanted = [Webhook(one).sign(identifier, at, body) for one in secrets if one.startswith(PREFIX)]
    except (UnicodeError, binascii.Error, EmptyWebhookSecretError):
        raise SignatureRefused("the text is no UTF-8, or a secret no base64", code="bad_signature") from None
    signatures.check(request.headers[HEADER].split(" "), wanted)
    return f"{identifier}.{stamp}.{signatures.sha256(request.body)}"
