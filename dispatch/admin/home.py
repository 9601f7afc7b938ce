"""The home page of the admin: how today goes. It is read again every few seconds, by a script that replaces its middle.

Without the script, or while it can't reach us, the page says as of when its numbers are.
"""

from collections.abc import Callable
from typing import Any

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.utils.safestring import SafeString
from django.views.decorators.http import require_safe

from dispatch import minutes
from dispatch.admin import charts, health
from dispatch.admin.charts import Series
from dispatch.admin.figures import LETTERS, MOST, Figures, Line, Traffic, figures, ratio
from dispatch.models import Minute
from dispatch.states import State

LOOKING = "dispatch.view_message"


@require_safe
def home(request: HttpRequest) -> HttpResponse:
    """For whoever has no role yet, Django's own first page."""
    if not request.user.has_perm(LOOKING):
        return admin.site.index(request)
    context = {**admin.site.each_context(request), "title": "Today", **_context(figures())}
    return TemplateResponse(request, "admin/dispatch/home.html", context)


@require_safe
def live(request: HttpRequest) -> HttpResponse:
    """The middle of the page."""
    if not request.user.has_perm(LOOKING):
        raise PermissionDenied
    return TemplateResponse(request, "admin/dispatch/home_live.html", _context(figures()))


def _context(found: Figures) -> dict[str, Any]:
    return {
        "figures": found,
        "tiles": _tiles(found),
        "charts": _charts(found.traffic) if found.traffic else [],
        "lines": [_line(line) for line in found.lines or ()],
        "letters": LETTERS,
    }


def _tiles(found: Figures) -> list[dict[str, str]]:
    """`colour`: what deserves a look."""
    traffic, queue, inbox = found.traffic, found.queue, found.inbox
    today, hour = (traffic.today, traffic.hour) if traffic else (None, None)
    return [
        _tile(
            "Accepted today",
            f"{today.accepted:,}" if today else None,
            f"{hour.accepted:,} in the past hour" if hour else "",
        ),
        _tile(
            "Delivered today",
            _percent(today.ratio) if today else None,
            f"{today.delivered:,} of {today.delivered + today.bad:,} that ended" if today else "",
        ),
        _tile(
            "To the provider, past hour",
            _seconds(hour.p50) if hour else None,
            f"99 % within {_seconds(hour.p99)}" if hour and hour.p99 is not None else "",
        ),
        _tile(
            "Oldest waiting",
            health.span(queue.age) if queue else None,
            f"{_bounded(queue.waiting, MOST)} queued, {_bounded(queue.under_way, MOST)} under way" if queue else "",
            "warn" if queue and queue.age > 60 else "",
        ),
        _tile(
            "Failed, to be seen to",
            _bounded(inbox.count, LETTERS) if inbox else None,
            "open dead letters",
            "bad" if inbox and inbox.count else "good",
        ),
        _tile(
            "Timeline behind by",
            health.span(found.journal) if found.journal is not None else None,
            "events on their way to the logs database",
            "warn" if found.journal and found.journal > 60 else "",
        ),
    ]


def _tile(name: str, value: str | None, about: str, colour: str = "") -> dict[str, str]:
    return {"name": name, "value": "not known" if value is None else value, "about": about, "colour": colour}


def _charts(traffic: Traffic) -> list[SafeString]:
    def each(look: Callable[[Minute], float | None]) -> list[float | None]:
        return [look(minute) if minute else None for minute in traffic.minutes]

    return [
        charts.lines(
            "Messages a minute",
            [
                Series("accepted", "blue", each(lambda minute: sum(minute.states.values()))),
                Series("delivered", "green", each(lambda minute: minute.states.get(State.DELIVERED, 0))),
            ],
        ),
        charts.lines("Delivered, of those that ended", [Series("delivered", "green", each(_ratio))], " %", 100.0),
        charts.lines(
            "From accepted to the provider",
            [
                Series("half within", "blue", each(lambda minute: minutes.quantile(minute.waits, 0.5))),
                Series("99 % within", "orange", each(lambda minute: minutes.quantile(minute.waits, 0.99))),
            ],
            " s",
        ),
    ]


def _ratio(minute: Minute) -> float | None:
    found = ratio(minute.states)
    return None if found is None else found * 100


def _line(line: Line) -> dict[str, Any]:
    known = line.health
    return {
        "connection": line.connection,
        "state": health.state(line.connection),
        "light": health.light(known),
        "weight": health.weight(line.connection, known),
        "latency": f"{known.latency * 1000:.0f} ms" if known and known.latency else "-",
        "pace": f"{known.pace:.1f}/s" if known and known.pace else "-",
    }


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{share * 100:.1f} %"


def _seconds(value: float | None) -> str:
    return "-" if value is None else f"{value * 1000:.0f} ms" if value < 1 else f"{value:.1f} s"


def _bounded(count: int, most: int) -> str:
    return f"more than {most:,}" if count > most else f"{count:,}"
