"""Messages in the admin: what operators see, what they never see, and what a page may cost."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.contrib.auth.models import Permission, User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from dispatch.models import Message
from dispatch.states import State
from dispatch.vocabulary import AttemptOutcome, Channel, Priority
from sendmsg import estimates
from sendmsg.accounts.models import Account
from sendmsg.ids import first_id
from sendmsg.journal.events import Event, EventType
from tests.factories import make_attempt, make_connection, make_message, make_reference
from tests.logs.lines import write
from tests.outages import database_away
from tests.stored import lock_keys

pytestmark = pytest.mark.django_db(databases=["default", "logs"])
LIST = "admin:dispatch_message_changelist"


def page_of(message: Message) -> str:
    return reverse("admin:dispatch_message_change", args=[message.id])


def found(client: Client, **query: Any) -> set[Message]:
    """The messages that the list shows for a query."""
    answer = client.get(reverse(LIST), query)
    assert answer.status_code == 200
    return set(answer.context["cl"].result_list)


def queries(client: Client, url: str) -> int:
    """How many queries a page takes, once content types are known."""
    client.get(url)
    with CaptureQueriesContext(connection) as captured:
        assert client.get(url).status_code == 200
    return len(captured)


class TestWhatIsShown:
    def test_a_number_is_masked_everywhere(self, admin_client: Client, acme: Account) -> None:
        message = make_message(acme, to="+447700900123")

        for url in (reverse(LIST), page_of(message), reverse("admin:dispatch_message_history", args=[message.id])):
            page = admin_client.get(url).text
            assert "7700900123" not in page
            assert ("+4477****123" in page) == ("history" not in url)

    def test_a_body_whose_key_is_missing_is_said_to_be_there(self, admin_client: Client, acme: Account) -> None:
        message = make_message(acme, body="Your code is 4711.")
        lock_keys()

        page = admin_client.get(page_of(message)).text

        assert "be decrypted" in page
        assert "sealed:1:" not in page

    def test_a_body_is_on_the_page_of_its_message_only(self, admin_client: Client, acme: Account) -> None:
        message = make_message(acme, body="Your code is 4711.\n<b>Not bold</b>")

        assert "4711" not in admin_client.get(reverse(LIST)).text
        page = admin_client.get(page_of(message)).text
        assert "Your code is 4711.\n&lt;b&gt;Not bold&lt;/b&gt;" in page

    def test_a_page_tells_of_attempts_and_the_providers_ids(self, admin_client: Client, acme: Account) -> None:
        message = make_message(acme, State.FAILED, error_code="invalid_recipient", in_doubt=True)
        now = timezone.now()
        ended = {"finished_at": now + timedelta(milliseconds=1234), "outcome": AttemptOutcome.REJECTED}
        make_attempt(message, started_at=now, code="number_odd", detail="HTTP 422 odd", **ended)
        make_attempt(message, number=2)
        make_reference(message, "snd_4711")

        page = admin_client.get(page_of(message)).text

        for text in (
            "number_odd",
            "HTTP 422 odd",
            "1.234 s",
            "under way",
            "snd_4711",
            "state-rejected",
            "may have sent",
        ):
            assert text in page

    def test_the_timeline_comes_from_the_logs_database(self, admin_client: Client, acme: Account) -> None:
        message = make_message(acme)
        later = message.created_at + timedelta(milliseconds=1500)
        accepted = Event(message.id, acme.id, EventType.ACCEPTED, message.created_at)
        released = Event(message.id, acme.id, EventType.RELEASED, later, {"connection": "<line>"})
        write([json.loads(event.as_json()) for event in (released, accepted)])

        page = admin_client.get(page_of(message)).text

        timeline = page[page.index('id="timeline"') :]
        assert timeline.index("state-accepted") < timeline.index("state-released")
        assert "+1.500 s" in timeline
        assert "connection: &lt;line&gt;" in timeline

    def test_a_message_whose_events_are_on_their_way_says_so(self, admin_client: Client, acme: Account) -> None:
        assert "No event has reached the logs database yet." in admin_client.get(page_of(make_message(acme))).text

    @pytest.mark.django_db(transaction=True, databases=["default", "logs"])
    def test_without_the_logs_database_the_rest_is_shown(self, admin_client: Client, acme: Account) -> None:
        message = make_message(acme)

        with database_away("logs"):
            answer = admin_client.get(page_of(message))

        assert answer.status_code == 200
        assert "The logs database can't be reached now." in answer.text
        assert "Your code is 123456." in answer.text

    def test_credentials_that_can_not_be_read_break_no_page(self, admin_client: Client, acme: Account) -> None:
        message = make_message(acme, State.SENT)
        make_attempt(message)
        with connection.cursor() as cursor:
            cursor.execute("UPDATE dispatch_connection SET credentials = 'of another key'")

        assert found(admin_client) == {message}
        assert admin_client.get(page_of(message)).status_code == 200


class TestWhoMayDoWhat:
    @pytest.mark.parametrize("action", ["add", "change", "delete"])
    def test_nobody_edits_a_message(self, admin_client: Client, acme: Account, action: str) -> None:
        message = make_message(acme)
        args = [] if action == "add" else [message.id]

        answer = admin_client.post(reverse(f"admin:dispatch_message_{action}", args=args), {"post": "yes"})

        assert answer.status_code == 403
        assert Message.objects.get().updated_at == message.updated_at

    def test_looking_needs_the_permission(self, client: Client, acme: Account) -> None:
        user = User.objects.create_user("auditor", is_staff=True)
        client.force_login(user)
        message = make_message(acme)

        assert client.get(reverse(LIST)).status_code == 403
        user.user_permissions.add(Permission.objects.get(codename="view_message"))
        assert client.get(reverse(LIST)).status_code == 200
        assert client.get(page_of(message)).status_code == 200

    @pytest.mark.parametrize(
        "lookup", ["to__startswith", "to", "body__contains", "account__name", "connection__weight"]
    )
    def test_the_address_bar_can_not_ask_for_more_than_the_page(self, admin_client: Client, lookup: str) -> None:
        assert admin_client.get(reverse(LIST), {lookup: "+4477"}).status_code == 400


class TestFinding:
    @pytest.mark.parametrize(
        ("query", "fields"),
        [
            ({"state__exact": "failed"}, {"state": State.FAILED}),
            ({"error_code": "unroutable"}, {"error_code": "unroutable"}),
            ({"mode": "test"}, {"test": True}),
            ({"channel__exact": "whatsapp"}, {"channel": Channel.WHATSAPP}),
            ({"priority__exact": "0"}, {"priority": Priority.HIGH}),
            ({"age": "24-hours"}, {}),
            ({"day": "2026-03-01"}, {"id": first_id(datetime(2026, 3, 1, 23, 59, 59, tzinfo=UTC))}),
            ({"state__exact": "sent", "mode": "test"}, {"state": State.SENT, "test": True}),
        ],
    )
    def test_a_filter_finds_its_messages(
        self, admin_client: Client, acme: Account, query: dict[str, str], fields: dict[str, Any]
    ) -> None:
        make_message(acme, id=first_id(datetime(2026, 3, 2, tzinfo=UTC)), error_code="throttled")
        wanted = make_message(acme, **fields)

        assert found(admin_client, **query) == {wanted}

    def test_connections_and_providers_are_filters(self, admin_client: Client, acme: Account) -> None:
        first = make_message(acme, State.SENT, connection=make_connection("first"))
        second = make_message(acme, State.SENT, connection=make_connection("second"))
        make_message(acme)

        assert found(admin_client, connection=str(second.connection_id)) == {second}
        assert found(admin_client, provider="sendmsg") == {first, second}
        assert found(admin_client, provider="unheard-of") == set()

    def test_the_codes_that_occur_are_offered(self, admin_client: Client, acme: Account) -> None:
        for code in ("throttled", "", "absent_subscriber", "throttled"):
            make_message(acme, error_code=code)

        page = admin_client.get(reverse(LIST)).text

        assert page.count("?error_code=") == 2
        assert page.index("?error_code=absent_subscriber") < page.index("?error_code=throttled")

    @pytest.mark.parametrize(
        "query", [{"day": "yesterday"}, {"day": "9999-12-31"}, {"connection": "x"}, {"error_code": "\0"}]
    )
    def test_a_filter_without_sense_leads_back(
        self, admin_client: Client, acme: Account, query: dict[str, str]
    ) -> None:
        make_message(acme, State.FAILED, error_code="unroutable")

        answer = admin_client.get(reverse(LIST), query)

        assert (answer.status_code, answer.headers["Location"]) == (302, f"{reverse(LIST)}?e=1")

    @pytest.mark.parametrize("term", ["{0.id}", "{0.to}", "447700900123", "+44 7700 900123", "{0.client_reference}"])
    def test_whole_names_are_found(self, admin_client: Client, acme: Account, term: str) -> None:
        wanted = make_message(acme, to="+447700900123", client_reference="order 66")
        make_message(acme, to="+447700900124", client_reference="order 67")

        assert found(admin_client, q=term.format(wanted)) == {wanted}

    @pytest.mark.parametrize("term", ["+4477009001", "order", "018f", "%", "00000000-0000-0000-0000-000000000000"])
    def test_parts_of_names_are_not(self, admin_client: Client, acme: Account, term: str) -> None:
        make_message(acme, to="+447700900123", client_reference="order 66")

        assert found(admin_client, q=term) == set()

    def test_a_reference_that_looks_like_a_number_or_an_id_is_found(self, admin_client: Client, acme: Account) -> None:
        other = make_message(acme, to="+447700900123")
        by_number = make_message(acme, client_reference="+447700900123")
        by_id = make_message(acme, client_reference=str(other.id))

        assert found(admin_client, q="+447700900123") == {other, by_number}
        assert found(admin_client, q=str(other.id)) == {other, by_id}

    def test_a_search_keeps_to_the_filters(self, admin_client: Client, acme: Account) -> None:
        wanted = make_message(acme, State.SENT, client_reference="order 66")
        make_message(acme, client_reference="order 66")

        assert found(admin_client, q="order 66", state__exact="sent") == {wanted}


class TestWhatAPageCosts:
    def test_a_list_takes_as_many_queries_for_many_as_for_one(self, admin_client: Client, acme: Account) -> None:
        make_message(acme, State.SENT)
        for_one = queries(admin_client, reverse(LIST))
        for number in range(20):
            make_message(acme, State.SENT, connection=make_connection(f"line-{number}"))

        assert queries(admin_client, reverse(LIST)) == for_one <= 8

    def test_a_page_takes_as_many_queries_for_many_attempts(self, admin_client: Client, acme: Account) -> None:
        message = make_message(acme, State.SENT)
        make_attempt(message)
        for_one = queries(admin_client, page_of(message))
        for number in range(2, 20):
            make_attempt(message, number=number, connection_id=make_connection(f"line-{number}").id)

        assert queries(admin_client, page_of(message)) == for_one <= 12

    def test_no_query_counts_or_lists_without_a_bound(self, admin_client: Client, acme: Account) -> None:
        make_message(acme)

        with CaptureQueriesContext(connection) as captured:
            admin_client.get(reverse(LIST))

        asked = [query["sql"] for query in captured if 'FROM "dispatch_message"' in query["sql"]]
        assert asked
        assert all("LIMIT" in sql for sql in asked if not sql.endswith("LIMIT 1"))
        assert not [sql for sql in asked if "DISTINCT" in sql]

    def test_a_big_list_shows_an_estimate(
        self, admin_client: Client, acme: Account, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(estimates, "EXACT_ROWS", 3)
        for _ in range(5):
            make_message(acme)

        assert "The count is an estimate" in admin_client.get(reverse(LIST)).text
        assert "The count is an estimate" not in admin_client.get(reverse(LIST), {"state__exact": "sent"}).text

    @pytest.mark.django_db(transaction=True)
    def test_a_list_that_takes_too_long_says_so(self, admin_client: Client, acme: Account) -> None:
        make_message(acme)

        def never_ends(execute: Any, sql: str, params: Any, *rest: Any) -> Any:
            if 'FROM "dispatch_message"' in sql and not sql.startswith("EXPLAIN"):
                return execute("SET LOCAL statement_timeout = 10; SELECT pg_sleep(60)", None, *rest)
            return execute(sql, params, *rest)

        with connection.execute_wrapper(never_ends):
            answer = admin_client.get(reverse(LIST), {"mode": "test"})

        assert (answer.status_code, answer.headers["Location"]) == (302, reverse(LIST))
        assert "That took too long." in admin_client.get(reverse(LIST)).text
