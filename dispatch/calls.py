"""One call to a provider: wait for its turn, make it unless there is a reason not to, and say what came of it.

Runs in a thread of the connection's pool and touches no database.
"""

import time
from collections import defaultdict
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from datetime import datetime
from threading import Event
from typing import Final

from django.conf import settings
from django.utils import timezone

from dispatch import breaker, pacing, spans
from dispatch.attempts import Settlement
from dispatch.breaker import Observed
from dispatch.claims import Held
from dispatch.directory import Entry
from dispatch.pacing import Pace, Slot, Wish
from dispatch.providers import registry
from dispatch.providers.base import Accepted, Found, Missing, Provider, Retry, Unavailable, Unknown
from dispatch.verdicts import ELSEWHERE, Absent, Ending, NotSent, Unanswered, outcome_of
from dispatch.vocabulary import UnknownPolicy
from sendmsg.errors import CallFailed
from sendmsg.telemetry import metrics
from sendmsg.telemetry.logging import belonging

LATE: Final = 3.0  # seconds; no answer for so long, and for `LATE_TIMES` the usual, is a bad sign before it is an error
LATE_TIMES: Final = 4.0
NEW_SHARE: Final = 0.1  # of each call in what is usual

stopping = Event()
"""Set when the worker shuts down: calls under way finish, those not begun are handed back."""


class Lease:
    """Until when, by this process's steady clock, the task may start calls."""

    renew_at: float
    ends_at: float

    def __init__(self) -> None:
        self.renewed()

    def renewed(self) -> None:
        now = time.monotonic()
        length: float = settings.SEND_LEASE.total_seconds()
        self.renew_at = now + length / 3
        self.ends_at = now + length

    def may_start(self, messages: int) -> bool:
        """Whether a call for so many messages is over before the lease is: one may take `TOTAL_TIMEOUT`, more twice."""
        longest: float = settings.TOTAL_TIMEOUT * (1 if messages == 1 else 2)
        return time.monotonic() + longest < self.ends_at

    @property
    def ageing(self) -> bool:
        return time.monotonic() >= self.renew_at


@dataclass(slots=True)
class Habit:
    """How long a connection's good calls take, in seconds, as a moving mean: shared by all its calls."""

    usual: float = 0.0

    def learn(self, seconds: float) -> None:
        self.usual += (seconds - self.usual) * NEW_SHARE

    def late(self, seconds: float) -> bool:
        """Whether a call that has no answer for so long should have had one."""
        return seconds > max(LATE, LATE_TIMES * self.usual)


@dataclass(frozen=True, slots=True)
class Result:
    """What came of a call: the endings of its messages, and what it says of the connection, if anything."""

    settlements: Sequence[Settlement]
    observed: Observed | None = None


@dataclass(slots=True, eq=False)
class Call:
    """A call to be made, for messages that can share it. `began_at`: when it was made, by the steady clock."""

    entry: Entry
    provider: Provider
    habit: Habit
    group: Sequence[Held]
    lease: Lease
    slot: Slot
    began_at: float | None = None
    reported_late: bool = False

    def make(self) -> Result:
        name = self.entry.name
        if self.slot.come_back is not None:
            return not_sent(self, NotSent("paced", after=self.slot.come_back))
        wait = max(0.0, self.slot.start - time.monotonic())
        metrics.TOKEN_SECONDS.labels(name).inc(wait)
        time.sleep(wait)
        if breaker.is_open(name):
            return not_sent(self, NotSent("breaker_open", avoid=True))
        if pacing.is_paused(name):
            return not_sent(self, NotSent("throttled", avoid=True))
        if stopping.is_set() or not self.lease.may_start(len(self.group)):
            return not_sent(self, NotSent())
        now = timezone.now()
        overdue = [item for item in self.group if item.claim.expires_at <= now]
        group = [item for item in self.group if item.claim.expires_at > now]
        with self._log_belongs_to(group), spans.shared(group, self.entry):
            result = self._made(group, now) if group else Result([])
        return Result([*_settle(overdue, [NotSent()] * len(overdue)), *result.settlements], result.observed)

    def overdue(self) -> Observed | None:
        """What to tell the breaker if the call is late and nobody has told it yet."""
        if self.reported_late or self.began_at is None:
            return None
        seconds = time.monotonic() - self.began_at
        if not self.habit.late(seconds):
            return None
        self.reported_late = True
        return Observed(False, seconds, messages=0, code="no_answer_yet")

    def _log_belongs_to(self, group: Sequence[Held]) -> AbstractContextManager[None]:
        """What adapters and libraries log meanwhile; of a shared call only the connection is known."""
        if len(group) != 1:
            return belonging(connection=self.entry.name)
        [item] = group
        return belonging(connection=self.entry.name, message_id=item.claim.message_id, request_id=item.request_id)

    def _made(self, group: Sequence[Held], now: datetime) -> Result:
        name, since = self.entry.name, group[0].asks_since
        started = self.began_at = time.monotonic()
        if since is not None:
            endings: list[Ending] = [self._ask(group[0], since)]
        else:
            # One validity for all, or the provider's call could not be shared.
            valid_for = min((item.claim.expires_at - now).total_seconds() for item in group)
            endings = [*self.provider.send([replace(item.outbound, valid_for=valid_for) for item in group])]
        seconds = time.monotonic() - started
        metrics.SEND_SECONDS.labels(name).observe(seconds)
        spans.called(group, endings, self.entry, now)
        for ending in endings:
            metrics.OUTCOMES.labels(name, outcome_of(ending).value).inc()
            if code := getattr(ending, "code", ""):
                metrics.SEND_ERRORS.labels(name, code).inc()
            if isinstance(ending, Retry) and ending.code == "throttled" and ending.after:
                pacing.pause(name, ending.after)
        observed = observe(endings, seconds)
        if observed is not None and observed.good:
            self.habit.learn(seconds)
        return Result(_settle(group, endings), observed)

    def _ask(self, item: Held, since: datetime) -> Ending:
        if self.entry.doubt.policy is not UnknownPolicy.ASK:  # it was changed while the message waited
            return Unanswered()
        try:
            found = self.provider.find(item.outbound, since)
        except CallFailed as error:
            return Unanswered(error.code, error.detail)
        match found:
            case Found():
                return Accepted(found.provider_ids)
            case Missing():
                return Absent()
            case None:
                return Unanswered()


def groups(held: Sequence[Held], batch_size: int) -> list[list[Held]]:
    """What goes into one call each: alone, or where the provider takes many, those of one text, sender and channel."""
    alone = [item for item in held if batch_size == 1 or item.asks_since is not None]
    alike: dict[tuple[str, str, str], list[Held]] = defaultdict(list)
    for item in held:
        if batch_size > 1 and item.asks_since is None:
            alike[item.outbound.body, item.outbound.sender, item.outbound.channel].append(item)
    shared = [group[at : at + batch_size] for group in alike.values() for at in range(0, len(group), batch_size)]
    return [*([item] for item in alone), *shared]


def pace_of(entry: Entry) -> Pace:
    return Pace(entry.rate, entry.sender_rate, registry.get(entry.provider).capabilities.pair_interval)


def wish(group: Sequence[Held]) -> Wish:
    """What a call for these messages takes of its connection's pace. A question takes as much as a message."""
    first = group[0]
    return Wish(
        cost=sum(item.segments for item in group) if first.asks_since is None else 1,
        sender=first.outbound.sender,
        recipient=first.outbound.to if first.asks_since is None and len(group) == 1 else "",
        direct=any(item.urgent or item.came_back for item in group),
    )


def observe(endings: Sequence[Ending], seconds: float) -> Observed | None:
    """What a call says of its connection. A refusal that is about the message is the provider at work; "too many
    requests" says nothing of its health."""
    bad = [one for one in endings if isinstance(one, Unknown | Unavailable) and one.code not in ELSEWHERE]
    neutral = [one for one in endings if isinstance(one, Retry | NotSent | Unanswered)]
    accepted = sum(isinstance(one, Accepted) for one in endings)
    if len(bad) == len(endings):
        return Observed(False, seconds, len(endings), 0, bad[-1].code)
    if len(neutral) == len(endings):
        return None
    return Observed(True, seconds, len(endings), accepted)


def not_sent(call: Call, why: NotSent) -> Result:
    return Result(_settle(call.group, [why] * len(call.group)))


def unforeseen(call: Call, error: BaseException) -> Result:
    """An adapter must not raise. If one does, nobody knows how far it came."""
    unknown = Unknown("adapter_error", type(error).__name__)
    return Result(
        _settle(call.group, [unknown] * len(call.group)), Observed(False, 0.0, len(call.group), 0, unknown.code)
    )


def _settle(group: Sequence[Held], endings: Sequence[Ending]) -> list[Settlement]:
    at = timezone.now()
    return [Settlement(item.claim, ending, at) for item, ending in zip(group, endings, strict=True)]
