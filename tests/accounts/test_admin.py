"""Accounts and API keys in the admin."""

import re
from datetime import timedelta

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Permission, User
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from sendmsg.accounts.keys import parse
from sendmsg.accounts.models import Account, ApiKey
from tests.cast import Member

ADD = "admin:accounts_apikey_add"
LIST = "admin:accounts_apikey_changelist"


def form(account: Account, **changes: object) -> dict[str, object]:
    return {"account": account.pk, "name": "billing", "mode": "live", "scopes": ["messages:read"], **changes}


def change_url(key: ApiKey) -> str:
    return reverse("admin:accounts_apikey_change", args=[key.pk])


def test_a_new_key_is_shown_once_and_only_on_that_page(admin_client: Client, acme: Account) -> None:
    response = admin_client.post(reverse(ADD), form(acme))

    found = re.search(r"smk_live_[0-9A-Za-z]{36}", response.text)
    assert found
    key = parse(found[0])
    assert key is not None
    row = ApiKey.objects.get(digest=key.digest)
    assert row.scopes == ["messages:read"]
    assert "no-store" in response["Cache-Control"]
    assert key.text not in str(response.cookies)
    for url in (reverse(LIST), change_url(row), reverse("admin:index")):
        page = admin_client.get(url)
        assert page.status_code == 200
        assert key.text not in page.text
        assert key.digest not in page.text


@pytest.mark.parametrize("changes", [{"scopes": []}, {"scopes": ["everything"]}, {"mode": "x"}])
def test_a_key_without_sense_is_refused(admin_client: Client, acme: Account, changes: dict[str, object]) -> None:
    admin_client.post(reverse(ADD), form(acme, **changes))

    assert not ApiKey.objects.exists()


def test_a_key_that_is_born_expired_is_refused(admin_client: Client, acme: Account) -> None:
    past = timezone.now() - timedelta(minutes=1)
    fields = {"expires_at_0": past.date().isoformat(), "expires_at_1": past.time().isoformat("seconds")}

    response = admin_client.post(reverse(ADD), form(acme, **fields))

    assert "This moment has passed already." in response.text
    assert not ApiKey.objects.exists()


def test_an_existing_key_can_be_neither_changed_nor_deleted(admin_client: Client, alice: Member) -> None:
    key = ApiKey.objects.filter(mode="live").get()

    assert "billing" not in admin_client.get(change_url(key)).text
    assert admin_client.post(change_url(key), form(key.account)).status_code == 403
    assert admin_client.post(reverse("admin:accounts_apikey_delete", args=[key.pk])).status_code == 403


def test_a_revocation_is_done_once_and_leaves_a_trace(admin_client: Client, alice: Member) -> None:
    keys = list(ApiKey.objects.all())
    action = {"action": "revoke", "_selected_action": [key.pk for key in keys]}

    admin_client.post(reverse(LIST), action)
    revoked_at = {key.pk: key.revoked_at for key in ApiKey.objects.all()}
    admin_client.post(reverse(LIST), action)

    assert None not in revoked_at.values()
    assert {key.pk: key.revoked_at for key in ApiKey.objects.all()} == revoked_at
    assert LogEntry.objects.count() == len(keys)


def test_who_may_only_look_may_not_revoke(client: Client, alice: Member) -> None:
    user = User.objects.create_user("auditor", password="x", is_staff=True)
    user.user_permissions.add(Permission.objects.get(codename="view_apikey"))
    client.force_login(user)
    keys = [key.pk for key in ApiKey.objects.all()]

    assert client.get(reverse(LIST)).status_code == 200
    client.post(reverse(LIST), {"action": "revoke", "_selected_action": keys})

    assert not ApiKey.objects.exclude(revoked_at=None).exists()


def test_an_account_may_have_days_of_its_own_and_none_is_no_number_of_days(admin_client: Client, acme: Account) -> None:
    url = reverse("admin:accounts_account_change", args=[acme.pk])
    days = {"body_days": 1, "message_days": 2, "timeline_days": 3, "archive_days": 4}

    refused = admin_client.post(url, {"name": acme.name, **days, "timeline_days": 0})
    assert "greater than or equal to 1" in refused.text
    assert admin_client.post(url, {"name": acme.name, **days}).status_code == 302

    acme.refresh_from_db()
    assert {name: getattr(acme, name) for name in days} == days


def test_an_account_with_keys_can_not_be_deleted(admin_client: Client, alice: Member) -> None:
    admin_client.post(reverse("admin:accounts_account_delete", args=[alice.account.pk]), {"post": "yes"})

    assert Account.objects.filter(pk=alice.account.pk).exists()
