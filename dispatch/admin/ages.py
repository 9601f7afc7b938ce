"""Filters by time for tables whose id is a UUIDv7.

Such an id begins with the millisecond that it was made, so a time is a range of ids: the primary key serves it, alone
and under any other filter.
"""

from datetime import date, timedelta
from typing import Any, ClassVar

from django.contrib.admin import SimpleListFilter
from django.contrib.admin.options import IncorrectLookupParameters
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils import timezone

from dispatch.admin.filters import InputFilter
from sendmsg.days import bounds
from sendmsg.ids import first_id


class AgeFilter(SimpleListFilter):
    """The newest."""

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


class DayFilter(InputFilter):
    """One day, in UTC."""

    title = "day (UTC)"
    parameter_name = "day"
    input_type = "date"

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        if not self.value():
            return queryset
        try:
            first, end = map(first_id, bounds(date.fromisoformat(self.value() or "")))
            return queryset.filter(id__gte=first, id__lt=end)
        except (ValueError, OverflowError):
            raise IncorrectLookupParameters from None
