"""The dead letters API: what a client sees of its own, and that it can have each tried again once."""

import json
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from dispatch.models import DeadLetter, Message
from dispatch.states import State
from dispatch.vocabulary import LetterState
from sendmsg.journal.models import JournalEntry
from tests.cast import Member
from tests.factories import make_connection, make_letter, make_message

pytestmark = pytest.mark.django_db
LIST = "/v1/dead-letters"


def listed(client: Client, headers: dict[str, str], **query: Any) -> list[str]:
    answer = client.get(LIST, query, headers=headers)
    assert answer.status_code == 200
    return [row["id"] for row in answer.json()["results"]]


def replay(client: Client, headers: dict[str, str], letter: DeadLetter, body: Any = None, key: str = "") -> Any:
    """Without a body unless one is given."""
    more = {"Idempotency-Key": key} if key else {}
    content = b"" if body is None else json.dumps(body).encode()
    path = f"{LIST}/{letter.id}/replay"
    return client.generic("POST", path, content, content_type="application/json", headers={**headers, **more})


class TestListing:
    def test_a_letter_says_what_failed_and_why_and_not_who_handled_it(self, client: Client, alice: Member) -> None:
        message = make_message(alice.account, State.FAILED)
        letter = make_letter(message, "unroutable", detail="no such network", handled_by="eve", note="secret")

        [row] = client.get(LIST, headers=alice.headers).json()["results"]

        assert row.pop("created_at")
        assert row == {
            "id": str(letter.id),
            "message_id": str(message.id),
            "reason": "unroutable",
            "detail": "no such network",
            "state": "open",
            "provider": "sendmsg",
            "handled_at": None,
        }

    def test_everybody_sees_their_own_of_their_mode(
        self, client: Client, alice: Member, bob: Member, charlie: Member
    ) -> None:
        live = make_letter(make_message(alice.account, State.FAILED))
        test = make_letter(make_message(alice.account, State.FAILED, test=True))
        DeadLetter.objects.create(queue="deliver.sendmsg", reason="task_rejected")

        assert listed(client, alice.headers) == listed(client, bob.headers) == [str(live.id)]
        assert listed(client, alice.test_headers) == [str(test.id)]
        assert listed(client, charlie.headers) == []

    def test_it_is_filtered_by_reason_state_and_time(self, client: Client, alice: Member) -> None:
        old = make_letter(make_message(alice.account, State.FAILED), "expired", state=LetterState.REPLAYED)
        letter = make_letter(make_message(alice.account, State.FAILED), "unroutable")
        DeadLetter.objects.filter(id=old.id).update(created_at=timezone.now() - timedelta(days=2))

        assert listed(client, alice.headers) == [str(letter.id), str(old.id)]
        assert listed(client, alice.headers, reason="expired") == [str(old.id)]
        assert listed(client, alice.headers, state="open") == [str(letter.id)]
        since = (timezone.now() - timedelta(days=1)).isoformat()
        assert listed(client, alice.headers, created_after=since) == [str(letter.id)]
        assert listed(client, alice.headers, created_before=since) == [str(old.id)]
        assert client.get(LIST, {"state": "lost"}, headers=alice.headers).status_code == 400

    def test_it_is_filtered_by_provider(self, client: Client, alice: Member) -> None:
        make_letter(make_message(alice.account, State.FAILED))
        other = make_connection("other", provider="vonage")
        letter = make_letter(make_message(alice.account, State.FAILED, connection=other))

        assert listed(client, alice.headers, provider="vonage") == [str(letter.id)]
        assert listed(client, alice.headers, provider="twilio") == []
        assert client.get(LIST, {"provider": "pigeon"}, headers=alice.headers).status_code == 400

    def test_its_pages_join_without_gaps(self, client: Client, alice: Member) -> None:
        letters = [make_letter(make_message(alice.account, State.FAILED)) for _ in range(5)]

        first = client.get(LIST, {"limit": 3}, headers=alice.headers).json()
        second = client.get(LIST, {"limit": 3, "cursor": first["next_cursor"]}, headers=alice.headers).json()

        rows = [row["id"] for row in (*first["results"], *second["results"])]
        assert rows == [str(letter.id) for letter in reversed(letters)]
        assert second["next_cursor"] is None

    def test_many_take_as_many_queries_as_one(self, client: Client, alice: Member) -> None:
        counts = []
        for _ in range(3):
            make_letter(make_message(alice.account, State.FAILED))
            with CaptureQueriesContext(connection) as captured:
                listed(client, alice.headers)
            counts.append(len(captured))

        assert counts[1] == counts[2]


class TestReplaying:
    def test_the_message_is_queued_again_in_the_clients_name(self, client: Client, alice: Member) -> None:
        letter = make_letter(make_message(alice.account, State.FAILED))

        answer = replay(client, alice.headers, letter)

        assert (answer.status_code, answer.json()["state"]) == (200, "replayed")
        assert answer.json()["handled_at"] is not None
        assert Message.objects.get().state == State.QUEUED
        letter.refresh_from_db()
        assert letter.handled_by == f"api:{alice.key[:13]}"

    def test_a_second_time_is_a_409(self, client: Client, alice: Member) -> None:
        letter = make_letter(make_message(alice.account, State.FAILED))
        replay(client, alice.headers, letter)

        again = replay(client, alice.headers, letter)

        assert (again.status_code, again.json()["code"]) == (409, "dead_letter_handled")
        assert JournalEntry.objects.count() == 1

    def test_a_repeat_with_its_key_gets_the_first_answer(self, client: Client, alice: Member) -> None:
        letter = make_letter(make_message(alice.account, State.FAILED))

        first, second = (replay(client, alice.headers, letter, key="k") for _ in range(2))

        assert first.json() == second.json()
        assert second.headers["Idempotency-Replayed"] == "true"
        assert JournalEntry.objects.count() == 1

    @pytest.mark.parametrize(("state", "in_doubt"), [(State.DELIVERED, False), (State.FAILED, True)])
    def test_what_could_be_sent_twice_is_a_409(
        self, client: Client, alice: Member, state: State, in_doubt: bool
    ) -> None:
        message = make_message(alice.account, state, in_doubt=in_doubt)

        answer = replay(client, alice.headers, make_letter(message))

        assert (answer.status_code, answer.json()["code"]) == (409, "message_not_replayable")
        message.refresh_from_db()
        assert message.state == state

    def test_what_may_have_been_sent_is_tried_again_if_that_is_said(self, client: Client, alice: Member) -> None:
        letter = make_letter(make_message(alice.account, State.UNKNOWN, in_doubt=True))

        for body in (None, {}, {"even_if_sent": False}):
            answer = replay(client, alice.headers, letter, body)
            assert (answer.status_code, answer.json()["code"]) == (409, "message_not_replayable")
            assert '{"even_if_sent": true}' in answer.json()["detail"]
        answer = replay(client, alice.headers, letter, {"even_if_sent": True})

        assert (answer.status_code, answer.json()["state"]) == (200, "replayed")
        assert Message.objects.get().state == State.QUEUED

    @pytest.mark.parametrize("body", [{"even_if_sent": "yes"}, {"even": True}])
    def test_a_body_that_says_something_else_is_a_400(
        self, client: Client, alice: Member, body: dict[str, Any]
    ) -> None:
        letter = make_letter(make_message(alice.account, State.FAILED))

        assert replay(client, alice.headers, letter, body).status_code == 400
        assert Message.objects.get().state == State.FAILED

    def test_one_that_a_receipt_resolved_is_a_409(self, client: Client, alice: Member) -> None:
        letter = make_letter(make_message(alice.account, State.DELIVERED), state=LetterState.RESOLVED)

        answer = replay(client, alice.headers, letter)

        assert (answer.status_code, answer.json()["code"]) == (409, "dead_letter_handled")
        assert listed(client, alice.headers, state="resolved") == [str(letter.id)]

    def test_a_reader_may_not(self, client: Client, alice: Member, bob: Member) -> None:
        letter = make_letter(make_message(alice.account, State.FAILED))

        answer = replay(client, bob.headers, letter)

        assert (answer.status_code, answer.json()["code"]) == (403, "scope_missing")
        assert Message.objects.get().state == State.FAILED

    def test_others_find_nothing(self, client: Client, alice: Member, charlie: Member) -> None:
        letter = make_letter(make_message(alice.account, State.FAILED))

        for headers in (charlie.headers, alice.test_headers):
            assert replay(client, headers, letter).status_code == 404
        assert replay(client, alice.headers, DeadLetter(id=uuid4())).status_code == 404
        assert Message.objects.get().state == State.FAILED

    def test_nobody_without_a_key(self, client: Client, alice: Member) -> None:
        letter = make_letter(make_message(alice.account, State.FAILED))

        assert replay(client, {}, letter).status_code == 401
        assert client.get(LIST).status_code == 401
