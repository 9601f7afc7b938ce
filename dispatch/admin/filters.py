"""Filters of lists with millions of rows: each knows its choices without looking through the table.

Times are turned into ranges of ids. A UUIDv7 begins with the millisecond that it was made, so the primary key serves,
also under any other filter.
"""

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from typing import Any, ClassVar
from urllib.parse import parse_qsl
from uuid import UUID

from django.contrib.admin import SimpleListFilter
from django.contrib.admin.options import IncorrectLookupParameters
from django.contrib.admin.views.main import PAGE_VAR, ChangeList
from django.db import connection as database
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils import timezone

from dispatch.models import Connection
from dispatch.providers.registry import PROVIDERS

MAX_CODES = 50  # codes offered; receipts bring words of providers, which may be many

# One look into the index per distinct value (https://wiki.postgresql.org/wiki/Loose_indexscan).
DISTINCT = """
WITH RECURSIVE found(value) AS (
    (SELECT {column} FROM {table} WHERE {column} <> '' ORDER BY {column} LIMIT 1)
    UNION ALL
    SELECT (
        SELECT {column} FROM {table} WHERE {column} <> '' AND {column} > found.value ORDER BY {column} LIMIT 1
    ) FROM found WHERE found.value IS NOT NULL
)
SELECT value FROM found WHERE value IS NOT NULL LIMIT %s
"""


def first_id(at: datetime) -> UUID:
    """The smallest UUIDv7 that can be made at or after `at` (RFC 9562 §5.7)."""
    return UUID(int=int(at.timestamp() * 1000) << 80 | 0x7 << 76 | 0b10 << 62)


class ModeFilter(SimpleListFilter):
    title = "mode"
    parameter_name = "mode"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("live", "live"), ("test", "test")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        return queryset if self.value() is None else queryset.filter(test=self.value() == "test")


class ProviderFilter(SimpleListFilter):
    title = "provider"
    parameter_name = "provider"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [(slug, slug) for slug in PROVIDERS]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        if self.value() is None:
            return queryset
        ids = Connection.objects.filter(provider=self.value()).values_list("id", flat=True)
        return queryset.filter(connection_id__in=list(ids))


class ConnectionFilter(SimpleListFilter):
    """By connection. Names only are read: the rows hold credentials."""

    title = "connection"
    parameter_name = "connection"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [(str(key), name) for key, name in Connection.objects.values_list("id", "name")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        value = self.value()
        if value is None:
            return queryset
        if not (value.isascii() and value.isdigit()):
            raise IncorrectLookupParameters
        return queryset.filter(connection_id=int(value))


class CodeFilter(SimpleListFilter):
    """By a column of codes that has an index: the codes that occur are offered."""

    column: ClassVar[str]

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        table = model_admin.model._meta.db_table
        with database.cursor() as cursor:
            cursor.execute(DISTINCT.format(table=table, column=self.column), [MAX_CODES])
            return [(code, code) for (code,) in cursor.fetchall()]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        return queryset if self.value() is None else queryset.filter(**{self.column: self.value()})


class ErrorCodeFilter(CodeFilter):
    title = "error code"
    parameter_name = column = "error_code"


class ReasonFilter(CodeFilter):
    title = "reason"
    parameter_name = column = "reason"


class AgeFilter(SimpleListFilter):
    """The newest of a table whose id is a UUIDv7."""

    title = "age"
    parameter_name = "age"
    spans: ClassVar[dict[str, timedelta]] = {
        "hour": timedelta(hours=1),
        "24 hours": timedelta(hours=24),
        "7 days": timedelta(days=7),
        "30 days": timedelta(days=30),
    }

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [(name.replace(" ", "-"), f"Past {name}") for name in self.spans]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        span = self.spans.get((self.value() or "").replace("-", " "))
        return queryset if span is None else queryset.filter(id__gte=first_id(timezone.now() - span))


class DayFilter(SimpleListFilter):
    """The rows of one day (UTC) of a table whose id is a UUIDv7."""

    title = "day (UTC)"
    parameter_name = "day"
    template = "sendmsg/admin/input_filter.html"
    input_type = "date"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("", "any")]

    def choices(self, changelist: ChangeList) -> Iterator[Any]:
        others = changelist.get_query_string(remove=[self.parameter_name, PAGE_VAR])
        yield {"value": self.value() or "", "query_string": others, "others": parse_qsl(others.removeprefix("?"))}

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        if not self.value():
            return queryset
        try:
            day = datetime.combine(date.fromisoformat(self.value() or ""), datetime.min.time(), UTC)
            return queryset.filter(id__gte=first_id(day), id__lt=first_id(day + timedelta(days=1)))
        except (ValueError, OverflowError):
            raise IncorrectLookupParameters from None
