"""The routes as every process sees them: read from the database, kept for a moment, matched in one place.

Which route a message has decides its lane, so it is matched when the message is accepted, and again by the relay for
everything queued when a route was edited (`dispatch.rematch`). Which connection it leaves by is chosen at release.
"""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final
from uuid import UUID

import phonenumbers
from django.db import Error
from django.db.models import Prefetch

from dispatch.lanes import DEFAULT, Lane
from dispatch.models import Route, RouteStep
from dispatch.vocabulary import Priority

KEPT: Final = 2.0  # seconds until an edit is noticed
PRIORITIES: Final[Mapping[str, int]] = MappingProxyType({str(one.label): one.value for one in Priority})


@dataclass(frozen=True, slots=True)
class Subject:
    """What routes look at. `to` and numbers among senders are E.164; `priority` is a value of `Priority`."""

    account_id: UUID
    test: bool
    channel: str
    to: str
    sender: str
    priority: int

    def to_another(self, to: str) -> "Subject":
        """The same but for its recipient; `dataclasses.replace` takes three times as long, for a hundred thousand."""
        return Subject(self.account_id, self.test, self.channel, to, self.sender, self.priority)


@dataclass(frozen=True, slots=True)
class Step:
    """A way out of a route. `channel` and `sender` replace the message's own where they are not empty."""

    id: int
    tier: int
    connection_id: int
    weight: int
    channel: str
    sender: str


@dataclass(frozen=True, slots=True)
class RouteEntry:
    """One enabled route; `steps` by position. Empty conditions hold for every message."""

    id: int
    name: str
    account_id: UUID | None
    channel: str
    prefixes: tuple[str, ...]
    countries: frozenset[str]
    senders: frozenset[str]
    priorities: frozenset[int]
    reroute_undelivered: bool
    steps: tuple[Step, ...]
    sandbox_steps: bool
    live_steps: bool

    def fits(self, subject: Subject) -> bool:
        """Whether it decides over such a message."""
        return (
            (self.sandbox_steps if subject.test else self.live_steps)
            and self.account_id in (None, subject.account_id)
            and self.channel in ("", subject.channel)
            and (not self.senders or subject.sender in self.senders)
            and (not self.priorities or subject.priority in self.priorities)
            and self.goes_to(subject.to)
        )

    def goes_to(self, number: str) -> bool:
        """Whether a number in E.164 is among its destinations."""
        if not self.prefixes and not self.countries:
            return True
        return number.startswith(self.prefixes) or (bool(self.countries) and country_of(number) in self.countries)


@dataclass(frozen=True, slots=True)
class Book:
    """All enabled routes in their order. Equal books route alike."""

    routes: tuple[RouteEntry, ...] = ()

    def match(self, subject: Subject) -> RouteEntry | None:
        """The first route that fits; None leaves the message to all connections."""
        return next((route for route in self.routes if route.fits(subject)), None)

    def lane(self, subject: Subject) -> Lane:
        route = self.match(subject)
        return Lane(route.id if route else DEFAULT, subject.test, subject.channel)

    def route(self, lane: Lane) -> RouteEntry | None:
        """The lane's route; None for the default one, and for one that is gone or switched off."""
        return next((route for route in self.routes if route.id == lane.route), None)


def country_of(number: str) -> str:
    """The ISO country of a number in E.164, as far as its digits tell; "" if it has none.

    Ranges that are not allocated, such as those kept for fiction, count as their calling code's main country.
    """
    try:
        parsed = phonenumbers.parse(number)
    except phonenumbers.NumberParseException:
        return ""
    found = phonenumbers.region_code_for_number(parsed)
    return found or phonenumbers.region_code_for_country_code(parsed.country_code or 0)


_book = Book()
_read_at = float("-inf")


def book() -> Book:
    """The routes; while the database is away, those that were read last."""
    global _book, _read_at
    if time.monotonic() - _read_at > KEPT:
        try:
            steps = RouteStep.objects.select_related("connection").defer("connection__credentials")
            rows = Route.objects.filter(enabled=True).prefetch_related(Prefetch("steps", steps))
            _book = Book(tuple(_read(row) for row in rows))
        except Error:
            if _read_at == float("-inf"):
                raise
        _read_at = time.monotonic()
    return _book


def forget() -> None:
    """Read anew at the next call."""
    global _read_at
    _read_at = float("-inf")


def _read(row: Route) -> RouteEntry:
    steps = list(row.steps.all())
    words = row.destinations.split()
    sandbox = {step.connection.sandbox for step in steps}
    return RouteEntry(
        id=row.pk,
        name=row.name,
        account_id=row.account_id,
        channel=row.channel,
        prefixes=tuple(word for word in words if word.startswith("+")),
        countries=frozenset(word.upper() for word in words if not word.startswith("+")),
        senders=frozenset(line.strip() for line in row.senders.splitlines() if line.strip()),
        priorities=frozenset(PRIORITIES[word] for word in row.priorities.split() if word in PRIORITIES),
        reroute_undelivered=row.reroute_undelivered,
        steps=tuple(
            Step(step.pk, step.position, step.connection_id, step.weight, step.channel, step.sender) for step in steps
        ),
        sandbox_steps=True in sandbox,
        live_steps=False in sandbox,
    )
