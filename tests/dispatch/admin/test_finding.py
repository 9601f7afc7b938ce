"""The one box: anything is found by its whole name, by whoever may look at it."""

from typing import Any

import pytest
from django.contrib.auth.models import Permission, User
from django.test import Client
from django.urls import reverse

from dispatch.admin import finding
from dispatch.models import Broadcast
from dispatch.states import State
from sendmsg.accounts.models import Account
from tests.factories import (
    make_connection,
    make_inbound,
    make_letter,
    make_message,
    make_receipt,
    make_reference,
    make_suppression,
)

pytestmark = pytest.mark.django_db(databases=["default", "logs"])
SEARCH = "operations:search"
NUMBER = "+447700900123"


def search(client: Client, term: str) -> Any:
    return client.get(reverse(SEARCH), {"q": term})


def titles(client: Client, term: str) -> list[str]:
    return [group["title"] for group in search(client, term).context["groups"]]


@pytest.mark.parametrize("term", ["{0.id}", "{0.to}", "+44 7700 900123", "447700900123", " {0.client_reference} "])
def test_one_thing_alone_is_shown_at_once(admin_client: Client, acme: Account, term: str) -> None:
    message = make_message(acme, to=NUMBER, client_reference="order 66")
    make_message(acme)

    answer = search(admin_client, term.format(message))

    assert (answer.status_code, answer.headers["Location"]) == (
        302,
        reverse("admin:dispatch_message_change", args=[message.id]),
    )


def test_a_providers_id_finds_its_message(admin_client: Client, acme: Account) -> None:
    message = make_message(acme, State.SENT)
    make_reference(message, "SM4711")

    assert str(message.id) in search(admin_client, "SM4711").headers["Location"]


def test_a_number_finds_all_that_belongs_to_it(admin_client: Client, acme: Account) -> None:
    make_message(acme, to=NUMBER)
    make_message(acme, to=NUMBER)
    make_suppression(acme, NUMBER)
    make_inbound(make_connection(), acme, sender=NUMBER)

    answer = search(admin_client, NUMBER)

    assert [group["title"] for group in answer.context["groups"]] == ["Messages", "Suppressions", "From people"]
    assert NUMBER not in answer.text.replace(f'value="{NUMBER}"', "")


def test_an_id_finds_a_letter_a_broadcast_and_a_receipt_that_waits(admin_client: Client, acme: Account) -> None:
    message = make_message(acme, State.FAILED)
    letter = make_letter(message)
    broadcast = Broadcast.objects.create(
        account=acme, channel="sms", body="x", expires_at=message.expires_at, created_at=message.created_at
    )
    receipt = make_receipt(make_connection(), "SM4712", "delivered")

    for term, row in ((letter.id, letter), (broadcast.id, broadcast), ("SM4712", receipt)):
        assert f"/{row.pk}/" in search(admin_client, str(term)).headers["Location"]


@pytest.mark.parametrize(
    "term", ["+4477009001", "order", "%", "\0", "x" * 5000, "00000000-0000-0000-0000-000000000000"]
)
def test_parts_of_names_and_nonsense_find_nothing(admin_client: Client, acme: Account, term: str) -> None:
    make_message(acme, to=NUMBER, client_reference="order 66")

    answer = search(admin_client, term)

    assert answer.status_code == 200
    assert answer.context["groups"] == []


def test_an_empty_box_says_what_it_takes(admin_client: Client) -> None:
    assert "By a whole number" in search(admin_client, "").text


def test_of_a_great_many_the_newest_are_shown(
    admin_client: Client, acme: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(finding, "MOST", 2)
    made = [make_message(acme, to=NUMBER) for _ in range(3)]

    answer = search(admin_client, NUMBER)

    [group] = answer.context["groups"]
    assert [url.split("/")[-3] for url, _ in group["rows"]] == [str(made[2].id), str(made[1].id)]
    assert "there are more" in answer.text


def test_nobody_is_told_of_what_they_may_not_see(client: Client, acme: Account) -> None:
    user = User.objects.create_user("auditor", is_staff=True)
    user.user_permissions.add(Permission.objects.get(codename="view_suppression"))
    client.force_login(user)
    make_message(acme, to=NUMBER)
    make_suppression(acme, NUMBER)
    make_suppression(Account.objects.create(name="Globex"), NUMBER)

    assert titles(client, NUMBER) == ["Suppressions"]
