"""Messages of one text share a call where the provider takes many; each is settled by its own answer."""

from collections.abc import Iterator

import pytest

from dispatch import sending
from dispatch.models import Message, ProviderReference
from dispatch.states import State
from tests.cast import Member
from tests.dispatch.providers.test_infobip import TestInfobip as Infobip
from tests.dispatch.providers.test_infobip import results
from tests.factories import make_connection, make_message
from tests.faults import FaultServer

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def provider() -> Iterator[FaultServer]:
    sending.close_all(20)
    with FaultServer(Infobip().accept) as server:
        make_connection(name="batches", provider="infobip", base_url=server.url, credentials=dict(Infobip.credentials))
        yield server
        sending.close_all(20)


def released(alice: Member, count: int, body: str) -> list[Message]:
    return [
        make_message(alice.account, state=State.RELEASED, release=1, to=f"+4477009001{number:02}", body=body)
        for number in range(count)
    ]


def deliver(messages: list[Message]) -> None:
    sending.deliver_batch("batches", [(message.id, 1) for message in messages])
    assert sending.wait_settled(20)


def test_those_of_one_text_go_in_one_call_and_another_text_in_another(alice: Member, provider: FaultServer) -> None:
    alike, other = released(alice, 20, "The shop opens at nine."), released(alice, 1, "Your code is 123456.")

    deliver(alike + other)

    sent = sorted(len(Infobip().recipients(request)) for request in provider.requests)
    assert sent == [1, 20]
    assert set(Message.objects.values_list("state", flat=True)) == {State.SENT}
    assert ProviderReference.objects.count() == 21


def test_one_refused_recipient_costs_the_others_nothing(alice: Member, provider: FaultServer) -> None:
    provider.play(results("PENDING_ACCEPTED", "REJECTED_DESTINATION", "PENDING_ACCEPTED"))
    messages = released(alice, 3, "The shop opens at nine.")

    deliver(messages)

    states = sorted(Message.objects.values_list("state", flat=True))
    assert states == [State.FAILED, State.SENT, State.SENT]
