"""What a provider's answer means for the message: a pure function from outcome to wanted change.

    accepted      sent
    rejected      failed, for good
    retry         queued again, not before the provider asked
    unavailable   queued again
    unknown       queued again where the provider recognises our id; else unknown, to be resolved by evidence
    not sent      queued again, at once

Whatever would be due after the message's deadline ends instead: expired, or unknown if an attempt is in doubt.
"""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from dispatch import backoff
from dispatch.providers.base import Accepted, Outcome, Rejected, Retry, Unavailable, Unknown
from dispatch.states import State
from dispatch.transitions import Change
from dispatch.vocabulary import AttemptOutcome


@dataclass(frozen=True, slots=True)
class NotSent:
    """We gave up before the call: the lease was about to end, the connection was paused, or the worker is stopping."""

    code: str = "not_sent"
    detail: str = ""


Ending = Outcome | NotSent


@dataclass(frozen=True, slots=True)
class Claim:
    """A message that one worker holds: the row's facts, and the attempt it wrote.

    `remembers_for`: seconds in which the provider recognises a repeat of the message; 0 if it never does.
    """

    message_id: UUID
    release: int
    attempt: int
    connection_id: int
    remembers_for: float
    in_doubt: bool
    expires_at: datetime


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


def decide(claim: Claim, ending: Ending, now: datetime) -> Change:
    """The change that follows from `ending`."""
    match ending:
        case Accepted():
            return _change(claim, State.SENT, in_doubt=False, code="", detail="")
        case Rejected():
            return _change(claim, State.FAILED, code=ending.code, detail=ending.detail)
        case Retry() | Unavailable():
            return _again(claim, now + backoff.delay(claim.attempt, ending.after), ending, claim.in_doubt)
        case NotSent():
            return _again(claim, now, ending, claim.in_doubt)
        case Unknown() if claim.remembers_for:
            change = _again(claim, now + backoff.delay(claim.attempt), ending, in_doubt=True)
            return replace(change, repeat_until=now + timedelta(seconds=claim.remembers_for))
        case Unknown():
            return _change(claim, State.UNKNOWN, in_doubt=True, code=ending.code, detail=ending.detail)


def _again(claim: Claim, due_at: datetime, ending: Retry | Unavailable | Unknown | NotSent, in_doubt: bool) -> Change:
    if due_at < claim.expires_at:
        return _change(claim, State.QUEUED, due_at=due_at, in_doubt=in_doubt, code=ending.code, detail=ending.detail)
    target = State.UNKNOWN if in_doubt else State.EXPIRED
    return _change(claim, target, in_doubt=in_doubt, code=ending.code, detail=ending.detail)


def _change(claim: Claim, target: State, *, code: str, detail: str, **fields: Any) -> Change:
    data = {"code": code} if code else {}
    return Change(claim.message_id, target, release=claim.release, code=code, detail=detail, data=data, **fields)
