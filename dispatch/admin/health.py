"""How connections do, for their pages: read from Redis once a page, never once a row."""

from dataclasses import dataclass
from typing import Any, Final

from django.contrib.admin.views.main import ChangeList
from django.http import HttpRequest
from django.utils.html import format_html
from django.utils.safestring import SafeString

from dispatch import pacing, serving
from dispatch.breaker import Health
from dispatch.models import Connection, ConnectionEvent, Message
from dispatch.states import State
from dispatch.vitals import vitals
from dispatch.vocabulary import BreakerState

HISTORY: Final = 30  # lines on a connection's page
_COLOURS: Final = {BreakerState.CLOSED: "good", BreakerState.HALF_OPEN: "warn", BreakerState.OPEN: "bad"}


class HealthList(ChangeList):
    """The rows of a page of connections get a `health` each; None while it is not known."""

    def get_results(self, request: HttpRequest) -> None:
        super().get_results(request)
        rows: list[Any] = list(self.result_list)
        found = vitals([row.name for row in rows])
        for row in rows:
            row.health = found.get(row.name)
        self.result_list = rows


@dataclass(frozen=True, slots=True)
class Panel:
    """`facts`: name and value of each; `history`: the newest first."""

    facts: list[tuple[str, str | SafeString]]
    history: list[ConnectionEvent]


def panel(connection: Connection) -> Panel:
    """What is known of a connection now."""
    known = vitals([connection.name]).get(connection.name)
    health = known or Health()
    under_way = Message.objects.filter(connection=connection, state__in=[State.RELEASED, State.SENDING]).count()
    throttled = connection.name in pacing.paused([connection.name])
    return Panel(
        facts=[
            ("State", state(connection)),
            ("Breaker", light(known)),
            ("In this state for", span(health.since) if health.since else "-"),
            ("Throttled by the provider", "yes" if throttled else "no"),
            ("Weight", weight(connection, known)),
            ("Latency", f"{health.latency * 1000:.0f} ms" if health.latency else "-"),
            ("Pace", f"{health.pace:.1f} messages a second" if health.pace else "-"),
            ("Under way", f"{under_way} messages"),
        ],
        history=list(ConnectionEvent.objects.filter(connection=connection)[:HISTORY]),
    )


def state(connection: Connection) -> SafeString:
    """Whether operators let it work, and somebody does."""
    if not connection.enabled:
        return coloured("off", "disabled")
    if connection.paused_at is not None:
        since = f"{connection.paused_at:%Y-%m-%d %H:%M}"
        why = f": {connection.pause_reason}" if connection.pause_reason else ""
        return coloured("warn", f"paused since {since}{why}")
    if connection.pk in serving.unserved():
        return coloured("bad", serving.NOBODY)
    return coloured("good", "enabled")


def weight(connection: Connection, health: Health | None) -> str:
    """With what is left of it."""
    return f"{connection.weight} x {health.factor:.2f}" if health else str(connection.weight)


def light(health: Health | None) -> SafeString:
    """The breaker's state, with what opened it."""
    if health is None:
        return coloured("off", "not known: Redis is away")
    why = f": {health.reason}" if health.reason else ""
    return coloured(_COLOURS[health.state], f"{health.state.label}{why}")


def span(seconds: float) -> str:
    """A length of time, as exact as a glance needs."""
    for size, name in ((86_400, "d"), (3_600, "h"), (60, "min")):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {name}"
    return f"{seconds:.0f} s"


def coloured(colour: str, text: str) -> SafeString:
    return format_html('<span class="state state-{} wraps">{}</span>', colour, text)
