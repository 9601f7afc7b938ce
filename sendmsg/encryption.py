"""Secrets at rest: a JSON field that Postgres only ever sees encrypted.

Keys are `CREDENTIALS_KEYS`, newest first, apart from `SECRET_KEY`: rotating one must not lose the other. A value is
written with the first key and read with any, so a key is rotated by putting a new one in front.
"""

import json
from functools import cache
from typing import TYPE_CHECKING, Any

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from django.conf import settings
from django.db import models

from sendmsg.errors import ConfigurationError


@cache
def _fernet() -> MultiFernet:
    return MultiFernet([Fernet(key) for key in settings.CREDENTIALS_KEYS])


def encrypt(value: Any) -> str:
    return _fernet().encrypt(json.dumps(value).encode()).decode()


def decrypt(token: str) -> Any:
    """The value; raises `ConfigurationError` when none of the keys fits."""
    try:
        return json.loads(_fernet().decrypt(token.encode()))
    except InvalidToken:
        raise ConfigurationError("CREDENTIALS_KEYS holds no key that can read stored credentials") from None


if TYPE_CHECKING:
    _Text = models.TextField[Any, Any]
else:
    _Text = models.TextField


class EncryptedJSONField(_Text):
    """Any JSON value, encrypted in the database; it can't be searched."""

    def from_db_value(self, value: str | None, expression: Any, connection: Any) -> Any:
        return None if value is None else decrypt(value)

    def get_prep_value(self, value: Any) -> str | None:
        return None if value is None else encrypt(value)

    def to_python(self, value: Any) -> Any:
        return value
