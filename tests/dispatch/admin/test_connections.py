"""Connections in the admin: credentials go in and never come out, and what is saved works."""

from collections.abc import Iterable
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.db import connection as database
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from dispatch import breaker, history
from dispatch.admin import health
from dispatch.breaker import Health, Observed
from dispatch.models import Connection, ConnectionEvent
from dispatch.states import State
from sendmsg.accounts.models import Account
from tests.factories import make_connection, make_message, make_reference, make_route
from tests.outages import redis_away

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
    "receipt_wait": "3600",
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


def test_a_change_is_written_down_with_what_was_before(admin_client: Client) -> None:
    row = make_connection("line", weight=100)

    post(admin_client, page_of(row), weight="7", rate="2.5", new_credentials='{"api_key": "newer"}')

    changes = "Base URL: http://127.0.0.1:1 → https://sms.example, Credentials, Weight: 100 → 7 and Rate: empty → 2.5"
    assert LogEntry.objects.get().get_change_message() == f"Changed {changes}."


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


class TestTemplates:
    KEYS = '{"access_token": "t", "phone_number_id": "1", "api_key": "k"}'

    def post(self, client: Client, provider: str, template: str) -> Any:
        fields = {"provider": provider, "new_credentials": self.KEYS, "whatsapp_template": template}
        return post(client, reverse(ADD), **fields)

    @pytest.mark.parametrize(
        ("typed", "stored"),
        [('{"name": "notice", "language": "en_GB"}', {"name": "notice", "language": "en_GB"}), ("", {}), ("{}", {})],
    )
    def test_one_is_saved(self, admin_client: Client, typed: str, stored: dict[str, str]) -> None:
        assert self.post(admin_client, "whatsapp_cloud", typed).status_code == 302
        assert Connection.objects.get().whatsapp_template == stored

    @pytest.mark.parametrize(
        ("provider", "template", "text"),
        [
            ("whatsapp_cloud", '{"name": "notice"}', "A name and a language"),
            ("whatsapp_cloud", '{"name": "", "language": "en"}', "A name and a language"),
            ("whatsapp_cloud", '{"name": 7, "language": "en"}', "A name and a language"),
            ("whatsapp_cloud", '["notice"]', "A name and a language"),
            ("telnyx", '{"name": "notice", "language": "en"}', "no templates through telnyx"),
        ],
    )
    def test_what_no_message_could_leave_by_is_refused(
        self, admin_client: Client, provider: str, template: str, text: str
    ) -> None:
        found = errors(self.post(admin_client, provider, template))

        assert list(found) == ["whatsapp_template"]
        assert text in found["whatsapp_template"][0]


class TestUnknownOutcomes:
    @pytest.mark.parametrize(
        ("provider", "policy", "text"),
        [
            ("vonage", "resend", "would send it twice"),
            ("vonage", "ask", "can't be asked"),
            ("sendmsg", "ask", "can't be asked"),
            ("twilio", "resend", "would send it twice"),
        ],
    )
    def test_a_policy_that_the_provider_can_not_serve_is_refused(
        self, admin_client: Client, provider: str, policy: str, text: str
    ) -> None:
        keys = '{"api_key": "k", "api_secret": "s", "account_sid": "AC1", "auth_token": "t", "api_key_secret": "s"}'

        found = errors(post(admin_client, reverse(ADD), provider=provider, unknown_policy=policy, new_credentials=keys))

        assert list(found) == ["unknown_policy"]
        assert text in found["unknown_policy"][0]

    @pytest.mark.parametrize("policy", ["auto", "resend", "wait"])
    def test_others_are_saved(self, admin_client: Client, policy: str) -> None:
        fields = {"unknown_policy": policy, "unknown_wait": "60", "unknown_then": "fail_over", "region": "eu"}

        assert post(admin_client, reverse(ADD), **fields, sender_rate="2.5").status_code == 302

        row = Connection.objects.get()
        assert (row.unknown_policy, row.unknown_wait, row.unknown_then) == (policy, 60, "fail_over")
        assert (row.region, row.sender_rate) == ("eu", 2.5)


@pytest.mark.usefixtures("clean_redis")
class TestHealth:
    def test_the_list_shows_switches_and_health(self, admin_client: Client) -> None:
        make_connection("good")
        make_connection("off", enabled=False)
        history.pause(make_connection("paused"), "eve", "holidays")
        make_connection("bad")
        breaker.record("bad", [Observed(False, 0.1, code="connection_refused")] * breaker.LEAST)
        breaker.forget()

        page = admin_client.get(reverse(LIST)).text

        assert 'state-good wraps">enabled' in page
        assert 'state-off wraps">disabled' in page
        assert ": holidays<" in page
        assert 'state-bad wraps">open: connection_refused, 5 of 5<' in page
        assert "100 x 0.05" in page

    def test_redis_is_read_once_for_a_page(self, admin_client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
        for number in range(5):
            make_connection(f"line-{number}")
        asked: list[list[str]] = []
        read = breaker.read

        def noted(names: Iterable[str]) -> dict[str, Health]:
            asked.append(list(names))
            return read(asked[-1])

        monkeypatch.setattr(breaker, "read", noted)

        admin_client.get(reverse(LIST))

        assert asked == [[f"line-{number}" for number in range(5)]]

    def test_a_list_takes_as_many_queries_for_many_as_for_one(self, admin_client: Client) -> None:
        make_connection()
        admin_client.get(reverse(LIST))
        with CaptureQueriesContext(database) as for_one:
            admin_client.get(reverse(LIST))
        for number in range(5):
            make_connection(f"line-{number}")

        with CaptureQueriesContext(database) as for_many:
            admin_client.get(reverse(LIST))

        assert len(for_many) == len(for_one)

    def test_its_page_has_its_health_and_its_history(self, admin_client: Client, acme: Account) -> None:
        row = make_connection("line")
        make_message(acme, State.SENDING, connection=row)
        history.weigh(row, 50, "eve")
        breaker.record("line", [Observed(False, 0.25, code="connection_refused")] * breaker.LEAST)
        breaker.forget()
        make_route("UK", row)

        page = admin_client.get(page_of(row))

        facts = dict(page.context["panel"].facts)
        assert "open: connection_refused, 5 of 5" in facts["Breaker"]
        assert (facts["Latency"], facts["Under way"]) == ("250 ms", "1 messages")
        assert facts["Weight"] == "50 x 0.05"
        assert [event.change for event in page.context["panel"].history] == ["opened", "weighed"]
        for text in ("100 to 50", "breaker opened", ">UK<"):
            assert text in page.text

    @pytest.mark.parametrize(
        ("seconds", "text"), [(0.4, "0 s"), (119, "119 s"), (600, "10 min"), (7200, "2 h"), (172_800, "2 d")]
    )
    def test_a_span_is_as_exact_as_a_glance_needs(self, seconds: float, text: str) -> None:
        assert health.span(seconds) == text

    def test_what_is_not_known_is_not_called_well(self, admin_client: Client) -> None:
        row = make_connection("line")

        with redis_away():
            pages = [admin_client.get(url) for url in (reverse(LIST), page_of(row))]

        for page in pages:
            assert page.status_code == 200
            assert "not known: Redis is away" in page.text
            assert ">closed<" not in page.text

    def test_a_new_connection_has_none(self, admin_client: Client) -> None:
        assert "panel" not in admin_client.get(reverse(ADD)).context


def test_a_weight_is_in_the_history_with_the_rest_of_an_edit(admin_client: Client) -> None:
    row = make_connection("line", credentials=SECRETS)

    post(admin_client, page_of(row), new_credentials="", weight="7", rate="3")
    post(admin_client, page_of(row), new_credentials="", weight="7", rate="4")

    row.refresh_from_db()
    assert (row.weight, row.rate) == (7, 4)
    event = ConnectionEvent.objects.get()
    assert (event.change, event.reason, event.by) == ("weighed", "100 to 7", "admin")
