"""An endpoint that says so gets what it is told compressed, and verifies what comes out."""

import gzip

import pytest
from django.test import Client
from standardwebhooks import Webhook

from sendmsg.accounts.models import Account
from tests.cast import Member
from tests.faults import FaultServer, answer
from tests.webhooks.callbacks.driving import deliver, make_endpoint, pass_time, sent_message, verified, work_off
from tests.webhooks.callbacks.test_api import create, patch, post
from webhooks.callbacks.models import Callback, Endpoint

pytestmark = pytest.mark.django_db


@pytest.fixture
def endpoint(acme: Account, receiver: FaultServer) -> Endpoint:
    made = make_endpoint(acme, f"{receiver.url}/hook")
    Endpoint.objects.filter(id=made.id).update(compression="gzip")
    return made


def test_it_comes_by_gzip_and_is_signed_as_it_was(acme: Account, receiver: FaultServer, endpoint: Endpoint) -> None:
    message = sent_message(acme)
    deliver(message)

    work_off()

    [request] = receiver.requests
    assert request.headers["content-encoding"] == "gzip"
    assert int(request.headers["content-length"]) == len(request.body)
    document = Webhook(endpoint.secret).verify(gzip.decompress(request.body), dict(request.headers))
    assert document["data"]["id"] == str(message.id)


def test_every_try_sends_the_same_bytes(acme: Account, receiver: FaultServer, endpoint: Endpoint) -> None:
    receiver.play(answer(500))
    deliver(sent_message(acme))
    pump = work_off()
    pass_time()
    work_off(pump)

    first, second = (request.body for request in receiver.requests)
    assert first == second


def test_what_would_grow_comes_as_it_is(acme: Account, receiver: FaultServer, endpoint: Endpoint) -> None:
    receiver.play(answer(500))
    deliver(sent_message(acme))
    pump = work_off()
    Callback.objects.update(body="{}")
    pass_time()
    work_off(pump)

    request = receiver.requests[-1]
    assert (request.body, request.headers.get("content-encoding")) == (b"{}", None)


def test_a_client_that_takes_it_back_gets_what_waits_as_it_is(
    client: Client, alice: Member, receiver: FaultServer
) -> None:
    made = create(client, alice, receiver.url, compression="gzip")
    receiver.play(answer(415))
    deliver(sent_message(alice.account))
    pump = work_off()

    changed = patch(client, f"/{made['id']}", alice, {"compression": "none"})
    pass_time()
    work_off(pump)

    assert changed.json()["compression"] == "none"
    assert verified(receiver.requests[-1], made["secret"])["type"] == "message.delivered"
    assert "content-encoding" not in receiver.requests[-1].headers


def test_it_has_two_words(client: Client, alice: Member, receiver: FaultServer) -> None:
    refused = post(client, "", alice, {"url": receiver.url, "compression": "br"})

    assert refused.status_code == 400
    assert [error["pointer"] for error in refused.json()["errors"]] == ["/compression"]
