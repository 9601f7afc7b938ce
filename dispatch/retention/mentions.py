"""Finds rows that mention a number anywhere in a text, where no index could: a window of rows at a time, without locks.

For tables that hold days of things, not years. What is encrypted is opened and looked through here.
"""

import json
from collections.abc import Iterator, Sequence
from typing import Any, Final

from django.db.models import F, Model, Q, QuerySet, TextField
from django.db.models.functions import Cast

from sendmsg.sealing.envelope import MARK
from sendmsg.sealing.fields import Sealed, gone

WINDOW: Final = 5000  # rows a query; tens of milliseconds, and some hundreds if all are encrypted


def mentions(model: type[Model], number: str, *columns: str) -> Iterator[list[Any]]:
    """Keys of the rows that mention the E.164 number in one of the columns, with its plus or without.

    Raises `ConfigurationError` if one can't be opened here, and could be elsewhere.
    """
    digits = number.removeprefix("+")
    sealed = [name for name in columns if isinstance(model._meta.get_field(name), Sealed)]
    rows = model._default_manager.order_by("pk")
    last: Any = None
    while True:
        window = rows if last is None else rows.filter(pk__gt=last)
        ends = list(window.values_list("pk", flat=True)[:WINDOW])
        if not ends:
            return
        last = ends[-1]
        inside = model._default_manager.filter(pk__gte=ends[0], pk__lte=last)
        clear = set(_holding(inside, columns, digits).values_list("pk", flat=True))
        if found := clear | _opened(inside, sealed, digits):
            yield [pk for pk in ends if pk in found]


def _holding(rows: QuerySet[Any], columns: Sequence[str], part: str) -> QuerySet[Any]:
    wanted = Q()
    for name in columns:
        wanted |= Q(**{f"{name}_text__contains": part})
    found: QuerySet[Any] = rows.annotate(**{f"{name}_text": Cast(F(name), TextField()) for name in columns})
    return found.filter(wanted)


def _opened(rows: QuerySet[Any], columns: Sequence[str], digits: str) -> set[Any]:
    if not columns:
        return set()
    found = _holding(rows, columns, MARK).values_list("pk", *columns)
    return {pk for pk, *values in found.iterator() if any(digits in _text(value) for value in values)}


def _text(value: Any) -> str:
    if gone(value):
        return ""
    return value if isinstance(value, str) else json.dumps(value)
