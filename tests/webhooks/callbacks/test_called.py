"""What a call needs of its endpoint: whose secret signs, and that one which nobody can read holds up no other."""

from datetime import timedelta

import pytest
from django.db import connection
from django.utils import timezone

from sendmsg.accounts.models import Account
from tests.webhooks.callbacks.driving import make_endpoint
from webhooks.callbacks import called, endpoints, signing
from webhooks.callbacks.models import Endpoint, MessageSecret
from webhooks.callbacks.vocabulary import Compression, EndpointKind

pytestmark = pytest.mark.django_db
URL = "https://client.example/"


def named_by_messages(account: Account, test: bool = False) -> Endpoint:
    """An endpoint that came with a message's `callback_url`."""
    signer = Endpoint(account=account, test=test, kind=EndpointKind.MESSAGES, url="https://named.example:443")
    signing.start(signer)
    signer.save()
    return signer


def test_an_endpoint_is_called_as_it_was_declared(acme: Account) -> None:
    endpoint = make_endpoint(acme, URL)
    Endpoint.objects.filter(id=endpoint.id).update(compression=Compression.GZIP)
    endpoint.refresh_from_db()

    found = called.find([endpoint.id], timezone.now())

    assert found == {endpoint.id: called.Called(URL, True, (endpoint.secret,))}


def test_while_a_secret_is_rotated_both_sign(acme: Account) -> None:
    endpoint, now = make_endpoint(acme, URL), timezone.now()
    old = Endpoint.objects.get().secret
    new = signing.rotate(endpoint, now)
    endpoint.save()

    assert called.find([endpoint.id], now)[endpoint.id].keys == (new, old)
    assert called.find([endpoint.id], now + timedelta(days=2))[endpoint.id].keys == (new,)


def test_endpoints_of_messages_share_one_secret_of_their_account_and_mode(acme: Account) -> None:
    live, test, now = named_by_messages(acme), named_by_messages(acme, test=True), timezone.now()

    first = called.find([live.id, test.id], now)
    again = called.find([live.id, test.id], now)

    assert first == again
    assert first[live.id].keys == (MessageSecret.objects.get(test=False).secret,)
    assert first[test.id].keys == (MessageSecret.objects.get(test=True).secret,)
    assert len({*first[live.id].keys, *first[test.id].keys, live.secret, test.secret}) == 4


def test_a_rotated_secret_of_messages_signs_at_once(acme: Account) -> None:
    endpoint, now = named_by_messages(acme), timezone.now()
    before = called.find([endpoint.id], now)[endpoint.id].keys

    new = endpoints.rotate_message_secret(acme.id, False, now)

    assert called.find([endpoint.id], now)[endpoint.id].keys == (new, *before)


def test_a_secret_that_no_key_can_read_holds_up_no_other(acme: Account, caplog: pytest.LogCaptureFixture) -> None:
    good, bad = make_endpoint(acme, URL), make_endpoint(acme, f"{URL}2")
    with connection.cursor() as cursor:
        cursor.execute("UPDATE webhooks_endpoint SET secret = 'gAAAA' WHERE id = %s", [bad.id])

    found = called.find([good.id, bad.id], timezone.now())

    assert (bool(found[good.id].keys), found[bad.id].keys) == (True, ())
    assert f"callback secret unreadable endpoint_id={bad.id}" in caplog.text


def test_no_address_or_secret_is_shown_by_accident(acme: Account) -> None:
    endpoint = make_endpoint(acme, f"{URL}a-secret-in-a-path")

    shown = repr(called.find([endpoint.id], timezone.now()))

    assert "a-secret-in-a-path" not in shown
    assert signing.PREFIX not in shown
