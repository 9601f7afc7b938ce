"""Why a message would leave by what it would leave by: the routes, the options, and what stands in their way.

Asks what the relay asks (`dispatch.routing`, `dispatch.standings`) and changes nothing. The choice within a tier is
chance by weight: the answer names the likeliest, and the share of each. What holds now may not hold at release.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby, takewhile
from typing import Any

from dispatch import directory, routes, routing
from dispatch.directory import Entry
from dispatch.lanes import DEFAULT, Lane
from dispatch.routes import Book, RouteEntry, Step, Subject
from dispatch.routing import Standing
from dispatch.standings import standings
from dispatch.vocabulary import Priority


@dataclass(frozen=True, slots=True)
class Way:
    """One option. `weight`: its share within its tier; `factor`: 0 to 1, how much of that its connection has earned.

    `obstacle`: why it is out, empty while it stands. `share`: 0 to 1, how likely the message leaves by it.
    """

    connection: str
    provider: str
    channel: str
    sender: str
    tier: int
    weight: int
    factor: float = 1.0
    obstacle: str = ""
    full: bool = False
    share: float = 0.0
    chosen: bool = False

    @property
    def earned(self) -> float:
        return self.weight * self.factor


@dataclass(frozen=True, slots=True)
class Skipped:
    """A route that comes before the one that fits, and why it does not."""

    route: str
    because: str


@dataclass(frozen=True, slots=True)
class Explanation:
    """`route`: None for the default. `options`: in the order of their tiers; none is chosen if all have obstacles."""

    route: str | None
    channel: str
    reason: str
    options: tuple[Way, ...]
    skipped: tuple[Skipped, ...]

    @property
    def chosen(self) -> Way | None:
        return next((way for way in self.options if way.chosen), None)

    def to_json(self) -> dict[str, Any]:
        """For an answer of the API. `channel` is the one that it would leave by."""
        chosen = self.chosen
        return {
            "route": self.route,
            "connection": chosen.connection if chosen else None,
            "provider": chosen.provider if chosen else None,
            "channel": chosen.channel if chosen else self.channel,
            "reason": self.reason,
            "options": [
                {
                    "connection": way.connection,
                    "provider": way.provider,
                    "channel": way.channel,
                    "tier": way.tier,
                    "weight": way.weight,
                    "factor": round(way.factor, 3),
                    "share": round(way.share, 3),
                    "obstacle": way.obstacle,
                    "chosen": way.chosen,
                }
                for way in self.options
            ],
            "skipped": [{"route": one.route, "because": one.because} for one in self.skipped],
        }


def explain(subject: Subject) -> Explanation:
    """How such a message would leave now. Reads the database and Redis as the relay does."""
    entries = directory.entries()
    return explained(subject, entries.values(), routes.book(), standings(entries))


def explained(
    subject: Subject, entries: Collection[Entry], book: Book, standing: Mapping[int, Standing]
) -> Explanation:
    """As `explain`, of what is given. `standing` is by connection id."""
    route = book.match(subject)
    earlier = list(takewhile(lambda one: one is not route, book.routes))
    ways = _chosen(_ways(subject, route, entries, book, standing))
    return Explanation(
        route=route.name if route else None,
        channel=subject.channel,
        reason=_reason(ways),
        options=tuple(ways),
        skipped=tuple(Skipped(one.name, "; ".join(misfits(one, subject))) for one in earlier),
    )


def misfits(route: RouteEntry, subject: Subject) -> list[str]:
    """The conditions of a route that do not hold for a message; empty where `RouteEntry.fits` says that it fits."""
    found = []
    if not (route.sandbox_steps if subject.test else route.live_steps):
        found.append(f"it has no connection for {'test' if subject.test else 'live'} keys")
    if route.account_id not in (None, subject.account_id):
        found.append("it is for another account")
    if route.channel not in ("", subject.channel):
        found.append(f"it is for {route.channel}")
    if route.senders and subject.sender not in route.senders:
        found.append(f"{subject.sender or 'no sender'} is not among its senders")
    if route.priorities and subject.priority not in route.priorities:
        wanted = " and ".join(str(Priority(one).label) for one in sorted(route.priorities))
        found.append(f"it is for priority {wanted}")
    if not route.goes_to(subject.to):
        country = routes.country_of(subject.to)
        found.append(f"the number, of {country or 'no country'}, is not among its destinations")
    return found


def _ways(
    subject: Subject,
    route: RouteEntry | None,
    entries: Collection[Entry],
    book: Book,
    standing: Mapping[int, Standing],
) -> list[Way]:
    """The options, and beside them what routing passes over without a word."""
    lane = Lane(route.id if route else DEFAULT, subject.test, subject.channel)
    able = {option.key for option in routing.options(lane, entries, book)}
    known = {entry.id: entry for entry in entries}
    if route is None:
        steps = [
            Step(-entry.id, 0, entry.id, entry.weight, "", "") for entry in entries if entry.sandbox == subject.test
        ]
    else:
        steps = [step for step in route.steps if step.connection_id in known]
    ways = []
    for step in steps:
        entry = known[step.connection_id]
        now = standing[entry.id]
        channel = step.channel or subject.channel
        obstacle = now.obstacle
        if step.id not in able and not obstacle:
            obstacle = f"does not speak {channel}"
            if entry.sandbox != subject.test:
                obstacle = f"takes messages of {'test' if entry.sandbox else 'live'} keys"
        ways.append(
            Way(
                connection=entry.name,
                provider=entry.provider,
                channel=channel,
                sender=step.sender or subject.sender,
                tier=step.tier,
                weight=step.weight,
                factor=now.factor,
                obstacle=obstacle,
                full=now.room <= 0,
            )
        )
    return ways


def _chosen(ways: Sequence[Way]) -> list[Way]:
    """With the shares of the first tier that stands, and the likeliest of it marked. A full one is waited for."""
    standing = [way for way in ways if not way.obstacle]
    tiers = [list(tier) for _, tier in groupby(standing, key=lambda way: way.tier)]
    tier = tiers[0] if tiers else []
    running = [way for way in tier if not way.full] or tier
    total = sum(way.earned for way in running)
    shares = [way.earned / total if total else float(way is running[0]) for way in running]
    likeliest = max(zip(shares, running, strict=True), key=lambda one: one[0])[1] if running else None
    found = {id(way): share for way, share in zip(running, shares, strict=True)}
    return [replace(way, share=found.get(id(way), 0.0), chosen=way is likeliest) for way in ways]


def _reason(ways: Sequence[Way]) -> str:
    chosen = next((way for way in ways if way.chosen), None)
    if chosen is None and not ways:
        return "It waits: there is no connection for it."
    if chosen is None:
        return "It waits: nothing that it could leave by can take it now."
    rivals = sum(way.share > 0 for way in ways)
    earlier = "Nothing of an earlier tier can take it. " if chosen.tier > min(way.tier for way in ways) else ""
    if chosen.full:
        return f"{earlier}It waits until there is room: all that could take it are busy."
    if rivals > 1:
        return f"{earlier}The likeliest of {rivals} by weight: {chosen.share:.0%}."
    return f"{earlier}The only one of its tier that can take it."
