"""Encrypts everything that is stored encrypted with the newest of `CREDENTIALS_KEYS`, so that older ones can go.

Of texts that is their keys (`sendmsg.sealing`), a row a month: the texts themselves stay as they are.
"""

from dataclasses import dataclass
from typing import Any, Final

from django.apps import apps
from django.db import models, router, transaction
from django.db.models import TextField
from django.db.models.functions import Cast

from sendmsg.encryption import EncryptedJSONField, decrypt
from sendmsg.errors import ConfigurationError

BATCH: Final = 100  # rows a transaction; it may be stopped and started again


@dataclass(slots=True)
class Rotated:
    """How many values were written anew, and which rows hold one that none of the keys reads."""

    written: int
    unreadable: list[str]


def reencrypt() -> Rotated:
    """All models' encrypted fields, in batches under the rows' locks. Nothing but the encryption changes."""
    done = Rotated(0, [])
    for model in apps.get_models():
        for field in model._meta.get_fields():
            if isinstance(field, EncryptedJSONField):
                _field(model, field.name, done)
    return done


def _field(model: type[models.Model], name: str, done: Rotated) -> None:
    rows: Any = model._default_manager.filter(**{f"{name}__isnull": False}).order_by("pk")
    last: Any = None
    while True:
        with transaction.atomic(using=router.db_for_write(model)):
            later = rows if last is None else rows.filter(pk__gt=last)
            batch = list(
                later.select_for_update(of=("self",))
                .annotate(token=Cast(name, TextField()))
                .values_list("pk", "token")[:BATCH]
            )
            for pk, token in batch:
                try:
                    value = decrypt(token)
                except ConfigurationError:
                    done.unreadable.append(f"{model._meta.verbose_name} {pk}")
                    continue
                model._default_manager.filter(pk=pk).update(**{name: value})
                done.written += 1
        if not batch:
            return
        last = batch[-1][0]
