"""Connections in the admin: credentials go in and never come out, and what is saved works."""

from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.db import connection as database
from django.test import Client
from django.urls import reverse

from dispatch.models import Connection
from dispatch.states import State
from sendmsg.accounts.models import Account
from tests.factories import make_connection, make_message, make_reference

pytestmark = pytest.mark.django_db
ADD = "admin:dispatch_connection_add"
LIST = "admin:dispatch_connection_changelist"
SECRETS = {"api_key": "very-secret", "webhook_secrets": ["also-secret"]}
FORM = {
    "name": "line",
    "provider": "sendmsg",
    "base_url": "https://sms.example",
    "new_credentials": '{"api_key": "very-secret", "webhook_secrets": ["also-secret"]}',
    "enabled": "on",
    "weight": "100",
    "concurrency": "16",
    "unknown_policy": "auto",
    "unknown_wait": "900",
    "unknown_then": "operator",
}


def page_of(row: Connection, view: str = "change") -> str:
    return reverse(f"admin:dispatch_connection_{view}", args=[row.id])


def post(client: Client, url: str, **changes: str) -> Any:
    return client.post(url, {**FORM, **changes})


def errors(answer: Any) -> dict[str, list[str]]:
    assert answer.status_code == 200
    return dict(answer.context["adminform"].form.errors)


def test_a_new_connection_is_stored_with_its_credentials(admin_client: Client) -> None:
    assert post(admin_client, reverse(ADD)).status_code == 302

    row = Connection.objects.get()
    assert (row.name, row.provider, row.base_url, row.credentials) == ("line", "sendmsg", FORM["base_url"], SECRETS)


def test_credentials_are_in_no_page(admin_client: Client) -> None:
    post(admin_client, reverse(ADD))
    row = Connection.objects.get()
    refused = post(admin_client, page_of(row), weight="heavy").text

    pages = [admin_client.get(url).text for url in (page_of(row), page_of(row, "history"), reverse(LIST))]

    for page in [refused, *pages]:
        assert "secret" not in page.replace("webhook_secrets", "")
    assert "api_key, webhook_secrets" in pages[0]


def test_an_empty_field_keeps_the_credentials(admin_client: Client) -> None:
    row = make_connection("line", credentials=SECRETS)

    assert post(admin_client, page_of(row), new_credentials="", weight="7").status_code == 302

    row.refresh_from_db()
    assert (row.credentials, row.weight) == (SECRETS, 7)
    assert "credentials" not in LogEntry.objects.get().change_message.lower()


def test_new_credentials_replace_the_old(admin_client: Client) -> None:
    row = make_connection("line", credentials=SECRETS)

    assert post(admin_client, page_of(row), new_credentials='{"api_key": "newer"}').status_code == 302

    row.refresh_from_db()
    assert row.credentials == {"api_key": "newer"}
    assert "credentials" in LogEntry.objects.get().change_message.lower()


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"new_credentials": '{"webhook_secrets": []}'}, "new_credentials"),
        ({"new_credentials": '{"api_key": "line\\nbreak"}'}, "new_credentials"),
        ({"new_credentials": '["very-secret"]'}, "new_credentials"),
        ({"new_credentials": "very-secret"}, "new_credentials"),
        ({"new_credentials": ""}, "new_credentials"),
        ({"new_credentials": "{}"}, "new_credentials"),
        ({"provider": "unheard-of"}, "provider"),
        ({"base_url": "ftp://sms.example"}, "base_url"),
        ({"base_url": ""}, "base_url"),
        ({"name": "Line 1"}, "name"),
        ({"name": "taken"}, "name"),
        ({"concurrency": "0"}, "concurrency"),
    ],
)
def test_what_can_not_work_is_refused_at_its_field(admin_client: Client, changes: dict[str, str], field: str) -> None:
    make_connection("taken")

    answer = post(admin_client, reverse(ADD), **changes)

    assert list(errors(answer)) == [field]
    assert "very-secret" not in answer.text
    assert Connection.objects.count() == 1


def test_stored_credentials_are_checked_too(admin_client: Client) -> None:
    row = make_connection("line", credentials={"webhook_secrets": []})

    answer = post(admin_client, page_of(row), new_credentials="")

    assert errors(answer) == {"new_credentials": ["Connection line: the credential 'api_key' is missing or malformed."]}


def test_credentials_that_can_not_be_read_can_be_entered_anew(admin_client: Client) -> None:
    row = make_connection("line")
    with database.cursor() as cursor:
        cursor.execute("UPDATE dispatch_connection SET credentials = 'of another key'")

    assert admin_client.get(reverse(LIST)).status_code == 200
    assert "enter them anew" in admin_client.get(page_of(row)).text
    assert list(errors(post(admin_client, page_of(row), new_credentials=""))) == ["new_credentials"]
    assert post(admin_client, page_of(row)).status_code == 302
    assert Connection.objects.get().credentials == SECRETS


def test_the_webhook_url_is_shown(admin_client: Client, settings: Any) -> None:
    settings.PUBLIC_URL = "https://sms.example"

    page = admin_client.get(page_of(make_connection("line"))).text

    assert "https://sms.example/webhooks/sendmsg/line<" in page


def test_name_and_provider_stay(admin_client: Client) -> None:
    row = make_connection("line")

    post(admin_client, page_of(row), name="other", provider="unheard-of", weight="7")

    row.refresh_from_db()
    assert (row.name, row.provider, row.weight) == ("line", "sendmsg", 7)


@pytest.mark.parametrize("state", [State.QUEUED, State.RELEASED, State.SENT])
def test_a_connection_that_was_used_can_not_be_deleted(admin_client: Client, acme: Account, state: State) -> None:
    row = make_connection()
    message = make_message(acme, state, connection=row)
    if state is State.SENT:
        make_reference(message)

    assert "deletelink" not in admin_client.get(page_of(row)).text
    assert admin_client.post(page_of(row, "delete"), {"post": "yes"}).status_code == 403
    assert Connection.objects.exists()


def test_one_that_was_not_can(admin_client: Client) -> None:
    row = make_connection()

    assert "deletelink" in admin_client.get(page_of(row)).text
    assert admin_client.post(page_of(row, "delete"), {"post": "yes"}).status_code == 302
    assert not Connection.objects.exists()
