"""Writes what is stored anew: encrypted what is in clear, or in clear what is encrypted.

In batches that are committed one by one, under the locks of their rows: it may be stopped and started again, beside
processes at work.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from django.apps import apps
from django.db import models, transaction
from django.db.models import F, TextField
from django.db.models.functions import Cast, Left

from sendmsg.sealing.fields import Sealed, SealedTextField, unreadable

ROWS: Final = 500  # a transaction; a tenth of a second


@dataclass(slots=True)
class Rewritten:
    """How many values were written anew, and which rows hold one that can't be opened."""

    written: int
    unreadable: list[str]


def columns() -> Iterator[tuple[type[models.Model], Any]]:
    """All fields of the project that are stored encrypted."""
    for model in apps.get_models():
        for field in model._meta.concrete_fields:
            if isinstance(field, Sealed):
                yield model, field


def rewrite(*, seal: bool) -> Rewritten:
    """All of them, as `keys.current` says: call it with what that is."""
    done = Rewritten(0, [])
    for model, field in columns():
        _column(model, field, seal, done)
    return done


def _column(model: type[models.Model], field: Any, seal: bool, done: Rewritten) -> None:
    stored = Left(Cast(F(field.name), TextField()), len(field.looks))
    rows: Any = model._default_manager.annotate(stored=stored).order_by("pk")
    last: Any = None
    while True:
        later = rows if last is None else rows.filter(pk__gt=last)
        with transaction.atomic():
            batch = list(
                later.select_for_update(of=("self",), no_key=True).values_list("pk", "stored", field.name)[:ROWS]
            )
            for pk, begins, value in batch:
                if not value or (begins == field.looks) is seal:
                    continue
                if unreadable(value):
                    done.unreadable.append(f"{model._meta.verbose_name} {pk}")
                    continue
                beside = field.beside(value) if isinstance(field, SealedTextField) else {}
                model._default_manager.filter(pk=pk).update(**{field.name: value}, **beside)
                done.written += 1
        if not batch:
            return
        last = batch[-1][0]
