"""The story of a message for its page: what happened, in order, and where its time went.

It is told from rows beside the message (attempts, letters; receipts and callbacks by other apps) and from the events of
the timeline, which may be away: then releases and returns to the queue are missing, and the rest is told.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from django.urls import reverse
from django.utils.safestring import SafeString

from dispatch import numbers
from dispatch.admin import charts
from dispatch.admin.charts import Part
from dispatch.admin.health import span
from dispatch.admin.timeline import Line
from dispatch.models import Attempt, Message
from dispatch.states import State
from dispatch.vocabulary import AttemptOutcome
from sendmsg.journal.events import EventType

GOOD: Final = "green"
BAD: Final = "red"
DOUBTFUL: Final = "orange"
ON_ITS_WAY: Final = "blue"
OUTCOMES: Final = {
    "": ON_ITS_WAY,
    AttemptOutcome.ACCEPTED: GOOD,
    AttemptOutcome.REJECTED: BAD,
    AttemptOutcome.BLOCKED: BAD,
}
TOLD: Final = {
    EventType.RELEASED: ("Handed to a worker", ON_ITS_WAY),
    EventType.RETRYING: ("Back in the queue", DOUBTFUL),
    EventType.CANCELED: ("Taken back", DOUBTFUL),
    EventType.EXPIRED: ("Its time ran out", BAD),
    EventType.FAILED: ("Failed for good", BAD),
    EventType.UNKNOWN: ("Nobody can say what became of it", DOUBTFUL),
}
"""Events that no row tells of."""


@dataclass(frozen=True, slots=True)
class Moment:
    """One thing that happened. `about`: more of it; `link`: a page that has all of it."""

    at: datetime
    what: str
    colour: str = ""
    about: str = ""
    link: str = ""

    @property
    def time(self) -> str:
        return f"{self.at:%Y-%m-%d %H:%M:%S}.{self.at.microsecond // 1000:03d}"


@dataclass(frozen=True, slots=True)
class Told:
    """A moment, and how long after the one before."""

    moment: Moment
    after: str


@dataclass(frozen=True, slots=True)
class Story:
    """`bar`: where the time went; `spent`: the same in words."""

    moments: Sequence[Told]
    bar: SafeString
    spent: Sequence[Part]


SOURCES: list[Callable[[Message], Iterable[Moment]]] = []
"""What other apps know of a message; imports go one way, so they come here and are not fetched."""


def story(message: Message, lines: Sequence[Line] | None) -> Story:
    """`lines`: its timeline, None while that is away."""
    tries = list(message.attempts.select_related("connection").defer("connection__credentials").order_by("number"))
    moments = [Moment(message.created_at, "Accepted", ON_ITS_WAY, _wish(message, lines or ()))]
    moments += [moment for attempt in tries for moment in _of_attempt(attempt)]
    moments += _of_letters(message)
    moments += [_of_event(line) for line in lines or () if line.event.type in TOLD]
    moments += [moment for source in SOURCES for moment in source(message)]
    moments.sort(key=lambda moment: moment.at)
    before = [message.created_at, *(moment.at for moment in moments)]
    told = [Told(moment, gap(moment.at, last)) for moment, last in zip(moments, before, strict=False)]
    spent = _spent(message, tries)
    return Story(told, charts.bar("Where its time went", spent), spent)


def gap(at: datetime, before: datetime) -> str:
    """From one moment to the next, as exact as matters."""
    seconds = (at - before).total_seconds()
    return f"+{seconds:.3f} s" if seconds < 10 else f"+{span(seconds)}"


def _wish(message: Message, lines: Iterable[Line]) -> str:
    wanted = f"for {message.send_at:%Y-%m-%d %H:%M:%S}" if message.send_at else ""
    asked = [line.event.data.get("request_id") for line in lines if line.event.type == EventType.ACCEPTED]
    return _joined([wanted, *(f"request {request_id}" for request_id in asked if request_id)])


def _of_attempt(attempt: Attempt) -> Iterable[Moment]:
    name = f"Attempt {attempt.number} by {attempt.connection}"
    if attempt.finished_at is None:
        yield Moment(attempt.started_at, f"{name} began", ON_ITS_WAY, "under way, or its worker died")
        return
    took = (attempt.finished_at - attempt.started_at).total_seconds()
    facts = [attempt.code, numbers.mask_within(attempt.detail), f"took {took:.3f} s"]
    colour = OUTCOMES.get(attempt.outcome, DOUBTFUL)
    yield Moment(attempt.finished_at, f"{name}: {attempt.get_outcome_display()}", colour, _joined(facts))


def _of_letters(message: Message) -> Iterable[Moment]:
    for letter in message.dead_letters.order_by("id"):
        page = reverse("admin:dispatch_deadletter_change", args=[letter.pk])
        yield Moment(letter.created_at, f"Dead letter: {letter.reason}", BAD, "", page)
        if letter.handled_at is not None:
            what = f"Dead letter {letter.get_state_display()}"
            yield Moment(letter.handled_at, what, ON_ITS_WAY, _joined([f"by {letter.handled_by}", letter.note]), page)


def _of_event(line: Line) -> Moment:
    what, colour = TOLD[EventType(line.event.type)]
    data = line.event.data
    return Moment(line.event.at, what, colour, _joined([str(data.get(key, "")) for key in ("connection", "code")]))


def _spent(message: Message, tries: Sequence[Attempt]) -> list[Part]:
    """Waiting, calls, and what the network took; up to its last move."""
    parts: list[Part] = []
    at = message.created_at
    for attempt in tries:
        end = attempt.finished_at or attempt.started_at
        _add(parts, "waited", "", at, attempt.started_at)
        _add(parts, f"attempt {attempt.number}", OUTCOMES.get(attempt.outcome, DOUBTFUL), attempt.started_at, end)
        at = max(at, end)
    if message.state in (State.DELIVERED, State.UNDELIVERED):
        _add(parts, "network and telephone", ON_ITS_WAY, at, message.updated_at)
    return parts


def _add(parts: list[Part], name: str, colour: str, start: datetime, end: datetime) -> None:
    length = (end - start).total_seconds()
    if length > 0:
        parts.append(Part(f"{name} {length:.3f} s" if length < 10 else f"{name} {span(length)}", colour, length))


def _joined(facts: Iterable[str]) -> str:
    return ", ".join(fact for fact in facts if fact)
