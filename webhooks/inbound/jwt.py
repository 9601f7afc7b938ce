"""JSON Web Tokens signed by a shared secret (RFC 7515, HS256), and no other kind: not even the token may choose."""

import base64
import binascii
import json
from typing import Any

from sendmsg.errors import SignatureRefused
from webhooks.inbound import signatures


def claims(token: str, secrets: list[str]) -> dict[str, Any]:
    """What the token says, once its signature is one by any of the secrets; raises `SignatureRefused`."""
    signed, _, signature = token.rpartition(".")
    head, _, body = signed.partition(".")
    if _document(head).get("alg") != "HS256":
        raise SignatureRefused("no token that is signed with HS256", code="bad_signature")
    message = signed.encode("utf-8", "replace")
    wanted = [base64.urlsafe_b64encode(signatures.digest(secret, message)).decode().rstrip("=") for secret in secrets]
    signatures.check([signature], wanted)
    return _document(body)


def _document(part: str) -> dict[str, Any]:
    try:
        document = json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
    except (binascii.Error, ValueError, RecursionError):
        return {}
    return document if isinstance(document, dict) else {}
