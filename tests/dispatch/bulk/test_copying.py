"""Batches: each message is judged by itself, and what is stored is what one POST each would have stored."""

from typing import Any

import pytest
import time_machine
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from dispatch.bulk import copying
from dispatch.models import Message
from sendmsg.journal.models import JournalEntry
from tests.cast import Member
from tests.factories import make_connection, make_route

pytestmark = pytest.mark.django_db
MESSAGE = {"to": "+447700900900", "body": "hello"}
URL = "/v1/messages/batch"


def post(client: Client, member: Member, messages: Any, *, headers: Any = (), **options: Any) -> Any:
    body = {"messages": messages, **options}
    return client.post(URL, body, content_type="application/json", headers={**member.headers, **dict(headers)})


def numbered(count: int) -> list[dict[str, Any]]:
    return [{"to": f"+4477009{number:05d}", "body": f"hello {number}"} for number in range(count)]


def columns(message: Message) -> dict[str, Any]:
    return {name: value for name, value in vars(message).items() if name not in ("id", "request_id", "_state")}


@pytest.mark.parametrize(
    "message",
    [
        MESSAGE,
        {**MESSAGE, "body": "a tab\t, a line\nand another\r\n, a \\ and \\N and \\. and я and 🎉"},
        {**MESSAGE, "body": "\\."},
        {**MESSAGE, "body": "long " * 40},
        {**MESSAGE, "channel": "whatsapp", "from": "+447700900001", "priority": "high", "valid_for": 60},
        {
            **MESSAGE,
            "callback_url": "https://client.example/cb?a=1",
            "client_reference": "a\\tb\tc\n",
            "metadata": {"k\\": 'a "quoted"\n\\ value', "я": ""},
        },
        {**MESSAGE, "send_at": "2026-11-25T09:00:00+01:00", "from": "Acme & Co"},
    ],
)
def test_a_message_of_a_batch_is_stored_as_one_that_came_alone(
    client: Client, alice: Member, message: dict[str, Any]
) -> None:
    alice.account.default_sender = "AcmeShop"
    alice.account.save()
    route = make_route("british", make_connection(), destinations="GB")
    with time_machine.travel("2026-11-24T12:00:00Z", tick=False):
        client.post("/v1/messages", message, content_type="application/json", headers=alice.headers)
        post(client, alice, [message])

    alone, together = Message.objects.order_by("id")
    assert columns(alone) == columns(together)
    assert together.lane > 16 * route.pk
    assert alone.request_id != together.request_id
    first, second = (entry.events[0] for entry in JournalEntry.objects.order_by("id"))
    assert first["data"].pop("request_id") == alone.request_id
    assert second["data"].pop("request_id") == together.request_id
    assert {**first, "id": "", "message": ""} == {**second, "id": "", "message": ""}
    assert second["message"] == str(together.id)


def test_each_message_has_a_result_and_the_good_ones_are_stored(client: Client, alice: Member) -> None:
    answer = post(client, alice, [MESSAGE, {**MESSAGE, "to": "x", "colour": "red"}, 7, None, {**MESSAGE, "body": "b"}])

    document = answer.json()
    first, second, third, fourth, fifth = document["results"]
    assert (answer.status_code, document["accepted"], document["rejected"]) == (202, 2, 3)
    assert {error["pointer"]: error["code"] for error in second["errors"]} == {
        "/messages/1/to": "number_invalid",
        "/messages/1/colour": "unknown_field",
    }
    assert [[(error["pointer"], error["code"]) for error in one["errors"]] for one in (third, fourth)] == [
        [("/messages/2", "invalid")],
        [("/messages/3", "null")],
    ]
    assert [str(pk) for pk in Message.objects.order_by("id").values_list("id", flat=True)] == [first["id"], fifth["id"]]
    assert client.get(f"/v1/messages/{first['id']}", headers=alice.headers).json()["status"] == "queued"


def test_what_no_connection_carries_is_rejected(client: Client, alice: Member) -> None:
    make_connection(provider="telnyx")
    messages = [MESSAGE, {**MESSAGE, "channel": "whatsapp", "from": "+447700900001"}]

    first, second = post(client, alice, messages).json()["results"]

    assert first["status"] == "accepted"
    assert [(one["pointer"], one["code"]) for one in second["errors"]] == [
        ("/messages/1/channel", "channel_unsupported")
    ]


def test_of_all_or_nothing_one_mistake_leaves_nothing(client: Client, alice: Member) -> None:
    answer = post(client, alice, [MESSAGE, {**MESSAGE, "body": ""}], all_or_nothing=True)

    assert (answer.status_code, answer.json()["code"]) == (422, "batch_rejected")
    assert [(error["pointer"], error["code"]) for error in answer.json()["errors"]] == [("/messages/1/body", "blank")]
    assert not Message.objects.exists()
    assert not JournalEntry.objects.exists()


def test_of_all_or_nothing_without_a_mistake_all_is_stored(client: Client, alice: Member) -> None:
    assert post(client, alice, numbered(3), all_or_nothing=True).json()["accepted"] == 3
    assert Message.objects.count() == 3


@pytest.mark.parametrize(
    ("messages", "pointer", "code"),
    [
        ([], "/messages", "empty"),
        (numbered(1001), "/messages", "max_length"),
        ({}, "/messages", "wrong_type"),
        (None, "/messages", "null"),
    ],
)
def test_a_list_that_is_none_is_refused(client: Client, alice: Member, messages: Any, pointer: str, code: str) -> None:
    answer = post(client, alice, messages)

    assert answer.status_code == 400
    assert [(error["pointer"], error["code"]) for error in answer.json()["errors"]] == [(pointer, code)]


def test_a_thousand_messages_cost_as_many_statements_as_one(client: Client, alice: Member) -> None:
    post(client, alice, numbered(1))  # notes the key's use
    with CaptureQueriesContext(connection) as for_one:
        post(client, alice, numbered(1))
    with CaptureQueriesContext(connection) as for_many:
        answer = post(client, alice, numbered(1000))

    assert answer.json()["accepted"] == 1000
    assert len(for_many) == len(for_one)
    assert Message.objects.count() == 1002
    assert len(JournalEntry.objects.latest("id").events) == 1000


def test_a_repeat_with_the_same_key_stores_nothing_more(client: Client, alice: Member) -> None:
    first, second = (post(client, alice, numbered(2), headers={"Idempotency-Key": "list-7"}) for _ in range(2))

    assert first.json() == second.json()
    assert second.headers["Idempotency-Replayed"] == "true"
    assert Message.objects.count() == 2


def test_more_than_a_single_message_may_have_is_read(client: Client, alice: Member) -> None:
    messages = [{**message, "body": "я" * 600} for message in numbered(200)]
    assert post(client, alice, messages).json()["accepted"] == 200


def test_a_body_over_the_cap_is_refused(client: Client, alice: Member) -> None:
    answer = post(client, alice, [{**MESSAGE, "body": "x" * 4_194_304}])

    assert (answer.status_code, answer.json()["code"]) == (413, "body_too_large")
    assert "4096 kB" in answer.json()["detail"]


def test_bob_who_may_only_read_sends_nothing(client: Client, bob: Member) -> None:
    assert post(client, bob, [MESSAGE]).json()["code"] == "scope_missing"


def test_a_test_key_makes_test_messages(client: Client, alice: Member) -> None:
    client.post(URL, {"messages": [MESSAGE]}, content_type="application/json", headers=alice.test_headers)

    assert Message.objects.get().test is True


@pytest.mark.django_db(transaction=True)
def test_a_row_that_can_not_be_stored_takes_all_with_it(
    client: Client, alice: Member, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(copying, "EVENTS", 2)
    one = copying.event_of

    def fails_late(row: Any) -> Any:
        if row.body == "hello 4":
            raise RuntimeError
        return one(row)

    monkeypatch.setattr(copying, "event_of", fails_late)
    client.raise_request_exception = False

    assert post(client, alice, numbered(5)).status_code == 500
    assert not Message.objects.exists()
    assert not JournalEntry.objects.exists()
