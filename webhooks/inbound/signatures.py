"""What all signature checks have in common: lists of secrets, time that does not tell, and clocks that may be off."""

import base64
import binascii
import hashlib
import hmac
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from sendmsg.errors import SignatureRefused

TOLERANCE = 300  # seconds a timestamp may be off, either way; what Stripe's and Standard Webhooks' libraries allow
_MAX_STAMP = 12  # digits; the year 33658


def listed(credentials: Mapping[str, Any], *names: str) -> list[str]:
    """The texts in these credentials, each a list or (but for `webhook_…`) one text.

    Of a text in place of a list each letter would be a secret, and an empty one is known to everybody.
    """
    found: list[str] = []
    for name in names:
        value = credentials.get(name) if isinstance(credentials, Mapping) else None
        if isinstance(value, str) and not name.startswith("webhook_"):
            value = [value]
        found += [one for one in value if isinstance(one, str) and one] if isinstance(value, list) else []
    return found


def secrets(credentials: Mapping[str, Any], *names: str) -> list[str]:
    """As `listed`; raises `SignatureRefused` when there is none."""
    found = listed(credentials, *names)
    if not found:
        raise SignatureRefused(f"the connection has no {names[0]}", code="no_secret")
    return found


def check_time(stamp: str, at: datetime, late: int = TOLERANCE) -> None:
    """Refuse a Unix timestamp in seconds that is no plain number, older than `late`, or too far ahead."""
    if not (stamp.isascii() and stamp.isdigit() and len(stamp) <= _MAX_STAMP):
        raise SignatureRefused("the timestamp is missing or not a number", code="bad_timestamp")
    check_age(at.timestamp() - int(stamp), late)


def check_age(age: float, late: int = TOLERANCE) -> None:
    """Refuse what was signed over `late` seconds ago, or too far ahead of now."""
    if not -TOLERANCE <= age <= late:
        raise SignatureRefused("the timestamp is too far from now", code="stale_timestamp")


def check(given: Iterable[str], wanted: Iterable[str]) -> None:
    """Refuse unless one of the given signatures is one of those wanted. Every pair is compared, in constant time."""
    others = [one.encode() for one in wanted]
    found = [hmac.compare_digest(one.encode("utf-8", "replace"), other) for one in given for other in others]
    if not any(found):
        raise SignatureRefused("no signature matches", code="bad_signature")


def digest(secret: str, message: bytes, algorithm: str = "sha256") -> bytes:
    return hmac.new(secret.encode("utf-8", "replace"), message, algorithm).digest()


def hexadecimal(secret: str, message: bytes, algorithm: str = "sha256") -> str:
    return digest(secret, message, algorithm).hex()


def in_base64(secret: str, message: bytes, algorithm: str = "sha256") -> str:
    return base64.b64encode(digest(secret, message, algorithm)).decode()


def from_base64(text: str) -> bytes:
    """The bytes; empty for what is no base64, or not as an encoder writes it: one signature has one spelling."""
    try:
        found = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return b""
    return found if base64.b64encode(found).decode() == text else b""


def sha256(message: bytes) -> str:
    return hashlib.sha256(message).hexdigest()
