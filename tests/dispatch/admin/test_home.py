"""The home page: what it says, what it says when something is away, and what a look at it costs."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import OperationalError, connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from dispatch import breaker, minutes
from dispatch.admin import charts, figures
from dispatch.admin.charts import Part, Series
from dispatch.breaker import Observed
from dispatch.models import Minute
from dispatch.states import State
from dispatch.vocabulary import AttemptOutcome
from sendmsg.accounts.models import Account
from sendmsg.ids import first_id
from sendmsg.journal.models import JournalEntry
from tests.factories import make_attempt, make_connection, make_letter, make_message
from tests.outages import redis_away

pytestmark = pytest.mark.django_db
HOME = "admin:index"
LIVE = "operations:live"


@pytest.fixture(autouse=True)
def fresh() -> Iterator[None]:
    """Nothing that an earlier look found."""
    figures.forget()
    yield
    figures.forget()


def tiles(client: Client) -> dict[str, tuple[str, str]]:
    """Value and remark of each tile, by name."""
    figures.forget()
    return {tile["name"]: (tile["value"], tile["about"]) for tile in client.get(reverse(LIVE)).context["tiles"]}


def a_while_ago() -> datetime:
    return timezone.now().replace(second=0, microsecond=0) - timedelta(minutes=5)


class TestNumbers:
    def test_traffic_is_what_was_counted(self, admin_client: Client, acme: Account) -> None:
        at = a_while_ago()
        states = [State.DELIVERED] * 3 + [State.FAILED, State.SENT, State.CANCELED]
        for second, state in enumerate(states):
            made = at + timedelta(seconds=second)
            code = "odd" if state is State.FAILED else ""
            message = make_message(acme, state, id=first_id(made), created_at=made, error_code=code)
            if state is State.DELIVERED:
                make_attempt(message, outcome=AttemptOutcome.ACCEPTED, finished_at=made + timedelta(milliseconds=200))
        minutes.keep()

        answer = admin_client.get(reverse(HOME))

        traffic = answer.context["figures"].traffic
        assert (traffic.hour.accepted, traffic.hour.delivered, traffic.hour.bad, traffic.hour.ratio) == (6, 3, 1, 0.75)
        assert traffic.errors == [("odd", 1)]
        assert not traffic.stale
        assert "6 in the past hour" in answer.text
        assert "?error_code=odd&amp;age=hour" in answer.text
        assert answer.text.count('<svg viewBox="0 0 600 140"') == 3

    def test_that_nobody_counts_is_said(self, admin_client: Client) -> None:
        assert "does <code>manage.py reconcile</code> run?" in admin_client.get(reverse(HOME)).text

        minutes.keep()
        figures.forget()

        assert "Nobody counts" not in admin_client.get(reverse(HOME)).text

    def test_the_queue_the_inbox_and_the_journal_have_their_age(self, admin_client: Client, acme: Account) -> None:
        earlier = timezone.now() - timedelta(minutes=10)
        make_message(acme, due_at=earlier)
        make_message(acme, due_at=timezone.now() + timedelta(hours=1))
        make_message(acme, State.SENDING)
        make_letter(make_message(acme, State.FAILED), "unauthorized")
        JournalEntry.objects.create(text="[]", created_at=earlier)

        found = tiles(admin_client)

        assert found["Oldest waiting"] == ("10 min", "2 queued, 1 under way")
        assert found["Failed, to be seen to"][0] == "1"
        assert found["Timeline behind by"][0] == "10 min"
        assert "?state__exact=open&amp;reason=unauthorized" in admin_client.get(reverse(HOME)).text

    def test_what_is_due_later_does_not_wait(self, admin_client: Client, acme: Account) -> None:
        make_message(acme, due_at=timezone.now() + timedelta(hours=1))

        assert tiles(admin_client)["Oldest waiting"] == ("0 s", "1 queued, 0 under way")

    def test_more_than_is_counted_is_said_as_such(
        self, admin_client: Client, acme: Account, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(figures, "MOST", 1)
        monkeypatch.setattr("dispatch.admin.home.MOST", 1)
        for _ in range(3):
            make_message(acme, due_at=timezone.now() + timedelta(hours=1))

        assert tiles(admin_client)["Oldest waiting"][1].startswith("more than 1 queued")

    def test_connections_have_their_breaker_and_their_pause(self, admin_client: Client) -> None:
        make_connection("broken")
        make_connection("resting", paused_at=timezone.now(), pause_reason="maintenance")
        breaker.record("broken", [Observed(good=False, seconds=1, code="timeout")] * 5)

        page = admin_client.get(reverse(LIVE)).text

        assert "open: timeout" in page
        assert ": maintenance" in page


class TestWhatIsAway:
    def test_without_redis_breakers_are_not_known_and_the_rest_is_told(
        self, admin_client: Client, acme: Account
    ) -> None:
        make_connection("line")

        with redis_away():
            answer = admin_client.get(reverse(HOME))

        assert answer.status_code == 200
        assert "not known: Redis is away" in answer.text
        assert tiles(admin_client)["Oldest waiting"][0] == "0 s"

    @pytest.mark.parametrize(
        ("table", "tile"),
        [
            ("dispatch_minute", "Accepted today"),
            ("dispatch_message", "Oldest waiting"),
            ("dispatch_deadletter", "Failed, to be seen to"),
            ("journal_journalentry", "Timeline behind by"),
        ],
    )
    def test_what_takes_too_long_is_not_known_and_the_rest_is(
        self, admin_client: Client, table: str, tile: str
    ) -> None:
        def never_ends(execute: Any, sql: str, params: Any, *rest: Any) -> Any:
            if f'FROM "{table}"' in sql:
                raise OperationalError("canceling statement due to statement timeout")
            return execute(sql, params, *rest)

        with connection.execute_wrapper(never_ends):
            answer = admin_client.get(reverse(HOME))

        assert answer.status_code == 200
        values = {one["name"]: one["value"] for one in answer.context["tiles"]}
        assert values[tile] == "not known"
        assert sum(value != "not known" for value in values.values()) >= 3


class TestWhoLooks:
    def test_without_a_role_it_is_djangos_own(self, client: Client) -> None:
        client.force_login(User.objects.create_user("eve", is_staff=True))

        assert client.get(reverse(HOME)).context.get("figures") is None
        assert client.get(reverse(LIVE)).status_code == 403

    def test_nobody_else_looks(self, client: Client) -> None:
        for name in (HOME, LIVE, "operations:search", "operations:everything"):
            assert client.get(reverse(name)).status_code == 302

    def test_every_page_says_what_a_browser_may_do(self, admin_client: Client, client: Client) -> None:
        for url in (reverse(HOME), reverse("admin:dispatch_message_changelist")):
            policy = admin_client.get(url).headers["Content-Security-Policy"]
            assert "default-src 'self'" in policy
            assert "unsafe" not in policy
        assert "Content-Security-Policy" not in client.get("/healthz").headers


class TestCosts:
    def test_many_looks_cost_one(self, admin_client: Client, acme: Account) -> None:
        admin_client.get(reverse(LIVE))

        with CaptureQueriesContext(
            connection,
        ) as captured:
            admin_client.get(reverse(LIVE))

        assert not [query for query in captured if "dispatch_" in query["sql"]]

    def test_no_query_of_it_goes_through_messages(self, admin_client: Client, acme: Account) -> None:
        make_message(acme)

        with CaptureQueriesContext(connection) as captured:
            admin_client.get(reverse(HOME))

        asked = [query["sql"] for query in captured if 'FROM "dispatch_message"' in query["sql"]]
        assert asked
        assert all("LIMIT 10001" in sql for sql in asked)


class TestCharts:
    def test_a_gap_is_where_nothing_is_known(self) -> None:
        drawn = charts.lines("Speed", [Series("fast", "blue", [1, 2, None, 4, 5])])

        assert drawn.count("M") - drawn.count("Messages") == 2
        assert 'aria-label="Speed: fast 5"' in drawn

    def test_one_without_anything_says_so(self) -> None:
        assert "not known" in charts.lines("Speed", [Series("fast", "blue", [None, None])])

    @pytest.mark.parametrize(("value", "top"), [(0.003, "0.005"), (0.7, "1"), (3, "5"), (47, "50"), (1001, "2,000")])
    def test_its_scale_ends_at_a_round_number(self, value: float, top: str) -> None:
        assert f"<span>{top}</span>" in charts.lines("Speed", [Series("fast", "blue", [value])])

    def test_only_zeros_lie_on_the_ground(self) -> None:
        assert "<span>1</span>" in charts.lines("Speed", [Series("fast", "blue", [0, 0])])

    def test_names_are_no_markup(self) -> None:
        assert "<b>" not in charts.lines("<b>", [Series("<b>", "blue", [1])])
        assert "<b>" not in charts.bar("<b>", [Part("<b>", "", 1)])

    def test_a_part_that_is_too_short_is_seen_all_the_same(self) -> None:
        drawn = charts.bar("Time", [Part("long", "", 3600), Part("short", "red", 0.001)])

        assert 'width="2"' in drawn

    def test_a_bar_of_nothing_is_nothing(self) -> None:
        assert charts.bar("Time", []) == ""


def test_an_empty_minute_is_no_ratio() -> None:
    assert figures.span([Minute(states={}, waits=[])]) == figures.Span(0, 0, 0, None, None, None)
