"""What a provider's answer means for the message: a pure function from outcome to wanted change.

    accepted      sent
    rejected      another option if that may take it (`ELSEWHERE`, or another channel); else failed, for good
    retry         queued again, not before the provider asked, elsewhere first
    unavailable   queued again, elsewhere first
    unknown       queued again and in doubt, by the connection's policy: repeated, asked about, or waiting for a receipt
    not sent      queued again, at once; elsewhere first if its connection's breaker is open
    blocked       we may not send it: as rejected, but unknown if an earlier try may have gone through
    absent        the provider was asked and does not have it: queued again, elsewhere first
    unanswered    the provider was asked and could not say: asked again later

Whatever would be due after the message's deadline ends instead: expired, or unknown if an attempt is in doubt.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

from django.conf import settings

from dispatch import backoff
from dispatch.changes import Change
from dispatch.providers.base import Accepted, Outcome, Rejected, Retry, Unavailable, Unknown
from dispatch.states import State
from dispatch.vocabulary import AttemptOutcome, UnknownPolicy

WINDOW_CLOSED: Final = "window_closed"
"""WhatsApp takes no text for this recipient now."""

ELSEWHERE: Final = frozenset({"unroutable", "invalid_sender", WINDOW_CLOSED})
"""Refusals that are about this provider's networks, registrations and numbers: another may well take the message."""

NOWHERE: Final = frozenset({"opted_out"})
"""Refusals that no other provider and no other channel may be used to get around."""


@dataclass(frozen=True, slots=True)
class NotSent:
    """We gave up before the call: its turn is later, the lease was about to end, or the worker is stopping.

    `after`: seconds until its turn comes. `avoid`: its connection is of no use now.
    """

    code: str = "not_sent"
    detail: str = ""
    after: float = 0.0
    avoid: bool = False


@dataclass(frozen=True, slots=True)
class Blocked:
    """It was claimed and may not be sent by this way: `opted_out` or `window_closed`."""

    code: str
    detail: str


@dataclass(frozen=True, slots=True)
class Absent:
    """The provider was asked what became of an earlier try, and says that it has no such message."""

    code: str = "absent"
    detail: str = "asked, and the provider does not have it"


@dataclass(frozen=True, slots=True)
class Unanswered:
    """The provider was asked what became of an earlier try, and could not say."""

    code: str = "unanswered"
    detail: str = "asked, and the provider could not say"


Ending = Outcome | NotSent | Blocked | Absent | Unanswered


@dataclass(frozen=True, slots=True)
class Doubt:
    """How a connection clears up an unknown outcome. `policy`: any but `AUTO`; `seconds`: how long that is tried."""

    policy: UnknownPolicy
    seconds: float


@dataclass(frozen=True, slots=True)
class Rival:
    """An option that a message has, with the channel that it would leave by."""

    key: int
    channel: str


@dataclass(frozen=True, slots=True)
class Claim:
    """A message that one worker holds: the row's facts, the attempt it wrote, and what else could take it.

    `failures`: attempts that failed before. `option`, `channel`: what it leaves by now. `rivals`: all that may still
    take it, this one included. `template_left`: it leaves as a text, and a template of its connection could carry it.
    """

    message_id: UUID
    release: int
    attempt: int
    connection_id: int
    failures: int
    option: int
    channel: str
    rivals: Sequence[Rival]
    doubt: Doubt
    in_doubt: bool
    expires_at: datetime
    template_left: bool = False


def outcome_of(ending: Ending) -> AttemptOutcome:
    match ending:
        case Accepted():
            return AttemptOutcome.ACCEPTED
        case Rejected():
            return AttemptOutcome.REJECTED
        case Retry():
            return AttemptOutcome.RETRY
        case Unavailable():
            return AttemptOutcome.UNAVAILABLE
        case Unknown():
            return AttemptOutcome.UNKNOWN
        case NotSent():
            return AttemptOutcome.NOT_SENT
        case Blocked():
            return AttemptOutcome.BLOCKED
        case Absent():
            return AttemptOutcome.ABSENT
        case Unanswered():
            return AttemptOutcome.UNANSWERED


def decide(claim: Claim, ending: Ending, now: datetime) -> Change:
    """The change that follows from `ending`."""
    tries = claim.failures + 1
    match ending:
        case Accepted():
            return _change(claim, State.SENT, in_doubt=False, code="", detail="")
        case Rejected() if by_template(claim, ending):
            return _again(claim, now, ending, in_doubt=False, failed=True)
        case Rejected() | Blocked():
            return _refused(claim, ending, now)
        case Unavailable() if ending.code in ELSEWHERE:
            return _refused(claim, ending, now)
        case Retry() | Unavailable():
            due_at = now + backoff.delay(tries, ending.after)
            return _again(claim, due_at, ending, claim.in_doubt, failed=True, avoid=True)
        case NotSent():
            due_at = now + timedelta(seconds=ending.after)
            return _again(claim, due_at, ending, claim.in_doubt, avoid=ending.avoid)
        case Unknown():
            return _in_doubt(claim, ending, now)
        case Absent():
            return _again(claim, now, ending, in_doubt=False, failed=True, avoid=True)
        case Unanswered():
            return _again(claim, now + backoff.delay(tries), ending, in_doubt=True, failed=True)


def by_template(claim: Claim, ending: Ending) -> bool:
    """Whether the same way takes the message again, by its template this time."""
    refused = isinstance(ending, Rejected) and ending.code == WINDOW_CLOSED
    return refused and claim.template_left and not claim.in_doubt


def undeliverable(option: int, channel: str, rivals: Sequence[Rival], code: str) -> list[int] | None:
    """The options to rule out after one refused a message with `code`; None if none would be left."""
    if code in NOWHERE:
        return None
    ruled_out = {option} if code in ELSEWHERE else {rival.key for rival in rivals if rival.channel == channel}
    left = [rival for rival in rivals if rival.key not in ruled_out and rival.key != option]
    return sorted(ruled_out | {option}) if left else None


def _refused(claim: Claim, ending: Rejected | Blocked | Unavailable, now: datetime) -> Change:
    ruled_out = None
    if not claim.in_doubt:  # an earlier try may have gone through: elsewhere it could arrive twice
        ruled_out = undeliverable(claim.option, claim.channel, claim.rivals, ending.code)
    if ruled_out is None or now >= claim.expires_at:
        open_question = claim.in_doubt and isinstance(ending, Blocked)
        return _change(claim, State.UNKNOWN if open_question else State.FAILED, code=ending.code, detail=ending.detail)
    return _again(claim, now, ending, in_doubt=False, refused=ruled_out, failed=True)


def _in_doubt(claim: Claim, ending: Unknown, now: datetime) -> Change:
    until = now + timedelta(seconds=claim.doubt.seconds)
    match claim.doubt.policy:
        case UnknownPolicy.WAIT:
            due_at = until
        case UnknownPolicy.ASK:  # providers' lists lag behind what they took
            due_at = now + timedelta(seconds=settings.ASK_AFTER) + backoff.delay(claim.failures + 1)
        case _:
            due_at = now + backoff.delay(claim.failures + 1)
    if claim.doubt.policy is not UnknownPolicy.WAIT:
        return _again(claim, due_at, ending, in_doubt=True, failed=True, doubt_until=until)
    # Nothing is due to be sent: a receipt may come until the deadline, whichever is first.
    target = State.QUEUED if now < claim.expires_at else State.UNKNOWN
    return _change(
        claim,
        target,
        due_at=due_at,
        in_doubt=True,
        doubt_until=until,
        failed=True,
        code=ending.code,
        detail=ending.detail,
    )


def _again(
    claim: Claim,
    due_at: datetime,
    ending: Rejected | Blocked | Retry | Unavailable | Unknown | NotSent | Absent | Unanswered,
    in_doubt: bool,
    **fields: Any,
) -> Change:
    target = State.QUEUED
    if due_at >= claim.expires_at:
        target = State.UNKNOWN if in_doubt else State.EXPIRED
    return _change(claim, target, due_at=due_at, in_doubt=in_doubt, code=ending.code, detail=ending.detail, **fields)


def _change(claim: Claim, target: State, *, code: str, detail: str, **fields: Any) -> Change:
    data = {"code": code} if code else {}
    return Change(claim.message_id, target, release=claim.release, code=code, detail=detail, data=data, **fields)
