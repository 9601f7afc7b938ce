"""API keys as text: making one, and telling offline whether a text can be one.

    smk_live_ 30 random base62 characters, 6 base62 characters of CRC-32
    smk_test_

The checksum covers everything before it, so typing errors, truncated copies and any change of a single
character are noticed without a database, and a leak scanner can be sure of what it found. It proves nothing
about authenticity: only the digest in the database does. The random part has 178 bits, so a plain SHA-256
keeps it safe at rest.
"""

import hashlib
import re
import secrets
import string
import zlib
from dataclasses import dataclass, field

from django.db import models

_BASE62 = string.digits + string.ascii_uppercase + string.ascii_lowercase
_RANDOM_CHARACTERS = 30
_CHECKSUM_CHARACTERS = 6  # 62**6 > 2**32: every CRC-32 fits
_FORM = re.compile(rf"smk_(live|test)_[0-9A-Za-z]{{{_RANDOM_CHARACTERS + _CHECKSUM_CHARACTERS}}}")
_VISIBLE_PREFIX_CHARACTERS = len("smk_live_ab12")


class Mode(models.TextChoices):
    """Which world a key acts in; the label is its meaning."""

    LIVE = "live", "Live: messages go to real providers and cost money."
    TEST = "test", "Test: messages only ever reach the sandbox provider."


@dataclass(frozen=True, slots=True)
class Key:
    """A well-formed key. The text is secret and stays out of `repr`."""

    mode: Mode
    text: str = field(repr=False)

    @property
    def digest(self) -> str:
        """Hex SHA-256 of the whole text: what is stored and looked up."""
        return hashlib.sha256(self.text.encode("ascii")).hexdigest()

    @property
    def prefix(self) -> str:
        """The beginning that may be shown, such as `smk_live_ab12`."""
        return self.text[:_VISIBLE_PREFIX_CHARACTERS]

    @property
    def last4(self) -> str:
        """The last four characters, which may be shown too (they are checksum)."""
        return self.text[-4:]


def mint(mode: Mode) -> Key:
    """Make a new random key."""
    stem = f"smk_{mode.value}_" + "".join(secrets.choice(_BASE62) for _ in range(_RANDOM_CHARACTERS))
    return Key(mode, stem + _checksum(stem))


def parse(text: str) -> Key | None:
    """The key in `text`, or None when its form or checksum is wrong. Whether it is known is not asked."""
    form = _FORM.fullmatch(text)
    if form is None or _checksum(text[:-_CHECKSUM_CHARACTERS]) != text[-_CHECKSUM_CHARACTERS:]:
        return None
    return Key(Mode(form[1]), text)


def _checksum(stem: str) -> str:
    number = zlib.crc32(stem.encode("ascii"))
    digits = []
    for _ in range(_CHECKSUM_CHARACTERS):
        number, digit = divmod(number, len(_BASE62))
        digits.append(_BASE62[digit])
    return "".join(reversed(digits))
