"""From a state that changed to a client's program that knows."""

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from sendmsg.accounts.models import Account
from tests.faults import FaultServer, answer
from tests.webhooks.callbacks.driving import deliver, make_endpoint, pass_time, sent_message, verified, work_off
from webhooks.callbacks import due
from webhooks.callbacks.models import Callback, Endpoint
from webhooks.callbacks.pump import CallbacksPump

pytestmark = pytest.mark.django_db


def test_a_delivered_message_is_told_to_its_accounts_endpoint(acme: Account, receiver: FaultServer) -> None:
    endpoint = make_endpoint(acme, f"{receiver.url}/hook")
    message = sent_message(acme, client_reference="order-7", metadata={"clinic": "Oslo"})
    deliver(message)

    work_off()

    [request] = receiver.requests
    document = verified(request, endpoint.secret)
    assert (request.method, request.path, document["type"]) == ("POST", "/hook", "message.delivered")
    assert document["data"]["id"] == str(message.id)
    assert document["data"]["sequence"] == 1
    assert document["data"]["client_reference"] == "order-7"
    assert document["data"]["metadata"] == {"clinic": "Oslo"}
    assert message.body not in request.body.decode()
    [callback] = Callback.objects.all()
    assert (callback.state, callback.attempts, callback.response_status) == ("delivered", 1, 200)


def test_while_nothing_happens_a_look_is_one_statement(acme: Account, django_assert_num_queries: Any) -> None:
    make_endpoint(acme, "https://client.example/hook")
    pump = CallbacksPump()
    pump.step()  # housekeeping too

    with django_assert_num_queries(1):
        assert pump.step() == 0


def test_what_waits_for_later_or_for_a_paused_endpoint_is_nothing_to_do(acme: Account, receiver: FaultServer) -> None:
    receiver.play(answer(500))
    endpoint = make_endpoint(acme, receiver.url)
    deliver(sent_message(acme))
    work_off()
    assert not due.anything(timezone.now())

    pass_time()
    assert due.anything(timezone.now())

    Endpoint.objects.update(failures=due.TRUSTED, paused_until=timezone.now() + timedelta(minutes=1))
    assert not due.anything(timezone.now())
    assert Callback.objects.get().endpoint == endpoint
