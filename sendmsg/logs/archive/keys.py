"""What may be known of a person is sealed in the archive, line by line, so that it can be erased without the files.

The key of a line is made from two halves: one of the account and the month, one of the recipient and the month
(HKDF-SHA256, RFC 5869). Both are rows. Without its half a recipient's lines are noise in every copy and backup of the
files; without the account's, all of the month are. Recipients are found by a keyed hash, never by their number.
"""

import base64
import hmac
import json
import os
from collections.abc import Iterable, Mapping
from datetime import date
from typing import Any, Final
from uuid import UUID

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from sendmsg.logs.models import ArchiveKey, HashKey, RecipientKey

SIZE: Final = 32  # bytes of a key, of each of its halves and of a hash
NONCE: Final = 12  # bytes; chance, and a key seals a recipient's messages of a month: far from NIST's 2^32
_INFO: Final = b"sendmsg archive 1"


def fingerprint(text: str) -> bytes:
    """The keyed hash of a number or a text: equal for equal ones, and of no use to whoever has not the key."""
    row = HashKey.objects.filter(pk=1).first()
    if row is None:
        row, _ = HashKey.objects.get_or_create(pk=1, defaults={"key": _chance()})
    return hmac.digest(base64.b64decode(row.key), text.encode(), "sha256")


def fingerprints(texts: Iterable[str]) -> dict[str, bytes]:
    """Of each text; the key is read once."""
    wanted = set(texts)
    if not wanted:
        return {}
    fingerprint("")
    key = base64.b64decode(HashKey.objects.get(pk=1).key)
    return {text: hmac.digest(key, text.encode(), "sha256") for text in wanted}


class Sealer:
    """Seals lines of one account and month. Its keys are committed before anything is sealed with them."""

    def __init__(self, account_id: UUID, day: date) -> None:
        self._month = day.replace(day=1)
        row, _ = ArchiveKey.objects.get_or_create(account_id=account_id, month=self._month, defaults={"key": _chance()})
        self._half = base64.b64decode(row.key)
        self._keys: dict[str, RecipientKey] = {}

    def expect(self, numbers: Iterable[str]) -> None:
        """Have the keys of these recipients at hand, and no others: two queries for a batch."""
        hashes = fingerprints(numbers)
        new = [RecipientKey(month=self._month, recipient=value, secret=os.urandom(SIZE)) for value in hashes.values()]
        RecipientKey.objects.bulk_create(new, ignore_conflicts=True)
        rows = RecipientKey.objects.filter(month=self._month, recipient__in=list(hashes.values()))
        found = {bytes(row.recipient): row for row in rows}
        self._keys = {number: found[value] for number, value in hashes.items()}

    def seal(self, number: str, about: UUID, private: str) -> dict[str, str]:
        """The members of a line that hold `private`, a JSON object, of the message `about`."""
        row, nonce = self._keys[number], os.urandom(NONCE)
        cipher = AESGCM(_join(self._half, bytes(row.secret)))
        sealed = nonce + cipher.encrypt(nonce, private.encode(), about.bytes)
        return {"key": str(row.id), "sealed": base64.b64encode(sealed).decode()}


def unseal(account_id: UUID, line: Mapping[str, Any], about: UUID) -> dict[str, Any] | None:
    """What was sealed in a line; None when one of its keys was deleted."""
    row = RecipientKey.objects.filter(pk=line["key"]).first()
    half = ArchiveKey.objects.filter(account_id=account_id, month=row.month).first() if row else None
    if row is None or half is None:
        return None
    sealed = base64.b64decode(line["sealed"])
    key = AESGCM(_join(base64.b64decode(half.key), bytes(row.secret)))
    try:
        found: dict[str, Any] = json.loads(key.decrypt(sealed[:NONCE], sealed[NONCE:], about.bytes))
    except InvalidTag:
        return None
    return found


def destroy(number: str) -> int:
    """Delete the keys of a recipient, of all months; how many there were."""
    return RecipientKey.objects.filter(recipient=fingerprint(number)).delete()[0]


def _join(half: bytes, other: bytes) -> bytes:
    return HKDF(SHA256(), SIZE, salt=None, info=_INFO).derive(half + other)


def _chance() -> str:
    return base64.b64encode(os.urandom(SIZE)).decode()
