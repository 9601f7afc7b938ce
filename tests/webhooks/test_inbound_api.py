"""`GET /v1/inbound`: what came to one's own numbers, and nobody else's."""

from typing import Any

import pytest
from django.db import connection as database
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from dispatch.models import Connection
from sendmsg.accounts.scopes import Scope
from tests.cast import Member, bearer, make_key
from tests.factories import make_connection, make_inbound

pytestmark = pytest.mark.django_db


def listed(member: Member, headers: dict[str, str] | None = None, **query: Any) -> list[dict[str, Any]]:
    answer = Client().get("/v1/inbound", query, headers=headers or member.headers)
    assert answer.status_code == 200, answer.content
    rows: list[dict[str, Any]] = answer.json()["results"]
    return rows


def test_a_message_is_shown_whole(alice: Member, bob: Member, line: Connection) -> None:
    media = [{"reference": "https://media.example/1", "content_type": "image/png"}]
    stored = make_inbound(line, alice.account, body="Yes é 🎉", media=media)

    [shown] = listed(alice)

    assert shown == {
        "id": str(stored.id),
        "channel": "sms",
        "from": "+447700900123",
        "to": "+447700900001",
        "body": "Yes é 🎉",
        "keyword": None,
        "media": media,
        "provider": "sendmsg",
        "received_at": shown["received_at"],
        "created_at": shown["created_at"],
    }
    assert listed(bob) == [shown]


def test_nobody_sees_what_is_anothers_or_nobodys(alice: Member, charlie: Member, line: Connection) -> None:
    make_inbound(line, alice.account)
    make_inbound(line, None)

    assert listed(charlie) == []
    assert len(listed(alice)) == 1


def test_a_test_key_sees_what_came_by_a_sandbox_and_only_that(alice: Member, line: Connection) -> None:
    make_inbound(line, alice.account, body="live")
    make_inbound(line, alice.account, body="test", test=True)

    assert [row["body"] for row in listed(alice)] == ["live"]
    assert [row["body"] for row in listed(alice, alice.test_headers)] == ["test"]


def test_it_needs_the_scope_to_read(alice: Member) -> None:
    key = make_key(alice.account, scopes=[Scope.MESSAGES_WRITE])
    answer = Client().get("/v1/inbound", headers=bearer(key))

    assert (answer.status_code, answer.json()["code"]) == (403, "scope_missing")
    assert Client().get("/v1/inbound").status_code == 401


def test_messages_are_found_by_number_and_time(alice: Member, line: Connection) -> None:
    first = make_inbound(line, alice.account, to="12345", sender="+447700900124")
    moment = timezone.now()
    second = make_inbound(line, alice.account, created_at=timezone.now())

    def ids(**query: Any) -> list[str]:
        return [row["id"] for row in listed(alice, **query)]

    assert ids() == [str(second.id), str(first.id)]
    assert ids(to="12345") == [str(first.id)]
    assert ids(**{"from": "+447700900124"}) == ids(**{"from": "447700900124"}) == [str(first.id)]
    assert ids(to="+447700900001", **{"from": "+447700900124"}) == []
    assert str(second.id) in ids(created_after=moment.isoformat())


def test_pages_follow_each_other(alice: Member, line: Connection) -> None:
    made = [str(make_inbound(line, alice.account).id) for _ in range(5)]
    found: list[str] = []
    query: dict[str, Any] = {"limit": 2}
    while True:
        page = Client().get("/v1/inbound", query, headers=alice.headers).json()
        found += [row["id"] for row in page["results"]]
        if page["next_cursor"] is None:
            break
        query["cursor"] = page["next_cursor"]

    assert found == made[::-1]


@pytest.mark.parametrize("query", ["limit=0", "limit=101", "cursor=x", "to=%00", "from=" + "1" * 33, "sender=1"])
def test_a_query_that_makes_no_sense_is_a_400(alice: Member, query: str) -> None:
    assert Client().get(f"/v1/inbound?{query}", headers=alice.headers).status_code == 400


def test_a_list_takes_as_many_queries_for_many_as_for_one(alice: Member, line: Connection) -> None:
    def queries() -> int:
        with CaptureQueriesContext(database) as captured:
            listed(alice, limit=100)
        return len(captured)

    make_inbound(line, alice.account)
    listed(alice)
    for_one = queries()
    for number in range(20):
        make_inbound(make_connection(f"line-{number}"), alice.account)

    assert queries() == for_one
