"""The keys that texts in the default database are encrypted with; rows beside the texts, themselves encrypted."""

import base64
import os
from typing import Final

from django.db import models
from django.db.models.functions import Now

from sendmsg.encryption import EncryptedJSONField

SIZE: Final = 32  # bytes of a key: AES-256


def new_id() -> str:
    return os.urandom(4).hex()


def new_key() -> str:
    return base64.b64encode(os.urandom(SIZE)).decode()


class TextKey(models.Model):
    """A key of texts, encrypted with `CREDENTIALS_KEYS`. The newest that is not retired writes; all of them read.

    Never deleted: what it sealed would be gone. Its id is chance, so that no two databases have the same.
    """

    id = models.CharField(primary_key=True, max_length=8, default=new_id, editable=False)
    key = EncryptedJSONField(editable=False, default=new_key)
    created_at = models.DateTimeField(db_default=Now(), editable=False)
    retired_at = models.DateTimeField(null=True, help_text="Since then it only reads.")

    def __str__(self) -> str:
        return self.id
