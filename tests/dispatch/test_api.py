"""The messages API through Django's whole request stack, on a real database."""

import gzip
import json
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from django.test import Client
from django.utils import timezone

from dispatch.models import Message
from dispatch.states import State
from sendmsg.journal.models import JournalEntry
from tests.cast import Member
from tests.factories import make_connection, make_message

pytestmark = pytest.mark.django_db
MESSAGE = {"to": "+447700900900", "body": "hello"}


def post(client: Client, member: Member, body: Any, **headers: str) -> Any:
    return client.post("/v1/messages", body, content_type="application/json", headers={**member.headers, **headers})


def get(client: Client, member: Member, path: str) -> Any:
    return client.get(path, headers=member.headers)


def codes(answer: Any) -> dict[str, str]:
    return {error["pointer"]: error["code"] for error in answer.json()["errors"]}


class TestSending:
    def test_an_accepted_message_is_a_row_that_is_due_and_an_event(self, client: Client, alice: Member) -> None:
        answer = post(client, alice, MESSAGE)

        assert answer.status_code == 202
        document = answer.json()
        message = Message.objects.get()
        assert answer.headers["Location"] == f"/v1/messages/{message.id}"
        assert (message.state, message.account_id, message.test) == (State.QUEUED, alice.account.id, False)
        assert message.due_at <= timezone.now()
        assert UUID(document["id"]).version == 7
        assert list(document) == [
            "id", "status", "channel", "to", "from", "body", "body_length", "segments", "encoding", "priority",
            "provider", "error", "client_reference", "metadata", "callback_url", "send_at", "expires_at",
            "created_at", "updated_at",
        ]  # fmt: skip
        [event] = JournalEntry.objects.get().events
        assert (event["type"], event["message"]) == ("accepted", str(message.id))

    def test_neither_number_nor_text_is_in_the_event(self, client: Client, alice: Member) -> None:
        post(client, alice, {**MESSAGE, "body": "the secret is 4711"})

        text = str(JournalEntry.objects.get().events)
        assert "4711" not in text
        assert "900900" not in text

    def test_what_was_asked_for_is_what_is_stored(self, client: Client, alice: Member) -> None:
        send_at = timezone.now() + timedelta(days=2)
        wanted = {
            **MESSAGE,
            "from": "Acme",
            "priority": "high",
            "send_at": send_at.isoformat(),
            "valid_for": 600,
            "client_reference": "order-7",
            "metadata": {"shop": "Oslo"},
        }

        document = post(client, alice, wanted).json()

        message = Message.objects.get()
        assert (message.due_at, message.expires_at) == (send_at, send_at + timedelta(seconds=600))
        assert {name: document[name] for name in ("from", "priority", "client_reference", "metadata")} == {
            name: wanted[name] for name in ("from", "priority", "client_reference", "metadata")
        }

    def test_the_sender_is_the_accounts_unless_it_is_named(self, client: Client, alice: Member) -> None:
        alice.account.default_sender = "AcmeShop"
        alice.account.save()

        assert post(client, alice, MESSAGE).json()["from"] == "AcmeShop"
        assert post(client, alice, {**MESSAGE, "from": "+447700900001"}).json()["from"] == "+447700900001"

    def test_a_number_is_stored_in_its_one_form(self, client: Client, alice: Member) -> None:
        assert post(client, alice, {**MESSAGE, "to": "+44 (7700) 900-900"}).json()["to"] == "+447700900900"

    @pytest.mark.parametrize(
        ("body", "segments", "encoding"),
        [("a" * 160, 1, "gsm7"), ("a" * 161, 2, "gsm7"), ("€" * 80, 1, "gsm7"), ("я" * 71, 2, "ucs2")],
    )
    def test_segments_are_counted(self, client: Client, alice: Member, body: str, segments: int, encoding: str) -> None:
        document = post(client, alice, {**MESSAGE, "body": body}).json()

        assert (document["segments"], document["encoding"]) == (segments, encoding)

    @pytest.mark.parametrize(
        ("change", "pointer", "code"),
        [
            ({"to": "447700900900"}, "/to", "number_missing_plus"),
            ({"to": "+44770090090012345"}, "/to", "number_not_possible"),
            ({"to": 447700900900}, "/to", "wrong_type"),
            ({"to": None}, "/to", "null"),
            ({"body": ""}, "/body", "blank"),
            ({"body": "a" * 1531}, "/body", "body_too_long"),
            ({"channel": "fax"}, "/channel", "invalid_choice"),
            ({"priority": "urgent"}, "/priority", "invalid_choice"),
            ({"from": "bad\r\nsender"}, "/from", "sender_invalid"),
            ({"channel": "whatsapp", "from": "Acme"}, "/from", "sender_not_number"),
            ({"send_at": "2026-12-31T09:00:00"}, "/send_at", "rfc3339"),
            ({"send_at": "2020-01-01T00:00:00Z"}, "/send_at", "send_at_past"),
            ({"send_at": "2099-01-01T00:00:00Z"}, "/send_at", "send_at_too_far"),
            ({"send_at": "2026-13-45T99:00:00Z"}, "/send_at", "invalid"),
            ({"valid_for": 0}, "/valid_for", "min_value"),
            ({"valid_for": 604801}, "/valid_for", "max_value"),
            ({"valid_for": "60"}, "/valid_for", "wrong_type"),
            ({"valid_for": True}, "/valid_for", "wrong_type"),
            ({"client_reference": "x" * 101}, "/client_reference", "max_length"),
            ({"metadata": {"a": 1}}, "/metadata/a", "wrong_type"),
            ({"metadata": {str(n): "x" for n in range(21)}}, "/metadata", "too_many_pairs"),
            ({"metadata": {"": "x"}}, "/metadata", "key_length"),
            ({"metadata": []}, "/metadata", "wrong_type"),
            ({"texte": "hi"}, "/texte", "unknown_field"),
            ({"__proto__": {}}, "/__proto__", "unknown_field"),
        ],
    )
    def test_what_cannot_be_accepted_is_named_and_nothing_is_stored(
        self, client: Client, alice: Member, change: dict[str, Any], pointer: str, code: str
    ) -> None:
        answer = post(client, alice, {**MESSAGE, **change})

        assert answer.status_code == 400
        assert answer.headers["Content-Type"] == "application/problem+json"
        assert codes(answer) == {pointer: code}
        assert not Message.objects.exists()

    def test_all_mistakes_are_named_at_once(self, client: Client, alice: Member) -> None:
        answer = post(client, alice, {"to": "x", "priority": "urgent", "colour": "red"})

        assert set(codes(answer)) == {"/to", "/body", "/priority", "/colour"}

    def test_a_repeat_with_the_same_key_is_the_same_message(self, client: Client, alice: Member) -> None:
        first = post(client, alice, MESSAGE, **{"Idempotency-Key": "order-7"})
        second = post(client, alice, MESSAGE, **{"Idempotency-Key": "order-7"})

        assert (first.json(), first.headers["Location"]) == (second.json(), second.headers["Location"])
        assert second.headers["Idempotency-Replayed"] == "true"
        assert Message.objects.count() == 1

    def test_bob_who_may_only_read_sends_nothing(self, client: Client, bob: Member) -> None:
        assert post(client, bob, MESSAGE).json()["code"] == "scope_missing"

    def test_a_test_key_makes_a_test_message(self, client: Client, alice: Member) -> None:
        client.post("/v1/messages", MESSAGE, content_type="application/json", headers=alice.test_headers)

        assert Message.objects.get().test is True


class TestReading:
    @pytest.mark.django_db(databases=["default", "logs"])
    def test_another_accounts_message_does_not_exist(self, client: Client, alice: Member, charlie: Member) -> None:
        message = make_message(alice.account)

        for path in (f"/v1/messages/{message.id}", f"/v1/messages/{message.id}/events"):
            assert get(client, alice, path).status_code == 200
            assert get(client, charlie, path).status_code == 404
        cancel = client.post(
            f"/v1/messages/{message.id}/cancel", content_type="application/json", headers=charlie.headers
        )
        assert cancel.status_code == 404
        assert get(client, charlie, "/v1/messages").json()["results"] == []

    def test_a_test_key_does_not_see_live_messages(self, client: Client, alice: Member) -> None:
        message = make_message(alice.account, test=False)

        answer = client.get(f"/v1/messages/{message.id}", headers=alice.test_headers)

        assert answer.status_code == 404

    def test_the_provider_and_the_error_are_shown(self, client: Client, alice: Member) -> None:
        message = make_message(
            alice.account,
            state=State.FAILED,
            connection=make_connection(name="sendmsg"),
            error_code="unroutable",
            error_detail="no such network",
        )

        document = get(client, alice, f"/v1/messages/{message.id}").json()

        assert document["provider"] == "sendmsg"
        assert document["error"] == {"code": "unroutable", "detail": "no such network"}

    def test_pages_hold_every_message_once_though_new_ones_arrive(self, client: Client, alice: Member) -> None:
        ids = [str(make_message(alice.account).id) for _ in range(5)]
        seen: list[str] = []
        path = "/v1/messages?limit=2"
        while path:
            page = get(client, alice, path).json()
            seen += [row["id"] for row in page["results"]]
            make_message(alice.account)
            path = f"/v1/messages?limit=2&cursor={page['next_cursor']}" if page["next_cursor"] else ""

        assert seen == ids[::-1]

    @pytest.mark.parametrize(
        ("query", "found"),
        [
            ("status=sent", ["b"]),
            ("to=%2B447700900001", ["a"]),
            ("client_reference=b", ["b"]),
            ("created_after=2999-01-01T00:00:00Z", []),
            ("created_after=2000-01-01T00:00:00Z", ["b", "a"]),
            ("status=sent&client_reference=a", []),
        ],
    )
    def test_filters_narrow_the_list(self, client: Client, alice: Member, query: str, found: list[str]) -> None:
        make_message(alice.account, client_reference="a", to="+447700900001")
        make_message(alice.account, client_reference="b", to="+447700900002", state=State.SENT)

        page = get(client, alice, f"/v1/messages?{query}").json()

        assert [row["client_reference"] for row in page["results"]] == found

    @pytest.mark.parametrize(
        "query",
        ["status=gone", "limit=0", "limit=101", "limit=x", "cursor=AAAA", "created_after=now", "page=2", "to=x"],
    )
    def test_a_query_that_makes_no_sense_is_refused(self, client: Client, alice: Member, query: str) -> None:
        assert get(client, alice, f"/v1/messages?{query}").status_code == 400

    def test_a_list_costs_the_same_queries_however_long(
        self, client: Client, alice: Member, django_assert_max_num_queries: Any
    ) -> None:
        connection = make_connection(name="sendmsg")
        for _ in range(30):
            make_message(alice.account, connection=connection)
        get(client, alice, "/v1/messages")  # notes the key's use

        with django_assert_max_num_queries(2):
            get(client, alice, "/v1/messages?limit=30")


class TestCanceling:
    def cancel(self, client: Client, member: Member, message: Message) -> Any:
        return client.post(f"/v1/messages/{message.id}/cancel", content_type="application/json", headers=member.headers)

    @pytest.mark.parametrize("state", [State.QUEUED, State.RELEASED])
    def test_a_message_that_has_not_left_can_be_taken_back(self, client: Client, alice: Member, state: State) -> None:
        message = make_message(alice.account, state=state)

        answer = self.cancel(client, alice, message)

        assert (answer.status_code, answer.json()["status"]) == (200, "canceled")

    @pytest.mark.parametrize("state", sorted(set(State) - {State.QUEUED, State.RELEASED}))
    def test_one_that_left_can_not(self, client: Client, alice: Member, state: State) -> None:
        message = make_message(alice.account, state=state)

        answer = self.cancel(client, alice, message)

        message.refresh_from_db()
        assert (answer.status_code, answer.json()["code"]) == (409, "message_not_cancelable")
        assert message.state == state

    def test_one_that_may_have_left_can_not(self, client: Client, alice: Member) -> None:
        message = make_message(alice.account, in_doubt=True)

        assert self.cancel(client, alice, message).status_code == 409

    def test_bob_may_not_cancel(self, client: Client, alice: Member, bob: Member) -> None:
        assert self.cancel(client, bob, make_message(alice.account)).status_code == 403


@pytest.mark.django_db(databases=["default", "logs"])
class TestTimeline:
    def test_events_come_oldest_first_from_the_logs_database(self, client: Client, alice: Member) -> None:
        from sendmsg.logs.writer import LogWriter

        answer = post(client, alice, MESSAGE)
        LogWriter().step()

        [event] = get(client, alice, f"/v1/messages/{answer.json()['id']}/events").json()["results"]

        assert event["type"] == "accepted"
        asked = {"channel": "sms", "priority": "normal", "segments": 1}
        assert event["data"] == {**asked, "request_id": answer["X-Request-ID"]}

    def test_a_message_knows_the_request_that_brought_it(self, client: Client, alice: Member) -> None:
        post(client, alice, MESSAGE, **{"X-Request-ID": "order-service-7"})

        assert Message.objects.get().request_id == "order-service-7"

    def test_a_number_that_a_client_made_its_request_id_of_is_masked(self, client: Client, alice: Member) -> None:
        post(client, alice, MESSAGE, **{"X-Request-ID": "447700900123"})

        [event] = JournalEntry.objects.get().events
        assert event["data"]["request_id"] == Message.objects.get().request_id == "447****23"


def test_answers_are_compressed_for_those_who_accept_it(client: Client, alice: Member) -> None:
    for _ in range(5):
        make_message(alice.account)
    headers = {**alice.headers, "Accept-Encoding": "br, gzip"}

    plain, packed = get(client, alice, "/v1/messages"), client.get("/v1/messages", headers=headers)

    assert "Content-Encoding" not in plain.headers
    assert packed.headers["Content-Encoding"] == "gzip"
    assert "Accept-Encoding" in packed.headers["Vary"]
    assert json.loads(gzip.decompress(packed.content)) == plain.json()
