"""From a state that changed to a client's program that knows."""

import pytest

from sendmsg.accounts.models import Account
from tests.faults import FaultServer
from tests.webhooks.callbacks.driving import deliver, make_endpoint, sent_message, verified, work_off
from webhooks.callbacks.models import Callback

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
