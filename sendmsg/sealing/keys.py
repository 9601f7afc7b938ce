"""The text keys as this process knows them: read once, opened once, and looked for again every `KEPT` seconds.

Texts are written encrypted once there is a key, and in clear before that. A new installation has one from its first
`migrate`. An older one gets it by `manage.py texts new-key`, once no process of a version is left that can't read what
it writes: those would send what is encrypted as it stands.

A key is made in a transaction of its own, never in that of a text: a text must not outlive its key.
"""

import base64
import time
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Final

from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from django.db import transaction
from django.utils import timezone

from sendmsg.errors import ConfigurationError
from sendmsg.sealing.models import TextKey

KEPT: Final = 60.0  # seconds until a process sees that there is a newer key
MISSED: Final = 10.0  # seconds until a key that could not be had is looked for again
MOST: Final = 1000  # keys known at a time; there are a few dozen, but anybody may make up ids
SERVES: Final = timedelta(days=30)
"""How long a key writes. With nonces of chance a key is good for 2^32 texts (NIST SP 800-38D), which is 1,600 a second
for as long."""


@dataclass(frozen=True, slots=True)
class Key:
    """An opened key; `secret` is for keyed hashes."""

    id: str
    secret: bytes = field(repr=False)
    cipher: AESGCM = field(repr=False)


@dataclass(frozen=True, slots=True)
class Missing:
    """`locked`: its row is there, and none of CREDENTIALS_KEYS opens it; else there is no such row."""

    locked: bool
    until: float


_known: dict[str, Key | Missing] = {}
_current: Key | None = None
_read_at = float("-inf")


def current() -> Key | None:
    """The key that writes; None while texts are written in clear.

    Raises `ConfigurationError` if it can't be opened: then nothing is written, rather than in clear.
    """
    global _current, _read_at
    if time.monotonic() - _read_at > KEPT:
        newest = TextKey.objects.filter(retired_at=None).order_by("-created_at").values_list("id", flat=True).first()
        found = get(newest) if newest else None
        if isinstance(found, Missing):
            raise ConfigurationError(f"CREDENTIALS_KEYS holds no key that opens the text key {newest}")
        _current, _read_at = found, time.monotonic()
    return _current


def get(key_id: str) -> Key | Missing:
    """The key of that id. Raises only what the database raises."""
    known = _known.get(key_id)
    if known is None or (isinstance(known, Missing) and time.monotonic() > known.until):
        if len(_known) >= MOST:
            _known.clear()
        known = _known[key_id] = _read(key_id)
    return known


def make() -> TextKey:
    """A new key, which writes from now on; the others read."""
    with transaction.atomic(durable=True):
        return TextKey.objects.create()


def renew() -> bool:
    """Make a new key if texts are encrypted and the newest has served long enough; whether one was made."""
    newest = TextKey.objects.filter(retired_at=None).defer("key").order_by("-created_at").first()
    if newest is None or newest.created_at > timezone.now() - SERVES:
        return False
    make()
    return True


def retire() -> int:
    """Write in clear from now on; how many keys wrote or might have."""
    return TextKey.objects.filter(retired_at=None).update(retired_at=timezone.now())


def forget() -> None:
    """Know of no key, and read anew at the next call."""
    global _current, _read_at
    _known.clear()
    _current, _read_at = None, float("-inf")


def _read(key_id: str) -> Key | Missing:
    try:
        row = TextKey.objects.filter(pk=key_id).first()
    except ConfigurationError:
        return Missing(locked=True, until=time.monotonic() + MISSED)
    if row is None:
        return Missing(locked=False, until=time.monotonic() + MISSED)
    secret = base64.b64decode(row.key)
    return Key(row.id, secret, AESGCM(secret))
