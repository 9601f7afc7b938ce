"""What each answer of a provider does to the message."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

from dispatch.providers.base import Accepted, Rejected, Retry, Unavailable, Unknown
from dispatch.states import EDGES, State
from dispatch.verdicts import Absent, Claim, Doubt, Ending, NotSent, Rival, Unanswered, decide, outcome_of
from dispatch.vocabulary import AttemptOutcome, UnknownPolicy

NOW = datetime(2026, 1, 1, tzinfo=UTC)
CLAIM = Claim(
    message_id=UUID(int=7),
    release=3,
    attempt=1,
    connection_id=1,
    failures=0,
    option=-1,
    channel="sms",
    rivals=[Rival(-1, "sms")],
    doubt=Doubt(UnknownPolicy.RESEND, 3600.0),
    in_doubt=False,
    expires_at=NOW + timedelta(hours=1),
)
BLIND = replace(CLAIM, doubt=Doubt(UnknownPolicy.WAIT, 900.0))
ASKING = replace(CLAIM, doubt=Doubt(UnknownPolicy.ASK, 900.0))
LATE = replace(CLAIM, expires_at=NOW)


@pytest.mark.parametrize(
    ("claim", "ending", "state", "in_doubt"),
    [
        (CLAIM, Accepted(("id",)), State.SENT, False),
        (CLAIM, Rejected("unroutable", ""), State.FAILED, None),
        (CLAIM, Retry("throttled", "", 5), State.QUEUED, False),
        (CLAIM, Unavailable("refused", "", None), State.QUEUED, False),
        (CLAIM, NotSent(), State.QUEUED, False),
        (CLAIM, Unknown("timeout", ""), State.QUEUED, True),
        (BLIND, Unknown("timeout", ""), State.QUEUED, True),
        (ASKING, Unknown("timeout", ""), State.QUEUED, True),
        (replace(ASKING, in_doubt=True), Absent(), State.QUEUED, False),
        (replace(ASKING, in_doubt=True), Unanswered(), State.QUEUED, True),
        (replace(ASKING, in_doubt=True, expires_at=NOW), Unanswered(), State.UNKNOWN, True),
        (replace(BLIND, expires_at=NOW), Unknown("timeout", ""), State.UNKNOWN, True),
        (BLIND, Unavailable("refused", "", None), State.QUEUED, False),
        (LATE, Accepted(("id",)), State.SENT, False),
        (LATE, Retry("throttled", "", None), State.EXPIRED, False),
        (LATE, NotSent(), State.EXPIRED, False),
        (LATE, Unknown("timeout", ""), State.UNKNOWN, True),
        (replace(CLAIM, in_doubt=True), Unavailable("refused", "", None), State.QUEUED, True),
        (replace(LATE, in_doubt=True), Unavailable("refused", "", None), State.UNKNOWN, True),
    ],
)
def test_the_message_goes_where_the_answer_sends_it(
    claim: Claim, ending: Ending, state: State, in_doubt: bool | None
) -> None:
    change = decide(claim, ending, NOW)

    assert (change.target, change.in_doubt) == (state, in_doubt)
    assert (change.message_id, change.release) == (claim.message_id, claim.release)
    assert (State.SENDING, change.target) in EDGES


def test_a_retry_waits_at_least_as_long_as_the_provider_asked() -> None:
    change = decide(CLAIM, Retry("throttled", "", 30), NOW)

    assert change.due_at is not None
    assert change.due_at >= NOW + timedelta(seconds=30)


def test_a_retry_that_would_be_due_after_the_deadline_ends_now() -> None:
    soon = replace(CLAIM, expires_at=NOW + timedelta(seconds=29))

    assert decide(soon, Retry("throttled", "", 30), NOW).target is State.EXPIRED


def test_a_doubt_says_until_when_a_repeat_is_recognised() -> None:
    assert decide(CLAIM, Unknown("timeout", ""), NOW).doubt_until == NOW + timedelta(hours=1)
    assert decide(CLAIM, Retry("throttled", "", 30), NOW).doubt_until is None


def test_what_was_not_sent_is_due_at_once() -> None:
    assert decide(CLAIM, NotSent(), NOW).due_at == NOW


def test_acceptance_clears_the_error_of_earlier_tries() -> None:
    assert (decide(CLAIM, Accepted(("id",)), NOW).code, decide(CLAIM, Accepted(("id",)), NOW).detail) == ("", "")


def test_every_ending_has_an_outcome_of_its_own() -> None:
    endings: list[Ending] = [
        Accepted(("id",)),
        Rejected("a", ""),
        Retry("a", "", None),
        Unavailable("a", "", None),
        Unknown("a", ""),
        NotSent(),
        Absent(),
        Unanswered(),
    ]

    assert {outcome_of(ending) for ending in endings} == set(AttemptOutcome)
