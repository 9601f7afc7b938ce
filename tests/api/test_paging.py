"""Lists in pages."""

from typing import Any

import pytest
from django.test import Client
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from uuid_utils.compat import uuid7

from sendmsg.accounts.models import Account
from sendmsg.api.paging import DEFAULT_LIMIT, paginate
from tests.cast import Member

pytestmark = pytest.mark.urls("tests.api.urls")


def make(count: int, prefix: str = "account") -> list[str]:
    """Accounts in the order of their making; their names."""
    names = [f"{prefix} {number}" for number in range(count)]
    Account.objects.bulk_create(Account(id=uuid7(), name=name) for name in names)
    return names


def walk(client: Client, alice: Member, limit: int) -> list[str]:
    """The names of all pages."""
    names: list[str] = []
    cursor: str | None = None
    while True:
        page = get(client, alice, limit=limit, **({"cursor": cursor} if cursor else {})).json()
        assert set(page) == {"results", "next_cursor"}
        assert len(page["results"]) <= limit
        names += [row["name"] for row in page["results"]]
        cursor = page["next_cursor"]
        if cursor is None:
            return names


def get(client: Client, alice: Member, **query: Any) -> Any:
    return client.get("/v1/effects", query, headers=alice.headers)


@pytest.mark.parametrize("limit", [1, 7, 12, 13, 14, 100])
def test_the_pages_hold_every_row_once_newest_first(client: Client, alice: Member, limit: int) -> None:
    names = make(12)

    assert walk(client, alice, limit) == [*reversed(names), "Acme"]


def test_rows_that_arrive_meanwhile_shift_nothing(client: Client, alice: Member) -> None:
    names = make(4)
    first = get(client, alice, limit=2).json()
    make(3, "late")

    second = get(client, alice, limit=2, cursor=first["next_cursor"]).json()

    assert [row["name"] for row in second["results"]] == list(reversed(names[:2]))


def test_a_page_has_twenty_rows_unless_asked(client: Client, alice: Member) -> None:
    make(30)

    assert len(get(client, alice).json()["results"]) == DEFAULT_LIMIT == 20


def test_an_empty_list_is_a_page(db: None) -> None:
    page = paginate(Account.objects.all())

    assert page.document(list) == {"results": [], "next_cursor": None}


@pytest.mark.parametrize("cursor", ["x", "A" * 22, "é", ".", "a.b", "'; DROP TABLE accounts_account; --", "A" * 200])
def test_what_was_never_a_cursor_is_a_400(client: Client, alice: Member, cursor: str) -> None:
    response = get(client, alice, cursor=cursor)

    assert (response.status_code, response.json()["code"]) == (400, "cursor_invalid")
    assert response.json()["errors"][0]["pointer"] == "/cursor"


@hypothesis_settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=50)
@given(data=st.data())
def test_a_cursor_that_was_tampered_with_is_a_400(client: Client, alice: Member, data: st.DataObject) -> None:
    if Account.objects.count() == 1:
        make(3)
    cursor = get(client, alice, limit=1).json()["next_cursor"]
    position = data.draw(st.integers(0, len(cursor) - 1))
    character = data.draw(st.sampled_from("abcXYZ019-_.").filter(lambda one: one != cursor[position]))

    response = get(client, alice, cursor=cursor[:position] + character + cursor[position + 1 :])

    assert (response.status_code, response.json()["code"]) == (400, "cursor_invalid")


def test_a_page_costs_one_query(alice: Member, django_assert_num_queries: Any) -> None:
    make(5)

    with django_assert_num_queries(1):
        paginate(Account.objects.all(), limit=2)
