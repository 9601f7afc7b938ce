"""Broadcasts through the API: made whole or not at all, looked at, paused, resumed and canceled."""

import json
from typing import Any
from uuid import UUID

import pytest
from django.db import connection
from django.test import Client

from dispatch.bulk import broadcasts, copying
from dispatch.models import Broadcast, Message
from dispatch.states import State
from sendmsg.journal.models import JournalEntry
from sendmsg.sealing.envelope import MARK
from tests.cast import Member
from tests.factories import make_connection, make_route

pytestmark = pytest.mark.django_db
URL = "/v1/broadcasts"
BODY = {"body": "We close at nine."}
NDJSON, CSV = "application/x-ndjson", "text/csv"


def number(index: int) -> str:
    return f"+4477009{index:05d}"


def post(client: Client, member: Member, recipients: Any, *, headers: Any = (), **fields: Any) -> Any:
    body = {**BODY, "recipients": recipients, **fields}
    return client.post(URL, body, content_type="application/json", headers={**member.headers, **dict(headers)})


def stream(client: Client, member: Member, kind: str, rest: str, **fields: Any) -> Any:
    return client.post(URL, f"{json.dumps({**BODY, **fields})}\n{rest}".encode(), kind, headers=member.headers)


def get(client: Client, member: Member, path: str = "") -> Any:
    return client.get(f"{URL}{path}", headers=member.headers)


def act(client: Client, member: Member, broadcast: Broadcast, what: str) -> Any:
    return client.post(f"{URL}/{broadcast.id}/{what}", content_type="application/json", headers=member.headers)


def told(answer: Any) -> list[tuple[str, str]]:
    return [(error["pointer"], error["code"]) for error in answer.json()["errors"]]


class TestSending:
    def test_every_recipient_is_a_message_that_is_due_with_its_event(self, client: Client, alice: Member) -> None:
        answer = post(client, alice, [number(1), {"to": number(2), "client_reference": "c-2"}], name="Closing")

        document = answer.json()
        broadcast = Broadcast.objects.get()
        assert answer.status_code == 202
        assert answer.headers["Location"] == f"{URL}/{broadcast.id}"
        assert UUID(document["id"]).version == 7
        assert (document["status"], document["priority"], document["name"]) == ("running", "bulk", "Closing")
        assert (document["recipients"], document["segments"], document["counts"]) == (2, 2, {"queued": 2})
        rows = Message.objects.order_by("id").values_list("to", "client_reference", "body", "priority", "broadcast")
        assert list(rows) == [
            (number(1), "", "We close at nine.", 2, broadcast.id),
            (number(2), "c-2", "We close at nine.", 2, broadcast.id),
        ]
        first, _ = JournalEntry.objects.get().events
        assert first["data"] == {
            "channel": "sms",
            "segments": 1,
            "priority": "bulk",
            "broadcast": str(broadcast.id),
            "request_id": answer["X-Request-ID"],
        }

    def test_a_text_that_all_share_is_encrypted_once_and_one_with_values_for_each(
        self, client: Client, alice: Member
    ) -> None:
        post(client, alice, [number(1), number(2)])
        post(client, alice, [{"to": number(n), "values": {"n": "7"}} for n in (3, 4)], body="Your code is {{n}}")
        with connection.cursor() as cursor:
            cursor.execute('SELECT "to", body FROM dispatch_message')
            tokens = dict(cursor.fetchall())
        assert all(token.startswith(MARK) for token in tokens.values())
        assert tokens[number(1)] == tokens[number(2)]
        assert tokens[number(3)] != tokens[number(4)]
        assert set(Message.objects.values_list("body", flat=True)) == {BODY["body"], "Your code is 7"}

    def test_its_messages_are_those_of_single_posts(self, client: Client, alice: Member) -> None:
        make_route("norwegian", make_connection(), destinations="NO")
        fields: dict[str, Any] = {"from": "Acme", "valid_for": 600, "priority": "normal"}
        for to in (number(1), "+4799999999"):
            body = {**BODY, **fields, "to": to}
            client.post("/v1/messages", body, content_type="application/json", headers=alice.headers)
        post(client, alice, [number(1), "+4799999999"], **fields)

        rows = Message.objects.order_by("id").values_list("to", "lane", "sender", "segments", "encoding", "priority")
        assert list(rows)[:2] == list(rows)[2:]
        assert len({lane for _, lane, *_ in rows}) == 2

    def test_placeholders_are_what_the_list_says(self, client: Client, alice: Member) -> None:
        recipients = [
            {"to": number(1), "values": {"name": "Ada", "code": "{{name}}"}},
            {"to": number(2), "values": {"name": "я" * 71, "code": ""}},
        ]

        answer = post(client, alice, recipients, body="{{name}}{{code}}")

        assert list(Message.objects.order_by("id").values_list("body", "segments", "encoding")) == [
            ("Ada{{name}}", 1, "gsm7"),
            ("я" * 71, 2, "ucs2"),
        ]
        assert answer.json()["segments"] == 3

    def test_bad_recipients_are_counted_and_told_and_the_others_accepted(self, client: Client, alice: Member) -> None:
        recipients: list[Any] = [number(1), "x", {"to": number(2), "values": {"name": 1}}, 7, "+44 7700 900001"]

        document = post(client, alice, recipients).json()

        assert (document["recipients"], document["rejected"], document["duplicates"]) == (1, 3, 1)
        assert [(one["line"], one["field"], one["code"]) for one in document["rejections"]] == [
            (2, "to", "number_invalid"),
            (3, "name", "wrong_type"),
            (4, "", "wrong_type"),
        ]
        assert Message.objects.get().to == number(1)

    def test_of_many_bad_ones_the_first_hundred_are_told(self, client: Client, alice: Member) -> None:
        document = post(client, alice, [number(1), *["x"] * 150]).json()

        assert (document["rejected"], len(document["rejections"])) == (150, 100)

    def test_of_a_field_that_does_not_exist_the_beginning_is_told(self, client: Client, alice: Member) -> None:
        [told] = post(client, alice, [number(1), {"x" * 5000: ""}]).json()["rejections"]

        assert (told["field"], told["code"]) == ("x" * 40, "unknown_field")

    def test_what_no_connection_carries_is_rejected(self, client: Client, alice: Member) -> None:
        make_connection()
        route = make_route("norwegian", make_connection("plain", provider="telnyx"), destinations="NO")

        def rejected(recipients: list[Any], **fields: Any) -> list[tuple[int, str]]:
            answer = post(client, alice, recipients, **{"channel": "whatsapp", "from": number(9), **fields})
            return [(one["line"], one["code"]) for one in answer.json()["rejections"]]

        assert rejected([number(1), "+4799999999", number(2)]) == [(2, "channel_unsupported")]
        people = [{"to": to, "values": {"name": "Ada"}} for to in ("+4799999999", number(1))]
        assert rejected(people, body="Hi {{name}}") == [(1, "channel_unsupported")]
        assert not Message.objects.filter(lane__gt=16 * route.pk).exists()

    def test_a_missing_value_rejects_its_recipient(self, client: Client, alice: Member) -> None:
        recipients = [{"to": number(1), "values": {"name": "Ada"}}, number(2)]

        [told] = post(client, alice, recipients, body="Hi {{name}}").json()["rejections"]

        assert (told["line"], told["field"], told["code"]) == (2, "name", "value_missing")

    @pytest.mark.parametrize(
        ("recipients", "options"), [([number(1), "x"], {"all_or_nothing": True}), (["x", "y"], {}), (["", "x"], {})]
    )
    def test_nothing_is_stored_when_all_were_asked_for_or_none_is_good(
        self, client: Client, alice: Member, recipients: list[str], options: dict[str, Any]
    ) -> None:
        answer = post(client, alice, recipients, **options)

        assert (answer.status_code, answer.json()["code"]) == (422, "broadcast_rejected")
        assert ("/recipients/1/to", "number_invalid") in told(answer)
        assert not Broadcast.objects.exists()
        assert not Message.objects.exists()
        assert not JournalEntry.objects.exists()

    def test_pointers_lead_into_the_list(self, client: Client, alice: Member) -> None:
        recipients: list[Any] = [
            {"to": "x"},
            {"to": number(1), "values": {"a/b": 7}},
            {"to": number(1), "colour": "red"},
            {"to": number(1)},
            {"to": number(1), "values": {"name": "x" * 1600}},
            7,
        ]

        assert told(post(client, alice, recipients, body="{{name}}")) == [
            ("/recipients/0/to", "number_invalid"),
            ("/recipients/1/values/a~1b", "wrong_type"),
            ("/recipients/2/colour", "unknown_field"),
            ("/recipients/3/values/name", "value_missing"),
            ("/recipients/4", "body_too_long"),
            ("/recipients/5", "wrong_type"),
        ]

    @pytest.mark.parametrize(
        ("change", "pointer", "code"),
        [
            ({"recipients": []}, "/recipients", "empty"),
            ({"recipients": "x"}, "/recipients", "wrong_type"),
            ({"body": "Hi {{first name}}"}, "/body", "placeholder_invalid"),
            ({"body": ""}, "/body", "blank"),
            ({"body": "x" * 1531}, "/body", "body_too_long"),
            ({"from": "!"}, "/from", "sender_invalid"),
            ({"to": number(1)}, "/to", "unknown_field"),
            ({"metadata": {}}, "/metadata", "unknown_field"),
            ({"send_at": "2099-01-01T00:00:00Z"}, "/send_at", "send_at_too_far"),
            ({"name": "x" * 101}, "/name", "max_length"),
        ],
    )
    def test_what_is_wrong_with_the_whole_is_named(
        self, client: Client, alice: Member, change: dict[str, Any], pointer: str, code: str
    ) -> None:
        answer = post(client, alice, **{"recipients": [number(1)], **change})

        assert answer.status_code == 400
        assert told(answer) == [(pointer, code)]

    def test_too_many_recipients_are_refused_as_json_and_as_a_stream(
        self, client: Client, alice: Member, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(broadcasts, "MAX_RECIPIENTS", 3)
        rest = "\n".join(["to", *(number(index) for index in range(4))])

        for answer in (post(client, alice, [number(1)] * 4), stream(client, alice, CSV, rest)):
            assert told(answer) == [("/recipients", "max_length")]
        assert not Message.objects.exists()

    def test_a_list_is_stored_in_chunks_and_still_whole(
        self, client: Client, alice: Member, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(copying, "CHUNK", 4)
        good = [number(index) for index in range(10)]

        assert post(client, alice, [*good, "x"], all_or_nothing=True).status_code == 422
        assert not Message.objects.exists()
        assert post(client, alice, good).json()["recipients"] == 10
        assert Message.objects.count() == 10

    def test_a_repeat_with_the_same_key_sends_nothing_more(self, client: Client, alice: Member) -> None:
        first, second = (post(client, alice, [number(1)], headers={"Idempotency-Key": "b"}) for _ in range(2))

        assert first.json() == second.json()
        assert Message.objects.count() == 1

    def test_bob_who_may_only_read_sends_nothing(self, client: Client, bob: Member) -> None:
        assert post(client, bob, [number(1)]).json()["code"] == "scope_missing"


class TestStreams:
    def test_ndjson_and_csv_say_what_json_says(self, client: Client, alice: Member) -> None:
        fields = {"body": "Hi {{name}}", "from": "Acme"}
        people = [{"to": number(1), "values": {"name": "Ada"}}, {"to": number(2), "values": {"name": "Bob"}}]
        post(client, alice, people, **fields)
        stream(client, alice, NDJSON, "\n".join(map(json.dumps, people)), **fields)
        answer = stream(client, alice, CSV, f"to,name\n{number(1)},Ada\n{number(2)},Bob\n", **fields)

        assert answer.json()["recipients"] == 2
        rows = list(Message.objects.order_by("id").values_list("to", "body", "sender"))
        assert rows[:2] == rows[2:4] == rows[4:]

    def test_rejections_name_the_line_of_the_stream(self, client: Client, alice: Member) -> None:
        document = stream(client, alice, CSV, f"to\n{number(1)}\nx\n").json()
        refused = stream(client, alice, NDJSON, f'"{number(1)}"\n{{\n', all_or_nothing=True)

        assert [(one["line"], one["field"]) for one in document["rejections"]] == [(4, "to")]
        assert told(refused) == [("/lines/3", "json_invalid")]

    @pytest.mark.parametrize(
        ("kind", "body", "status", "code"),
        [
            (NDJSON, b"", 400, "validation_failed"),
            (NDJSON, b"\n", 400, "upload_invalid"),
            (NDJSON, b'"+447700900900"\n', 400, "upload_invalid"),
            (NDJSON, b"{\n", 400, "json_invalid"),
            (NDJSON, b'{"body": "hi"}\n', 422, "broadcast_rejected"),
            (NDJSON, b'{"body": "hi"}\n\xff\n', 400, "upload_invalid"),
            (NDJSON, b'{"body": "hi", "recipients": []}\n', 400, "validation_failed"),
            (CSV, b'{"body": "hi"}\nnumber\n', 400, "upload_invalid"),
            (CSV, b'{"body": "hi"}\nto\n"\n', 400, "upload_invalid"),
            ("text/csv; charset=latin-1", b'{"body": "hi"}\nto\n', 415, "charset_unsupported"),
            ("text/plain", b"to\n", 415, "media_type_unsupported"),
        ],
    )
    def test_a_stream_that_can_not_be_read_is_refused(
        self, client: Client, alice: Member, kind: str, body: bytes, status: int, code: str
    ) -> None:
        answer = client.post(URL, body, kind, headers=alice.headers)

        assert (answer.status_code, answer.json()["code"]) == (status, code)
        assert not Broadcast.objects.exists()

    def test_what_comes_before_a_bad_line_is_not_stored(
        self, client: Client, alice: Member, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(copying, "CHUNK", 1)
        rest = f'"{number(1)}"\n"{number(2)}"\n' + "x" * 70_000

        answer = stream(client, alice, NDJSON, rest)

        assert (answer.status_code, answer.json()["detail"]) == (400, "Line 4 is longer than 64 kB.")
        assert not Message.objects.exists()

    def test_a_stream_over_the_cap_is_refused(
        self, client: Client, alice: Member, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("dispatch.bulk.broadcast_views.CSVParser.max_bytes", 100_000)

        answer = stream(client, alice, CSV, "to\n" + f"{number(1)}\n" * 10_000)

        assert (answer.status_code, answer.json()["code"]) == (413, "body_too_large")

    def test_a_repeat_is_recognised_by_its_bytes(self, client: Client, alice: Member) -> None:
        headers = {**alice.headers, "Idempotency-Key": "list-7"}
        body = f'{json.dumps(BODY)}\n"{number(1)}"\n'.encode()
        first, second, other = (
            client.post(URL, sent, NDJSON, headers=headers) for sent in (body, body, body + b'"+447700900002"\n')
        )

        assert first.json() == second.json()
        assert other.json()["code"] == "idempotency_key_reused"
        assert Message.objects.count() == 1


class TestLooking:
    def test_the_messages_are_counted_by_status(self, client: Client, alice: Member) -> None:
        document = post(client, alice, [number(index) for index in range(4)]).json()
        first, second = Message.objects.order_by("id")[:2]
        Message.objects.filter(id=first.id).update(state=State.DELIVERED)
        Message.objects.filter(id=second.id).update(state=State.FAILED)

        counts = get(client, alice, f"/{document['id']}").json()["counts"]

        assert counts == {"queued": 2, "delivered": 1, "failed": 1}

    def test_its_messages_are_found_by_status(self, client: Client, alice: Member) -> None:
        post(client, alice, [number(1)])
        broadcast = post(client, alice, [number(2), number(3)]).json()["id"]
        Message.objects.filter(to=number(3)).update(state=State.FAILED)

        def found(query: str) -> set[str]:
            answer = client.get(f"/v1/messages?broadcast={query}", headers=alice.headers)
            return {row["to"] for row in answer.json()["results"]}

        assert found(broadcast) == {number(2), number(3)}
        assert found(f"{broadcast}&status=failed") == {number(3)}
        assert client.get("/v1/messages?broadcast=x", headers=alice.headers).status_code == 400

    def test_the_list_is_newest_first_in_pages(self, client: Client, alice: Member) -> None:
        ids = [post(client, alice, [number(1)]).json()["id"] for _ in range(3)]
        Broadcast.objects.filter(id=ids[0]).update(state="finished")

        page = get(client, alice, "?limit=2").json()
        rest = get(client, alice, f"?limit=2&cursor={page['next_cursor']}").json()

        assert [row["id"] for row in page["results"] + rest["results"]] == ids[::-1]
        assert [row["id"] for row in get(client, alice, "?status=finished").json()["results"]] == [ids[0]]
        assert "counts" not in page["results"][0]

    def test_another_accounts_broadcast_does_not_exist(self, client: Client, alice: Member, charlie: Member) -> None:
        broadcast = Broadcast.objects.get(id=post(client, alice, [number(1)]).json()["id"])

        assert get(client, charlie, f"/{broadcast.id}").status_code == 404
        assert get(client, charlie).json()["results"] == []
        for what in broadcasts.MOVES:
            assert act(client, charlie, broadcast, what).status_code == 404
        assert client.get(f"{URL}/{broadcast.id}", headers=alice.test_headers).status_code == 404
        assert client.get(URL, headers=alice.test_headers).json()["results"] == []

    def test_bob_may_look_and_nothing_else(self, client: Client, alice: Member, bob: Member) -> None:
        broadcast = Broadcast.objects.get(id=post(client, alice, [number(1)]).json()["id"])

        assert get(client, bob, f"/{broadcast.id}").status_code == 200
        assert act(client, bob, broadcast, "cancel").status_code == 403


class TestMoving:
    @pytest.mark.parametrize(
        ("state", "what", "status", "after"),
        [
            ("running", "pause", 200, "paused"),
            ("running", "resume", 200, "running"),
            ("running", "cancel", 200, "canceling"),
            ("paused", "pause", 200, "paused"),
            ("paused", "resume", 200, "running"),
            ("paused", "cancel", 200, "canceling"),
            ("canceling", "cancel", 200, "canceling"),
            ("canceling", "resume", 409, "canceling"),
            ("canceling", "pause", 409, "canceling"),
            ("canceled", "cancel", 200, "canceled"),
            ("canceled", "resume", 409, "canceled"),
            ("finished", "pause", 409, "finished"),
            ("finished", "cancel", 409, "finished"),
        ],
    )
    def test_a_broadcast_moves_until_it_is_over(
        self, client: Client, alice: Member, state: str, what: str, status: int, after: str
    ) -> None:
        broadcast = Broadcast.objects.get(id=post(client, alice, [number(1)]).json()["id"])
        Broadcast.objects.filter(id=broadcast.id).update(state=state)

        answer = act(client, alice, broadcast, what)

        broadcast.refresh_from_db()
        assert (answer.status_code, broadcast.state) == (status, after)
        assert answer.json().get("code") == ("broadcast_over" if status == 409 else None)
