"""What each answer of a provider does to the message."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from pytest_django.fixtures import Settings

from dispatch.providers.base import Accepted, Rejected, Retry, Unavailable, Unknown
from dispatch.states import EDGES, State
from dispatch.verdicts import Absent, Blocked, Claim, Doubt, Ending, NotSent, Rival, Unanswered, decide, outcome_of
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
        (CLAIM, Blocked("opted_out", ""), State.FAILED, None),
        (replace(CLAIM, in_doubt=True), Blocked("opted_out", ""), State.UNKNOWN, None),
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
        Blocked("a", ""),
        Absent(),
        Unanswered(),
    ]

    assert {outcome_of(ending) for ending in endings} == set(AttemptOutcome)


OTHERS = [Rival(-1, "sms"), Rival(-2, "sms"), Rival(7, "whatsapp")]


@pytest.mark.parametrize(
    ("code", "channel", "ruled_out"),
    [
        ("unroutable", "sms", [-1]),  # about this provider: any other may take it
        ("invalid_sender", "sms", [-1]),
        ("invalid_recipient", "sms", [-2, -1]),  # about the message: only another channel may
        ("content_rejected", "sms", [-2, -1]),
        ("window_closed", "sms", [-1]),  # about this number of ours: another number has a window of its own
        ("opted_out", "sms", None),  # about the person: nothing may
    ],
)
def test_a_refusal_rules_out_what_it_is_about(code: str, channel: str, ruled_out: list[int] | None) -> None:
    change = decide(replace(CLAIM, rivals=OTHERS, channel=channel), Rejected(code, ""), NOW)

    if ruled_out is None:
        assert change.target is State.FAILED
    else:
        assert (change.target, change.due_at, change.in_doubt) == (State.QUEUED, NOW, False)
        assert sorted(change.refused) == sorted(ruled_out)


def test_a_refusal_is_final_where_nothing_else_could_take_the_message() -> None:
    for code in ("unroutable", "invalid_recipient", "opted_out"):
        assert decide(CLAIM, Rejected(code, ""), NOW).target is State.FAILED


def test_a_refused_message_that_may_have_been_sent_before_goes_nowhere_else() -> None:
    doubtful = replace(CLAIM, rivals=OTHERS, in_doubt=True)

    assert decide(doubtful, Rejected("unroutable", ""), NOW).target is State.FAILED


def test_a_provider_that_has_no_network_for_it_refuses_it_and_is_not_asked_again() -> None:
    change = decide(replace(CLAIM, rivals=OTHERS), Unavailable("unroutable", "", None), NOW)

    assert (change.target, list(change.refused)) == (State.QUEUED, [-1])


def test_failures_make_waits_grow_and_turns_do_not() -> None:
    assert decide(CLAIM, Retry("throttled", "", None), NOW).failed
    assert decide(CLAIM, Unavailable("refused", "", None), NOW).failed
    assert not decide(CLAIM, NotSent("paced", after=3.0), NOW).failed


def test_what_failed_is_avoided_and_what_waits_for_its_turn_is_not() -> None:
    assert decide(CLAIM, Unavailable("refused", "", None), NOW).avoid
    assert decide(CLAIM, NotSent("breaker_open", avoid=True), NOW).avoid
    assert not decide(CLAIM, NotSent("paced", after=3.0), NOW).avoid
    assert decide(CLAIM, NotSent("paced", after=3.0), NOW).due_at == NOW + timedelta(seconds=3)


def test_a_doubt_waits_as_its_policy_says(settings: Settings) -> None:
    settings.ASK_AFTER = 60.0
    wait, ask = (decide(claim, Unknown("timeout", ""), NOW) for claim in (BLIND, ASKING))

    assert wait.due_at == wait.doubt_until == NOW + timedelta(seconds=900)
    assert ask.doubt_until == NOW + timedelta(seconds=900)
    assert ask.due_at is not None
    assert timedelta(seconds=60) <= ask.due_at - NOW < timedelta(seconds=70)


def test_a_provider_that_does_not_have_it_ends_the_doubt() -> None:
    change = decide(replace(ASKING, in_doubt=True), Absent(), NOW)

    assert (change.in_doubt, change.avoid, change.due_at) == (False, True, NOW)
