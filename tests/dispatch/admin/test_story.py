"""The story of a message: everything that happened to it, in order, with how long it took."""

import json
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from dispatch.admin.story import Story, gap
from dispatch.models import Message
from dispatch.states import State
from dispatch.vocabulary import AttemptOutcome
from sendmsg.accounts.models import Account
from sendmsg.journal.events import Event, EventType
from tests.factories import make_attempt, make_letter, make_message, make_receipt
from tests.logs.lines import write
from tests.outages import database_away
from tests.webhooks.callbacks.driving import make_endpoint
from webhooks.callbacks.models import Callback

pytestmark = pytest.mark.django_db(databases=["default", "logs"])


def page(client: Client, message: Message) -> Any:
    return client.get(reverse("admin:dispatch_message_change", args=[message.id]))


def told(client: Client, message: Message) -> list[str]:
    story: Story = page(client, message).context["story"]
    return [one.moment.what for one in story.moments]


@pytest.fixture
def start() -> datetime:
    return timezone.now() - timedelta(minutes=1)


@pytest.fixture
def message(acme: Account, start: datetime) -> Message:
    """Refused, replayed, delivered, and the client was told."""
    after = [start + timedelta(seconds=second) for second in range(20)]
    message = make_message(acme, State.DELIVERED, created_at=start, updated_at=after[12], tries=2)
    first = {"started_at": after[1], "finished_at": after[2], "outcome": AttemptOutcome.REJECTED, "code": "odd"}
    make_attempt(message, number=1, detail="no such number +447700900123", **first)
    make_letter(
        message,
        "odd",
        created_at=after[3],
        state="replayed",
        handled_at=after[4],
        handled_by="dana",
        note="they repaired it",
    )
    events = [
        Event(message.id, acme.id, EventType.ACCEPTED, start, {"request_id": "order-service-7"}),
        Event(message.id, acme.id, EventType.RELEASED, after[5], {"connection": "sendmsg"}),
    ]
    write([json.loads(event.as_json()) for event in events])
    second = {"started_at": after[6], "finished_at": after[8], "outcome": AttemptOutcome.ACCEPTED}
    make_attempt(message, number=2, **second)
    assert message.connection
    make_receipt(message.connection, "snd_1", "delivered", message=message, received_at=after[12], state="applied")
    Callback.objects.create(
        endpoint=make_endpoint(acme, "https://client.example/hook"),
        event_id=message.id,
        message_id=message.id,
        type="message.delivered",
        body="{}",
        state="delivered",
        attempts=1,
        response_status=204,
        happened_at=after[12],
        due_at=after[12],
        attempted_at=after[13],
    )
    return message


def test_it_is_told_in_order_from_all_that_know_something(admin_client: Client, message: Message) -> None:
    assert told(admin_client, message) == [
        "Accepted",
        "Attempt 1 by sendmsg: rejected",
        "Dead letter: odd",
        "Dead letter replayed",
        "Handed to a worker",
        "Attempt 2 by sendmsg: accepted",
        "Receipt: delivered",
        "Callback message.delivered: delivered",
    ]


def test_each_moment_says_how_long_after_the_one_before(admin_client: Client, message: Message) -> None:
    text = page(admin_client, message).text

    assert "(+2.000 s)" in text
    assert "request order-service-7" in text
    assert "odd, no such number +4477****123, took 1.000 s" in text
    assert "by dana, they repaired it" in text
    assert "HTTP 204, 1 try" in text


def test_the_bar_says_where_the_time_went(admin_client: Client, message: Message) -> None:
    story: Story = page(admin_client, message).context["story"]

    assert [part.name for part in story.spent] == [
        "waited 1.000 s",
        "attempt 1 1.000 s",
        "waited 4.000 s",
        "attempt 2 2.000 s",
        "network and telephone 4.000 s",
    ]
    assert story.bar.count("<rect") == 5


@pytest.mark.django_db(transaction=True, databases=["default", "logs"])
def test_without_the_logs_database_the_rest_is_told(admin_client: Client, message: Message) -> None:
    with database_away("logs"):
        found = told(admin_client, message)

    assert "Handed to a worker" not in found
    assert len(found) == 7


def test_a_message_that_only_waits_has_no_bar(admin_client: Client, acme: Account) -> None:
    message = make_message(acme, send_at=timezone.now() + timedelta(hours=1))

    story: Story = page(admin_client, message).context["story"]

    assert ([one.moment.what for one in story.moments], story.bar) == (["Accepted"], "")


def test_an_attempt_under_way_says_so(admin_client: Client, acme: Account) -> None:
    message = make_message(acme, State.SENDING)
    make_attempt(message)

    assert told(admin_client, message) == ["Accepted", "Attempt 1 by sendmsg began"]


def test_an_open_letter_is_handled_from_here(admin_client: Client, acme: Account) -> None:
    message = make_message(acme, State.FAILED)
    assert "Replay…" not in page(admin_client, message).text

    letter = make_letter(message)

    assert page(admin_client, message).context["letter"] == letter
    assert f'name="_selected_action" value="{letter.pk}"' in page(admin_client, message).text


@pytest.mark.parametrize(("seconds", "text"), [(0.0123, "+0.012 s"), (9.9, "+9.900 s"), (11, "+11 s"), (7300, "+2 h")])
def test_a_gap_is_as_exact_as_matters(seconds: float, text: str) -> None:
    start = timezone.now()

    assert gap(start + timedelta(seconds=seconds), start) == text
