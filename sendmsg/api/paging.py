"""Lists, newest first, in pages that neither skip nor repeat a row while rows are added.

A cursor is the UUIDv7 id of the last row of its page, signed: opaque to clients, refused when tampered with,
and as cheap for the millionth page as for the first. It holds no filter: a client sends its filters again
with it.
"""

import base64
import binascii
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar
from uuid import UUID

from django.core import signing
from django.db.models import Model, QuerySet
from rest_framework import serializers

from sendmsg.api.problems import FieldError, Problem
from sendmsg.api.serializers import QuerySerializer

MAX_LIMIT = 100
DEFAULT_LIMIT = 20
_signer = signing.Signer(sep=".", salt="sendmsg.api.paging")

Row = TypeVar("Row", bound=Model)


class PageQuery(QuerySerializer):
    """The query parameters of every list. Subclass it to add filters."""

    cursor = serializers.CharField(required=False, max_length=200, help_text="`next_cursor` of the page before.")
    limit = serializers.IntegerField(
        required=False, default=DEFAULT_LIMIT, min_value=1, max_value=MAX_LIMIT, help_text="Rows in a page."
    )


@dataclass(frozen=True, slots=True)
class Page(Generic[Row]):
    """Some rows, and the cursor to those after them; None on the last page."""

    rows: list[Row]
    next_cursor: str | None

    def document(self, serialize: Callable[[list[Row]], Any]) -> dict[str, Any]:
        """The body of the answer."""
        return {"results": serialize(self.rows), "next_cursor": self.next_cursor}


def paginate(queryset: QuerySet[Row], *, cursor: str | None = None, limit: int = DEFAULT_LIMIT) -> Page[Row]:
    """The page after `cursor`, by descending `id` (a UUIDv7). Raises `Problem` (`cursor_invalid`)."""
    if cursor is not None:
        queryset = queryset.filter(id__lt=_decode(cursor))
    rows = list(queryset.order_by("-id")[: limit + 1])
    more = len(rows) > limit
    rows = rows[:limit]
    return Page(rows, _encode(rows[-1].pk) if more else None)


def _encode(last: UUID) -> str:
    return _signer.sign(base64.urlsafe_b64encode(last.bytes).decode("ascii").rstrip("="))


def _decode(cursor: str) -> UUID:
    try:
        return UUID(bytes=base64.urlsafe_b64decode(_signer.unsign(cursor) + "=="))
    except (signing.BadSignature, binascii.Error, ValueError):
        error = FieldError("/cursor", "cursor_invalid", "This is not a cursor of this API.")
        raise Problem("cursor_invalid", errors=[error]) from None
