"""The webhooks API: a client's own endpoints, and nobody else's."""

from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from django.test import Client
from django.utils import timezone

from dispatch.models import Listener
from sendmsg.api.models import IdempotencyRecord
from tests.cast import Member, bearer, make_key
from tests.factories import make_connection
from tests.faults import FaultServer, answer
from tests.webhooks.callbacks.driving import deliver, make_endpoint, sent_message, told, verified, work_off
from webhooks.callbacks.models import Callback, Endpoint
from webhooks.callbacks.vocabulary import DisabledReason, EndpointState

pytestmark = pytest.mark.django_db

URL = "https://client.example/hook"


def post(client: Client, path: str, who: Member, body: dict[str, Any] | None = None, **headers: str) -> Any:
    return client.post(
        f"/v1/webhooks{path}", body or {}, content_type="application/json", headers={**who.headers, **headers}
    )


def patch(client: Client, path: str, who: Member, body: dict[str, Any]) -> Any:
    return client.patch(f"/v1/webhooks{path}", body, content_type="application/json", headers=who.headers)


def create(client: Client, who: Member, url: str = URL, **fields: Any) -> dict[str, Any]:
    answer = post(client, "", who, {"url": url, **fields})
    assert answer.status_code == 201, answer.content
    document: dict[str, Any] = answer.json()
    return document


class TestEndpoints:
    def test_a_new_endpoint_shows_its_secret_once(self, client: Client, alice: Member) -> None:
        made = create(client, alice, event_types=["message.*"], description="orders")

        assert made["secret"].startswith("whsec_")
        shown = client.get(f"/v1/webhooks/{made['id']}", headers=alice.headers).json()
        assert shown == {name: value for name, value in made.items() if name != "secret"}
        assert (shown["state"], shown["event_types"], shown["disabled_reason"]) == ("enabled", ["message.*"], None)

    def test_a_repeated_request_makes_one_endpoint_and_shows_no_secret_again(
        self, client: Client, alice: Member
    ) -> None:
        first = post(client, "", alice, {"url": URL}, **{"Idempotency-Key": "k"})
        second = post(client, "", alice, {"url": URL}, **{"Idempotency-Key": "k"})

        assert second.json() == {name: value for name, value in first.json().items() if name != "secret"}
        assert first["Cache-Control"] == "no-store"
        assert Endpoint.objects.count() == 1
        assert first.json()["secret"] not in IdempotencyRecord.objects.get().body

    def test_a_secret_is_encrypted_at_rest(self, client: Client, alice: Member) -> None:
        made = create(client, alice)

        stored = Endpoint.objects.extra(select={"raw": "secret"}).values_list("raw", flat=True)[0]
        assert made["secret"] not in stored

    @pytest.mark.parametrize(
        ("body", "pointer", "code"),
        [
            ({}, "/url", "required"),
            ({"url": "http://client.example/"}, "/url", "url_not_https"),
            ({"url": "https://127.0.0.1/"}, "/url", "url_private"),
            ({"url": URL, "event_types": ["message.lost"]}, "/event_types/0", "invalid_choice"),
            ({"url": URL, "event_types": "message.sent"}, "/event_types", "wrong_type"),
            ({"url": URL, "secret": "mine"}, "/secret", "unknown_field"),
        ],
    )
    def test_what_makes_no_sense_is_refused_with_a_pointer(
        self, client: Client, alice: Member, body: dict[str, Any], pointer: str, code: str
    ) -> None:
        refused = post(client, "", alice, body)

        assert refused.status_code == 400
        assert [(error["pointer"], error["code"]) for error in refused.json()["errors"]] == [(pointer, code)]

    def test_there_is_a_limit(self, client: Client, alice: Member, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("webhooks.callbacks.endpoints.MOST", 1)
        made = create(client, alice)

        assert post(client, "", alice, {"url": URL}).json()["code"] == "too_many_endpoints"
        client.delete(f"/v1/webhooks/{made['id']}", headers=alice.headers)
        create(client, alice)

    def test_a_change_leaves_the_rest_as_it_was(self, client: Client, alice: Member) -> None:
        made = create(client, alice, event_types=["message.sent"])

        changed = patch(client, f"/{made['id']}", alice, {"url": "https://client.example:8443/new"}).json()

        assert (changed["url"], changed["event_types"]) == ("https://client.example:8443/new", ["message.sent"])

    def test_nobody_listens_to_a_disabled_or_deleted_endpoint(self, client: Client, alice: Member) -> None:
        made = create(client, alice)
        listening = [Listener.objects.exists()]

        for enabled in (False, True):
            patch(client, f"/{made['id']}", alice, {"enabled": enabled})
            listening.append(Listener.objects.exists())
        assert client.delete(f"/v1/webhooks/{made['id']}", headers=alice.headers).status_code == 204
        listening.append(Listener.objects.exists())

        assert listening == [True, False, True, False]
        assert client.get(f"/v1/webhooks/{made['id']}", headers=alice.headers).status_code == 404
        assert client.get("/v1/webhooks", headers=alice.headers).json()["results"] == []

    def test_the_other_mode_sees_nothing_of_it(self, client: Client, alice: Member) -> None:
        made = create(client, alice)

        assert client.get(f"/v1/webhooks/{made['id']}", headers=alice.test_headers).status_code == 404
        assert client.get("/v1/webhooks", headers=alice.test_headers).json()["results"] == []

    def test_charlie_finds_nothing_of_alices(self, client: Client, alice: Member, charlie: Member) -> None:
        made = create(client, alice)
        callback = Callback.objects.create(
            endpoint_id=made["id"], event_id=uuid4(), type="message.sent", body="{}",
            happened_at=timezone.now(), due_at=timezone.now(),
        )  # fmt: skip
        one = f"/{made['id']}"

        answers = [
            client.get(f"/v1/webhooks{one}", headers=charlie.headers),
            client.get(f"/v1/webhooks{one}/deliveries", headers=charlie.headers),
            client.delete(f"/v1/webhooks{one}", headers=charlie.headers),
            patch(client, one, charlie, {"enabled": False}),
            post(client, f"{one}/rotate", charlie),
            post(client, f"{one}/test", charlie),
            post(client, f"{one}/replay", charlie, {"since": "2026-01-01T00:00:00Z"}),
            post(client, f"{one}/deliveries/{callback.id}/replay", charlie),
        ]
        own = create(client, charlie)
        answers.append(post(client, f"/{own['id']}/deliveries/{callback.id}/replay", charlie))

        assert {found.status_code for found in answers} == {404}

    def test_reading_and_writing_are_two_scopes(self, client: Client, alice: Member) -> None:
        made = create(client, alice)
        reader = bearer(make_key(alice.account, scopes=["webhooks:read"]))
        one = f"/v1/webhooks/{made['id']}"

        assert client.get(one, headers=reader).status_code == 200
        assert client.get(f"{one}/deliveries", headers=reader).status_code == 200
        refused = [client.delete(one, headers=reader), client.post(f"{one}/rotate", headers=reader)]
        assert [answer.json()["code"] for answer in refused] == ["scope_missing", "scope_missing"]
        writer = bearer(make_key(alice.account, scopes=["webhooks:write"]))
        assert client.get(one, headers=writer).json()["code"] == "scope_missing"


class TestDeliveries:
    def test_they_say_what_was_told_and_what_came_back(
        self, client: Client, alice: Member, receiver: FaultServer
    ) -> None:
        receiver.play(answer(500, b"no\0t now" + b"x" * 5000))
        endpoint = make_endpoint(alice.account, receiver.url)
        message = sent_message(alice.account)
        deliver(message)
        work_off()

        [shown] = client.get(f"/v1/webhooks/{endpoint.id}/deliveries", headers=alice.headers).json()["results"]

        assert (shown["type"], shown["state"], shown["attempts"]) == ("message.delivered", "waiting", 1)
        assert shown["message_id"] == shown["payload"]["data"]["id"] == str(message.id)
        assert shown["webhook_id"] == receiver.requests[0].headers["webhook-id"]
        assert shown["last_attempt"]["response_status"] == 500
        assert shown["last_attempt"]["error"] == "http_500"
        assert shown["last_attempt"]["response_body"].startswith("no\ufffdt now")
        assert len(shown["last_attempt"]["response_body"]) == 1000
        assert shown["next_attempt_at"] > shown["last_attempt"]["at"]

    def test_they_are_filtered_by_state_and_time(self, client: Client, alice: Member, receiver: FaultServer) -> None:
        endpoint = make_endpoint(alice.account, receiver.url)
        deliver(sent_message(alice.account))
        work_off()
        later = (timezone.now() + timedelta(minutes=1)).isoformat()

        def found(**query: str) -> int:
            shown = client.get(f"/v1/webhooks/{endpoint.id}/deliveries", query, headers=alice.headers)
            return len(shown.json()["results"])

        assert (found(state="delivered"), found(state="failed")) == (1, 0)
        assert (found(created_after=endpoint.created_at.isoformat()), found(created_after=later)) == (1, 0)

    def test_a_test_arrives_and_is_signed(self, client: Client, alice: Member, receiver: FaultServer) -> None:
        made = create(client, alice, f"{receiver.url}/hook")

        sent = post(client, f"/{made['id']}/test", alice)
        work_off()

        assert sent.status_code == 202
        [request] = receiver.requests
        assert verified(request, made["secret"])["type"] == "webhook.test"
        assert request.headers["webhook-id"] == sent.json()["webhook_id"]

    def test_one_is_sent_again_under_the_same_id(self, client: Client, alice: Member, receiver: FaultServer) -> None:
        endpoint = make_endpoint(alice.account, receiver.url)
        deliver(sent_message(alice.account))
        work_off()
        callback = Callback.objects.get()

        again = post(client, f"/{endpoint.id}/deliveries/{callback.id}/replay", alice)
        work_off()

        assert (again.status_code, again.json()["state"]) == (202, "waiting")
        first, second = receiver.requests
        assert first.headers["webhook-id"] == second.headers["webhook-id"]
        assert first.body == second.body

    def test_those_since_a_time_are_sent_again_in_portions(
        self, client: Client, alice: Member, receiver: FaultServer, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("webhooks.callbacks.replays.MOST", 2)
        endpoint = make_endpoint(alice.account, receiver.url)
        for _ in range(3):
            deliver(sent_message(alice.account))
        work_off()
        since, replayed = endpoint.created_at.isoformat(), 0

        while since:
            body = {"since": since, "state": "delivered"}
            found = post(client, f"/{endpoint.id}/replay", alice, body).json()
            since, replayed = found["next_since"], replayed + found["replayed"]
        work_off()

        assert replayed == 3
        assert len(receiver.requests) == 6
        assert len({request.headers["webhook-id"] for request in receiver.requests}) == 3

    def test_nothing_is_sent_to_a_disabled_endpoint_by_any_way(self, client: Client, alice: Member) -> None:
        endpoint = make_endpoint(alice.account, URL)
        callback = Callback.objects.create(
            endpoint=endpoint, event_id=uuid4(), type="message.sent", body="{}", state="failed",
            happened_at=timezone.now(), due_at=timezone.now(),
        )  # fmt: skip
        Endpoint.objects.update(state=EndpointState.DISABLED, disabled_reason=DisabledReason.GONE)

        answers = [
            post(client, f"/{endpoint.id}/test", alice),
            post(client, f"/{endpoint.id}/replay", alice, {"since": "2026-01-01T00:00:00Z"}),
            post(client, f"/{endpoint.id}/deliveries/{callback.id}/replay", alice),
        ]

        assert [found.json()["code"] for found in answers] == ["endpoint_disabled"] * 3


class TestCallbackUrlOfAMessage:
    def test_it_is_called_and_signed_with_the_accounts_secret(
        self, client: Client, alice: Member, receiver: FaultServer
    ) -> None:
        secret = post(client, "/secret", alice).json()["secret"]
        message = sent_message(alice.account, callback_url=f"{receiver.url}/of/this?one=1")
        deliver(message)

        work_off()

        [request] = receiver.requests
        assert request.path == "/of/this?one=1"
        assert verified(request, secret)["data"]["id"] == str(message.id)

    def test_its_host_is_an_endpoint_with_deliveries(
        self, client: Client, alice: Member, receiver: FaultServer
    ) -> None:
        for path in ("/a", "/b"):
            deliver(sent_message(alice.account, callback_url=receiver.url + path))
        work_off()

        [endpoint] = client.get("/v1/webhooks", headers=alice.headers).json()["results"]
        assert (endpoint["kind"], endpoint["url"]) == ("messages", receiver.url)
        shown = client.get(f"/v1/webhooks/{endpoint['id']}/deliveries", headers=alice.headers).json()["results"]
        assert [delivery["state"] for delivery in shown] == ["delivered", "delivered"]
        refused = patch(client, f"/{endpoint['id']}", alice, {"url": URL})
        assert refused.json()["errors"][0]["code"] == "not_changeable"
        assert post(client, f"/{endpoint['id']}/test", alice).json()["code"] == "endpoint_of_messages"

    def test_a_message_keeps_it_and_one_that_is_not_called_is_refused(self, client: Client, alice: Member) -> None:
        make_connection()
        body = {"to": "+447700900000", "body": "hello", "callback_url": "https://client.example/cb"}

        def send(**fields: str) -> Any:
            document = {**body, **fields}
            return client.post("/v1/messages", document, content_type="application/json", headers=alice.headers)

        assert send().json()["callback_url"] == "https://client.example/cb"
        refused = send(callback_url="https://10.0.0.1/")
        assert [(error["pointer"], error["code"]) for error in refused.json()["errors"]] == [
            ("/callback_url", "url_private")
        ]


def test_only_what_was_chosen_is_told(alice: Member, receiver: FaultServer) -> None:
    make_endpoint(alice.account, receiver.url, "broadcast.finished", "suppression.*")
    deliver(sent_message(alice.account))

    work_off()

    assert told(receiver) == []
