"""How an encrypted text looks: `sealed:1:<key>:<base64 of nonce, ciphertext and tag>`, by AES-256-GCM.

The column is authenticated with it: a value that was moved to another column, or changed, opens no more. What does not
begin with the mark is a text in clear, as versions before this one wrote it. A text that happens to begin with it is
encrypted like any other; while texts are still written in clear it counts as one that can't be opened.
"""

import base64
import binascii
import hmac
import os
from dataclasses import dataclass
from typing import Final

from cryptography.exceptions import InvalidTag

from sendmsg.errors import ConfigurationError
from sendmsg.sealing import keys
from sendmsg.sealing.keys import Key, Missing

MARK: Final = "sealed:1:"
NONCE: Final = 12  # bytes


@dataclass(frozen=True, slots=True)
class Shut:
    """What can't be opened. `locked`: it could with another CREDENTIALS_KEYS; else nothing here ever opens it."""

    locked: bool


def seal(content: bytes, column: bytes, key: Key) -> str:
    nonce = os.urandom(NONCE)
    sealed = nonce + key.cipher.encrypt(nonce, content, column)
    return f"{MARK}{key.id}:{base64.b64encode(sealed).decode()}"


def unseal(token: str, column: bytes) -> bytes | Shut:
    """What is in a token, which begins with the mark. Raises only what the database raises."""
    key_id, _, sealed = token.removeprefix(MARK).partition(":")
    key = keys.get(key_id)
    if isinstance(key, Missing):
        return Shut(key.locked)
    try:
        content = base64.b64decode(sealed, validate=True)
        return key.cipher.decrypt(content[:NONCE], content[NONCE:], column)
    except (InvalidTag, binascii.Error, ValueError):
        return Shut(locked=False)


def digest(content: str, like: str | None = None) -> str | None:
    """A hash of `content` that nobody can guess contents by: keyed, and naming its key; None while there is none.

    `like`: an earlier one, to be compared with; by its key. A plain hash names none.
    """
    if like is None:
        key: Key | Missing | None = keys.current()
    else:
        key = keys.get(like.split(":")[0]) if ":" in like else None
    if isinstance(key, Missing):
        raise ConfigurationError("the text key of a stored hash is gone, or no key of CREDENTIALS_KEYS opens it")
    return None if key is None else f"{key.id}:{hmac.digest(key.secret, content.encode(), 'sha256').hex()[:48]}"
