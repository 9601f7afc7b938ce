"""Suppressions in the admin: added and lifted by hand, on the record, and never changed."""

from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.test import Client
from django.urls import reverse

from dispatch.models import Suppression
from sendmsg.accounts.models import Account
from tests.factories import make_suppression

pytestmark = pytest.mark.django_db
TO = "+447700900123"


def page(name: str, *args: Any) -> str:
    return reverse(f"admin:dispatch_suppression_{name}", args=args)


def found(client: Client, **query: Any) -> set[Suppression]:
    answer = client.get(page("changelist"), query)
    assert answer.status_code == 200
    return set(answer.context["cl"].result_list)


def form(account: Account, **fields: Any) -> dict[str, Any]:
    return {"account": str(account.id), "recipient": "+44 7700 900123", "sender": "", "channel": "", **fields}


def test_an_operator_adds_one_and_it_is_on_the_record(admin_client: Client, acme: Account) -> None:
    assert admin_client.post(page("add"), form(acme, sender="Acme", detail="letter of May")).status_code == 302

    row = Suppression.objects.get()
    assert (row.account, row.recipient, row.sender, row.reason) == (acme, TO, "Acme", "operator")
    entry = LogEntry.objects.get()
    assert (entry.is_addition(), entry.object_id, TO in str(entry)) == (True, str(row.id), False)


@pytest.mark.parametrize("fields", [{"recipient": "07700900123"}, {"sender": "!"}, {"account": ""}])
def test_what_makes_no_sense_is_refused(admin_client: Client, acme: Account, fields: dict[str, Any]) -> None:
    assert admin_client.post(page("add"), {**form(acme), **fields}).status_code == 200
    assert Suppression.objects.count() == 0


def test_one_that_is_there_already_is_refused(admin_client: Client, acme: Account) -> None:
    make_suppression(acme, TO)

    assert admin_client.post(page("add"), form(acme)).status_code == 200
    assert Suppression.objects.count() == 1


def test_an_operator_lifts_one_and_it_is_on_the_record(admin_client: Client, acme: Account) -> None:
    row = make_suppression(acme, TO)

    assert admin_client.post(page("delete", row.id), {"post": "yes"}).status_code == 302

    assert Suppression.objects.count() == 0
    assert LogEntry.objects.get().is_deletion()


def test_nobody_changes_one(admin_client: Client, acme: Account) -> None:
    row = make_suppression(acme, TO)

    assert admin_client.post(page("change", row.id), form(acme)).status_code == 403
    text = admin_client.get(page("change", row.id)).text
    assert "+4477****123" in text
    assert TO not in text


def test_they_are_found_by_whole_numbers_reasons_and_accounts(admin_client: Client, acme: Account) -> None:
    first = make_suppression(acme, TO, reason="keyword")
    second = make_suppression(acme, "+447700900124", test=True)

    assert found(admin_client) == {first, second}
    assert found(admin_client, q="+44 7700 900123") == found(admin_client, q=str(first.id)) == {first}
    assert found(admin_client, q="7700") == set()
    assert found(admin_client, reason__exact="keyword") == {first}
    assert found(admin_client, mode="test") == {second}
    assert found(admin_client, account="Acme") == {first, second}
    assert TO not in admin_client.get(page("changelist")).text
