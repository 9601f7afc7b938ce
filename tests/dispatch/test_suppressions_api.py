"""`/v1/suppressions`: who an account does not write to, seen and changed by its own keys alone."""

from typing import Any
from uuid import uuid4

import pytest
from django.test import Client

from dispatch.models import Suppression
from sendmsg.accounts.models import Account
from sendmsg.accounts.scopes import Scope
from tests.cast import Member, bearer, make_key
from tests.factories import make_suppression

pytestmark = pytest.mark.django_db
TO = "+447700900000"


def add(member: Member, headers: dict[str, str] | None = None, **fields: Any) -> Any:
    wanted = {"recipient": TO, **fields}
    return Client().post("/v1/suppressions", wanted, content_type="application/json", headers=headers or member.headers)


def listed(member: Member, headers: dict[str, str] | None = None, **query: Any) -> list[dict[str, Any]]:
    answer = Client().get("/v1/suppressions", query, headers=headers or member.headers)
    assert answer.status_code == 200, answer.content
    rows: list[dict[str, Any]] = answer.json()["results"]
    return rows


def lift(member: Member, row: Suppression, headers: dict[str, str] | None = None) -> int:
    return Client().delete(f"/v1/suppressions/{row.id}", headers=headers or member.headers).status_code


def test_a_client_adds_a_suppression(alice: Member) -> None:
    answer = add(alice, detail="asked by phone")

    row = Suppression.objects.get()
    assert answer.status_code == 201
    assert answer.headers["Location"] == f"/v1/suppressions/{row.id}"
    assert answer.json() == {
        "id": str(row.id),
        "recipient": TO,
        "from": None,
        "channel": None,
        "reason": "api",
        "detail": "asked by phone",
        "created_at": answer.json()["created_at"],
    }
    assert (row.account, row.test) == (alice.account, False)
    assert Client().get(answer.headers["Location"], headers=alice.headers).json() == answer.json()


def test_it_may_be_for_one_sender_and_one_channel(alice: Member) -> None:
    fields: dict[str, Any] = {"channel": "whatsapp", "from": "+44 7700 900001"}
    answer = add(alice, **fields)

    assert (answer.json()["from"], answer.json()["channel"]) == ("+447700900001", "whatsapp")
    assert add(alice).status_code == 201  # of all senders: another one


def test_the_same_again_is_the_one_that_is_there(alice: Member) -> None:
    row = make_suppression(alice.account, TO, reason="keyword", detail="stop")

    answer = add(alice, detail="again")

    assert (answer.status_code, answer.json()["id"], answer.json()["reason"]) == (200, str(row.id), "keyword")
    assert Suppression.objects.count() == 1


def test_a_repeated_request_has_one_answer(alice: Member) -> None:
    headers = {**alice.headers, "Idempotency-Key": "stop-7"}

    first, second = add(alice, headers), add(alice, headers)

    assert (first.status_code, second.status_code, first.json()) == (201, 201, second.json())


@pytest.mark.parametrize(
    ("fields", "pointer", "code"),
    [
        ({"recipient": "07700900000"}, "/recipient", "number_missing_plus"),
        ({"recipient": "me"}, "/recipient", "number_invalid"),
        ({"channel": "fax"}, "/channel", "invalid_choice"),
        ({"from": "!"}, "/from", "sender_invalid"),
        ({"from": "Acme", "channel": "whatsapp"}, "/from", "sender_not_number"),
        ({"detail": "x" * 101}, "/detail", "max_length"),
        ({"to": TO}, "/to", "unknown_field"),
    ],
)
def test_what_makes_no_sense_is_refused(alice: Member, fields: dict[str, Any], pointer: str, code: str) -> None:
    answer = add(alice, **fields)

    assert (answer.status_code, [(one["pointer"], one["code"]) for one in answer.json()["errors"]]) == (
        400,
        [(pointer, code)],
    )


@pytest.mark.parametrize("reason", ["keyword", "provider", "api", "operator"])
def test_a_client_lifts_any_of_its_own(alice: Member, reason: str) -> None:
    row = make_suppression(alice.account, TO, reason=reason)

    assert lift(alice, row) == 204
    assert Suppression.objects.count() == 0
    assert lift(alice, row) == 404


def test_nobody_sees_or_lifts_what_is_anothers_or_of_the_other_mode(alice: Member, charlie: Member) -> None:
    live, test = make_suppression(alice.account, TO), make_suppression(alice.account, TO, test=True)

    assert listed(charlie) == []
    assert [row["id"] for row in listed(alice)] == [str(live.id)]
    assert [row["id"] for row in listed(alice, alice.test_headers)] == [str(test.id)]
    assert (lift(charlie, live), lift(alice, test), lift(alice, live, alice.test_headers)) == (404, 404, 404)
    assert Client().get(f"/v1/suppressions/{live.id}", headers=charlie.headers).status_code == 404
    assert Client().get(f"/v1/suppressions/{uuid4()}", headers=alice.headers).status_code == 404


def test_each_act_needs_its_scope(acme: Account, alice: Member) -> None:
    row = make_suppression(acme, TO)
    reader = bearer(make_key(acme, scopes=[Scope.SUPPRESSIONS_READ]))
    writer = bearer(make_key(acme, scopes=[Scope.SUPPRESSIONS_WRITE]))

    assert len(listed(alice, reader)) == 1
    assert (add(alice, reader).status_code, lift(alice, row, reader)) == (403, 403)
    assert Client().get("/v1/suppressions", headers=writer).status_code == 403
    assert (add(alice, writer).status_code, lift(alice, row, writer)) == (200, 204)
    assert Client().get("/v1/suppressions").status_code == 401


def test_they_are_found_by_recipient_and_reason(alice: Member) -> None:
    first = make_suppression(alice.account, "+447700900001", reason="keyword")
    second = make_suppression(alice.account, TO)

    def ids(**query: Any) -> list[str]:
        return [row["id"] for row in listed(alice, **query)]

    assert ids() == [str(second.id), str(first.id)]
    assert ids(recipient="+44 7700 900001") == ids(reason="keyword") == [str(first.id)]
    assert ids(recipient=TO, reason="keyword") == []
    assert ids(limit=1) == [str(second.id)]


@pytest.mark.parametrize("query", ["recipient=7", "reason=whim", "to=%2B447700900000", "limit=0", "cursor=x"])
def test_a_query_that_makes_no_sense_is_a_400(alice: Member, query: str) -> None:
    assert Client().get(f"/v1/suppressions?{query}", headers=alice.headers).status_code == 400
