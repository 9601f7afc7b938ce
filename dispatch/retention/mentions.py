"""Finds rows that mention a number anywhere in a text, where no index could: a window of rows at a time, without locks.

For tables that hold days of things, not years.
"""

from collections.abc import Iterator
from typing import Any, Final

from django.db.models import F, Model, Q, TextField
from django.db.models.functions import Cast

WINDOW: Final = 5000  # rows a query; tens of milliseconds


def mentions(model: type[Model], number: str, *columns: str) -> Iterator[list[Any]]:
    """Keys of the rows that mention the E.164 number in one of the columns, with its plus or without."""
    digits = number.removeprefix("+")
    texts = {f"{column}_text": Cast(F(column), TextField()) for column in columns}
    wanted = Q()
    for name in texts:
        wanted |= Q(**{f"{name}__contains": digits})
    rows = model._default_manager.order_by("pk")
    last: Any = None
    while True:
        window = rows if last is None else rows.filter(pk__gt=last)
        ends = list(window.values_list("pk", flat=True)[:WINDOW])
        if not ends:
            return
        last = ends[-1]
        inside = model._default_manager.filter(pk__gte=ends[0], pk__lte=last)
        if found := list(inside.annotate(**texts).filter(wanted).values_list("pk", flat=True)):
            yield found
