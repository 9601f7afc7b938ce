"""What nothing could ever carry is refused when it is offered; what something may carry later is taken."""

from typing import Any
from uuid import uuid4

import pytest
from django.test import Client

from dispatch.models import Message
from dispatch.routes import Subject
from dispatch.suitability import Carriers
from tests.cast import Member
from tests.dispatch.rounds import TELNYX, WHATSAPP
from tests.factories import make_connection, make_route

pytestmark = pytest.mark.django_db
MESSAGE = {"to": "+447700900900", "body": "hello"}


def judge(body: str = "hello", **fields: Any) -> str | None:
    """The code of why nothing could carry it."""
    plain = {"account_id": uuid4(), "test": False, "channel": "sms", "to": "+447700900900", "sender": "", "priority": 1}
    found = Carriers().judge(Subject(**{**plain, **fields}), body)
    return found.code if found else None


def test_without_connections_everything_is_taken() -> None:
    assert judge() is None

    make_connection("sandbox", sandbox=True)
    assert judge() is None  # for live keys there is none yet


def test_a_channel_that_nothing_speaks_is_refused() -> None:
    make_connection(**TELNYX)

    assert judge() is None
    assert judge(channel="whatsapp") == "channel_unsupported"


def test_what_is_switched_off_may_be_back_in_time() -> None:
    make_connection(**TELNYX, enabled=False)

    assert judge() is None


def test_a_route_that_leads_nowhere_for_the_channel_is_a_refusal() -> None:
    make_connection("text", **TELNYX)
    make_route("chats only", make_connection("chat", **WHATSAPP))

    assert judge() == "channel_unsupported"


def test_a_sender_that_nothing_sends_from_is_refused() -> None:
    make_connection(**WHATSAPP)

    assert judge(channel="whatsapp", sender="+447700900123") is None
    assert judge(channel="whatsapp", sender="12345") == "sender_unsupported"


def test_a_text_that_is_too_long_for_all_is_refused() -> None:
    make_connection(**WHATSAPP)

    assert judge(body="x" * 4096, channel="whatsapp") is None
    assert judge(body="x" * 4097, channel="whatsapp") == "body_too_long"


def test_the_client_is_told_with_a_pointer_and_nothing_is_stored(client: Client, alice: Member) -> None:
    make_connection(**TELNYX)

    answer = client.post(
        "/v1/messages",
        {**MESSAGE, "channel": "whatsapp", "from": "+447700900123"},
        content_type="application/json",
        headers=alice.headers,
    )

    assert answer.status_code == 400
    assert [(error["pointer"], error["code"]) for error in answer.json()["errors"]] == [
        ("/channel", "channel_unsupported")
    ]
    assert Message.objects.count() == 0


class TestDryRun:
    def ask(self, client: Client, member: Member, **fields: Any) -> Any:
        return client.post(
            "/v1/messages?dry_run=true", {**MESSAGE, **fields}, content_type="application/json", headers=member.headers
        )

    def test_it_says_by_what_a_message_would_leave_and_stores_nothing(self, client: Client, alice: Member) -> None:
        make_route("UK", make_connection("first", **TELNYX), make_connection("second", **TELNYX), destinations="GB")
        make_connection("first", **TELNYX, enabled=False)

        answer = self.ask(client, alice)

        document = answer.json()
        assert (answer.status_code, document["route"], document["connection"]) == (200, "UK", "second")
        assert (document["provider"], document["segments"]) == ("telnyx", 1)
        assert [(one["connection"], one["obstacle"], one["chosen"]) for one in document["options"]] == [
            ("first", "disabled", False),
            ("second", "", True),
        ]
        assert Message.objects.count() == 0

    def test_a_mistake_is_told_as_when_sending(self, client: Client, alice: Member) -> None:
        assert self.ask(client, alice, to="nonsense").status_code == 400

    def test_whoever_may_not_send_may_not_ask(self, client: Client, bob: Member) -> None:
        assert self.ask(client, bob).status_code == 403

    @pytest.mark.parametrize("query", ["dry_run=perhaps", "dry_rum=true"])
    def test_a_query_that_is_not_understood_sends_nothing(self, client: Client, alice: Member, query: str) -> None:
        answer = client.post(f"/v1/messages?{query}", MESSAGE, content_type="application/json", headers=alice.headers)

        assert answer.status_code == 400
        assert Message.objects.count() == 0
