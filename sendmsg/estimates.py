"""Counting rows of big tables for people: exact where that is cheap, Postgres's own estimate where it is not.

An exact count of ten million rows takes seconds, and nobody reads it. The planner knows, without touching a row, how
many it expects and what counting them would cost.
"""

import json
from dataclasses import dataclass
from functools import cached_property
from math import ceil
from typing import TYPE_CHECKING, Any, cast

from django.core.paginator import Paginator
from django.db.models import QuerySet

if TYPE_CHECKING:
    _Paginator = Paginator[Any]
else:
    _Paginator = Paginator

EXACT_ROWS = 10_000  # rows that are counted one by one; beyond them the estimate is near enough
EXACT_COST = 100_000.0  # units of the planner's cost, about half a second; what a count may cost
PAGES = 400  # pages that can be reached: Postgres walks over everything before a page, so the millionth takes minutes


@dataclass(frozen=True, slots=True)
class Plan:
    """What Postgres expects: rows of the whole query, and the cost of reading the first `EXACT_ROWS` of them."""

    rows: int
    cost: float


def plan(rows: QuerySet[Any]) -> Plan:
    """Ask the planner; one round trip, no row is read."""
    bounded = rows.order_by().values("pk")[: EXACT_ROWS + 1]
    answer = bounded.explain(format="json")
    if not answer:  # Django knows without asking that nothing can match
        return Plan(rows=0, cost=0.0)
    limit = json.loads(answer)[0]["Plan"]
    [whole] = limit["Plans"]
    return Plan(rows=int(whole["Plan Rows"]), cost=float(limit["Total Cost"]))


class EstimatedCountPaginator(_Paginator):
    """Pages of a query, over a count that costs little."""

    @cached_property
    def _counted(self) -> tuple[int, bool]:
        """The count, and whether it is an estimate."""
        rows = cast("QuerySet[Any]", self.object_list)
        planned = plan(rows)
        if planned.cost > EXACT_COST:
            return planned.rows, True
        counted = rows.order_by()[: EXACT_ROWS + 1].count()
        return (counted, False) if counted <= EXACT_ROWS else (max(planned.rows, counted), True)

    @cached_property
    def count(self) -> int:
        """Exact up to `EXACT_ROWS`; beyond, or where even that would cost too much, what the planner expects."""
        return self._counted[0]

    @property
    def estimated(self) -> bool:
        return self._counted[1]

    @cached_property
    def num_pages(self) -> int:
        """Every page of an exact count; of an estimated one, the pages that can be reached without a long walk."""
        pages = max(1, ceil(self.count / self.per_page))
        return min(pages, PAGES) if self.estimated else pages
