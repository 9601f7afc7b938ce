"""API keys and scopes, through HTTP."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from threading import Barrier, Thread
from typing import Any

import pytest
import time_machine
from django.db import DatabaseError, connection, connections, transaction
from django.test import Client
from django.utils import timezone

from sendmsg.accounts.keys import Mode, mint
from sendmsg.accounts.models import Account, ApiKey
from sendmsg.accounts.scopes import Scope
from sendmsg.api.authentication import LAST_USED_PRECISION
from tests.cast import Member, bearer, make_key

pytestmark = pytest.mark.urls("tests.api.urls")


def ask(client: Client, headers: dict[str, str]) -> Any:
    return client.get("/v1/client", headers=headers)


def test_a_key_says_whose_it_is_and_what_it_may(client: Client, alice: Member, bob: Member) -> None:
    assert ask(client, alice.headers).json() == {
        "account": str(alice.account.id),
        "mode": "live",
        "scopes": sorted(Scope.values),
    }
    assert ask(client, bob.test_headers).json() == {
        "account": str(alice.account.id),
        "mode": "test",
        "scopes": ["messages:read"],
    }


def test_the_scheme_is_read_in_any_case(client: Client, alice: Member) -> None:
    assert ask(client, {"Authorization": f"bearer {alice.key}"}).status_code == 200


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("header", "code"),
    [
        (None, "key_missing"),
        ("", "key_malformed"),
        ("Bearer", "key_malformed"),
        ("Bearer ", "key_malformed"),
        ("Bearer smk_live_tooshort", "key_malformed"),
        ("Bearer smk_live_éééééééééééééééééééééééééééééééééééé", "key_malformed"),
        ("Basic YWxpY2U6c2VjcmV0", "key_malformed"),
        (f"Bearer {mint(Mode.LIVE).text}", "key_unknown"),
        (f"Bearer {mint(Mode.LIVE).text[:-1]}_", "key_malformed"),
    ],
)
def test_what_opens_nothing_is_a_401_with_its_reason(client: Client, header: str | None, code: str) -> None:
    response = ask(client, {} if header is None else {"Authorization": header})

    assert response.status_code == 401
    assert response.json()["code"] == code
    assert response["Content-Type"] == "application/problem+json"
    assert response["WWW-Authenticate"].startswith('Bearer realm="SendMSG"')


def test_a_revocation_acts_on_the_next_request(client: Client, alice: Member) -> None:
    assert ask(client, alice.headers).status_code == 200
    ApiKey.objects.update(revoked_at=timezone.now())

    response = ask(client, alice.headers)

    assert (response.status_code, response.json()["code"]) == (401, "key_revoked")


def test_a_key_opens_nothing_from_the_moment_it_expires(client: Client, alice: Member) -> None:
    now = timezone.now().replace(microsecond=0)
    ApiKey.objects.update(expires_at=now + timedelta(hours=1))

    with time_machine.travel(now + timedelta(minutes=59, seconds=59), tick=False):
        assert ask(client, alice.headers).status_code == 200
    with time_machine.travel(now + timedelta(hours=1), tick=False):
        assert ask(client, alice.headers).json()["code"] == "key_expired"


def test_a_missing_scope_is_a_403_that_names_it(client: Client, bob: Member) -> None:
    response = client.post("/v1/effects", {"name": "x"}, "application/json", headers=bob.headers)

    assert (response.status_code, response.json()["code"]) == (403, "scope_missing")
    assert "messages:write" in response.json()["detail"]
    assert client.get("/v1/effects", headers=bob.headers).status_code == 200
    assert not Account.objects.filter(name="x").exists()


def test_a_key_without_scopes_may_nothing(client: Client, acme: Account) -> None:
    headers = bearer(make_key(acme, scopes=[]))

    assert client.get("/v1/effects", headers=headers).json()["code"] == "scope_missing"


def test_a_scope_of_another_version_allows_nothing(client: Client, acme: Account) -> None:
    headers = bearer(make_key(acme, scopes=["moon:land"]))

    assert ask(client, headers).json()["scopes"] == []


def test_who_is_not_known_is_told_so_before_anything_else(client: Client, db: None) -> None:
    response = client.post("/v1/effects", b"{not json", "text/plain")

    assert response.json()["code"] == "key_missing"


def test_the_last_use_is_noted_at_most_every_ten_minutes(client: Client, alice: Member) -> None:
    start = timezone.now()

    def seen_at(moment: Any) -> Any:
        with time_machine.travel(moment, tick=False):
            ask(client, alice.headers)
        return ApiKey.objects.exclude(last_used_at=None).get().last_used_at

    assert seen_at(start) == start
    assert seen_at(start + LAST_USED_PRECISION) == start
    late = start + LAST_USED_PRECISION + timedelta(seconds=1)
    assert seen_at(late) == late


def test_a_request_costs_one_query_for_its_key(client: Client, alice: Member, django_assert_num_queries: Any) -> None:
    ask(client, alice.headers)

    with django_assert_num_queries(1):
        ask(client, alice.headers)


def test_a_last_use_that_can_not_be_written_fails_nothing(client: Client, alice: Member) -> None:
    def refuse(execute: Any, sql: str, *rest: Any) -> Any:
        if sql.startswith("UPDATE"):
            raise DatabaseError("read-only")
        return execute(sql, *rest)

    with connection.execute_wrapper(refuse):
        assert ask(client, alice.headers).status_code == 200

    assert not ApiKey.objects.exclude(last_used_at=None).exists()


@pytest.mark.django_db(transaction=True)
def test_a_locked_key_holds_nobody_up(client: Client, alice: Member) -> None:
    with row_locked_elsewhere():
        assert ask(client, alice.headers).status_code == 200

    assert not ApiKey.objects.exclude(last_used_at=None).exists()


@contextmanager
def row_locked_elsewhere() -> Iterator[None]:
    """Another connection holds all rows of API keys."""
    locked, done = Barrier(2, timeout=10), Barrier(2, timeout=10)

    def hold() -> None:
        try:
            with transaction.atomic():
                list(ApiKey.objects.select_for_update())
                locked.wait()
                done.wait()
        finally:
            connections.close_all()

    thread = Thread(target=hold)
    thread.start()
    locked.wait()
    try:
        yield
    finally:
        done.wait()
        thread.join(10)
