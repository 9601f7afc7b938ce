"""Claim before the call, settle after it: one worker holds a message, and what it learned is never lost."""

from datetime import timedelta

import pytest
from django.utils import timezone

from dispatch import attempts, directory
from dispatch.attempts import Settlement
from dispatch.claims import Held
from dispatch.models import Attempt, Message, ProviderReference
from dispatch.providers.base import Accepted, Rejected, Unknown
from dispatch.states import State
from tests.cast import Member
from tests.factories import make_connection, make_message

pytestmark = pytest.mark.django_db


@pytest.fixture
def entry(db: None) -> directory.Entry:
    make_connection(name="sendmsg")
    directory.forget()
    return directory.entries()["sendmsg"]


def claim(entry: directory.Entry, *messages: Message, release: int = 1) -> list[Held]:
    references = [(message.id, release) for message in messages]
    return attempts.claim(references, entry)


def waiting(alice: Member, **fields: object) -> Message:
    return make_message(alice.account, state=State.RELEASED, release=1, **fields)


def test_a_claim_writes_the_attempt_and_takes_a_lease(alice: Member, entry: directory.Entry) -> None:
    message = waiting(alice)

    [held] = claim(entry, message)

    message.refresh_from_db()
    attempt = Attempt.objects.get()
    assert (message.state, message.tries, held.claim.attempt) == (State.SENDING, 1, 1)
    assert (attempt.message_id, attempt.number, attempt.outcome) == (message.id, 1, "")
    assert message.lease_until is not None
    assert message.lease_until > timezone.now()
    assert (held.outbound.to, held.outbound.body) == (message.to, message.body)


def test_a_task_that_comes_twice_claims_once(alice: Member, entry: directory.Entry) -> None:
    message = waiting(alice)

    assert (len(claim(entry, message)), len(claim(entry, message))) == (1, 0)
    assert Attempt.objects.count() == 1


def test_a_task_of_an_earlier_release_claims_nothing(alice: Member, entry: directory.Entry) -> None:
    message = make_message(alice.account, state=State.RELEASED, release=2)

    assert claim(entry, message, release=1) == []


@pytest.mark.parametrize("state", sorted(set(State) - {State.RELEASED}))
def test_a_message_that_is_not_released_is_not_claimed(alice: Member, entry: directory.Entry, state: State) -> None:
    assert claim(entry, make_message(alice.account, state=state, release=1)) == []


def test_settling_a_batch_records_each_ending(alice: Member, entry: directory.Entry) -> None:
    taken, refused, lost = (waiting(alice) for _ in range(3))
    held = {item.claim.message_id: item.claim for item in claim(entry, taken, refused, lost)}
    now = timezone.now()

    attempts.settle(
        [
            Settlement(held[taken.id], Accepted(("snd_1", "snd_2")), now),
            Settlement(held[refused.id], Rejected("unroutable", "x" * 1000), now),
            Settlement(held[lost.id], Unknown("timeout", ""), now),
        ]
    )

    states = dict(Message.objects.values_list("id", "state"))
    outcomes = dict(Attempt.objects.values_list("message_id", "outcome"))
    assert states == {taken.id: "sent", refused.id: "failed", lost.id: "queued"}
    assert outcomes == {taken.id: "accepted", refused.id: "rejected", lost.id: "unknown"}
    assert set(ProviderReference.objects.values_list("value", "message_id")) == {
        ("snd_1", taken.id),
        ("snd_2", taken.id),
    }


def test_an_acceptance_that_comes_after_the_lease_ends_the_doubt(alice: Member, entry: directory.Entry) -> None:
    message = waiting(alice)
    [held] = claim(entry, message)
    Message.objects.update(state=State.QUEUED, in_doubt=True)
    Attempt.objects.update(outcome="unknown")

    attempts.settle([Settlement(held.claim, Accepted(("snd_1",)), timezone.now())])

    message.refresh_from_db()
    assert (message.state, message.in_doubt) == (State.SENT, False)
    assert Attempt.objects.get().outcome == "accepted"
    assert ProviderReference.objects.get().message_id == message.id


def test_an_id_that_the_provider_gave_twice_stays_with_the_first_message(alice: Member, entry: directory.Entry) -> None:
    first, second = waiting(alice), waiting(alice)
    held = {item.claim.message_id: item.claim for item in claim(entry, first, second)}

    for message in (first, second):
        attempts.settle([Settlement(held[message.id], Accepted(("same",)), timezone.now())])

    assert ProviderReference.objects.get().message_id == first.id
    assert set(Message.objects.values_list("state", flat=True)) == {"sent"}


def test_renewing_extends_the_leases_that_are_still_held(alice: Member, entry: directory.Entry) -> None:
    ours, lost = waiting(alice), waiting(alice)
    claims = [item.claim for item in claim(entry, ours, lost)]
    Message.objects.filter(id=lost.id).update(state=State.QUEUED)
    Message.objects.filter(id=ours.id).update(lease_until=timezone.now() + timedelta(seconds=1))

    assert attempts.renew(claims) == {ours.id}

    ours.refresh_from_db()
    assert ours.lease_until is not None
    assert ours.lease_until > timezone.now() + timedelta(seconds=10)
