"""Filters of lists with millions of rows: each knows its choices without looking through the table."""

from collections.abc import Iterator
from typing import Any, ClassVar
from urllib.parse import parse_qsl

from django.contrib.admin import SimpleListFilter
from django.contrib.admin.options import IncorrectLookupParameters
from django.contrib.admin.views.main import PAGE_VAR, ChangeList
from django.db import connection as database
from django.db.models import QuerySet
from django.http import HttpRequest

from dispatch.models import Connection
from dispatch.providers.registry import PROVIDERS
from sendmsg.accounts.models import Account
from sendmsg.admin import as_uuid

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


class InputFilter(SimpleListFilter):
    """By what is typed, where there are too many choices to offer."""

    template = "sendmsg/admin/input_filter.html"
    parameter_name: str
    input_type: ClassVar[str]

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("", "any")]

    def choices(self, changelist: ChangeList) -> Iterator[Any]:
        others = changelist.get_query_string(remove=[self.parameter_name, PAGE_VAR])
        yield {"value": self.value() or "", "query_string": others, "others": parse_qsl(others.removeprefix("?"))}


class AccountFilter(InputFilter):
    title = "account (its whole name)"
    parameter_name = "account"
    input_type = "search"

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        name = self.value()
        if not name:
            return queryset
        if "\0" in name:  # Postgres takes no such text
            raise IncorrectLookupParameters
        return queryset.filter(account_id__in=list(Account.objects.filter(name=name).values_list("id", flat=True)))


class BroadcastFilter(InputFilter):
    title = "broadcast (its whole id)"
    parameter_name = "broadcast"
    input_type = "search"

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        value = self.value()
        if not value:
            return queryset
        broadcast_id = as_uuid(value)
        return queryset.filter(broadcast_id=broadcast_id) if broadcast_id else queryset.none()


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
        value = self.value()
        if value is None:
            return queryset
        if "\0" in value:  # Postgres takes no such text
            raise IncorrectLookupParameters
        return queryset.filter(**{self.column: value})


class ErrorCodeFilter(CodeFilter):
    title = "error code"
    parameter_name = column = "error_code"


class ReasonFilter(CodeFilter):
    title = "reason"
    parameter_name = column = "reason"
