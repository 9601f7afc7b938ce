"""WhatsApp texts outside the 24 hours: a template carries them, or another way, or the message says why not."""

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from dispatch import windows
from dispatch.models import Connection, Message, RouteStep, WhatsAppWindow
from dispatch.windows import Heard
from sendmsg import redis
from sendmsg.accounts.models import Account
from tests.cast import Member
from tests.dispatch.rounds import TELNYX, WHATSAPP, connected, takes, tries, turn
from tests.factories import make_connection, make_message, make_route
from tests.faults import Wire, json_answer

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("clean_redis")]
OURS, THEIRS, OTHERS = "+15005550006", "+447700900000", "+447700900199"
TEMPLATE = {"name": "notice", "language": "en_GB"}


def hears(recipient: str = THEIRS, ago: timedelta = timedelta(), connection: str = "chat", number: str = OURS) -> None:
    line = Connection.objects.get(name=connection)
    windows.note([Heard(line.id, number, recipient, timezone.now() - ago)], timezone.now())


def closed(line: Connection, sender: str, recipient: str = THEIRS) -> bool:
    return bool(windows.closed(line.id, {(sender, recipient)}, timezone.now()))


def chat_takes(wire: Wire) -> bool:
    return json_answer(200, {"messages": [{"id": f"wamid.{wire.request.json()['biz_opaque_callback_data']}"}]})(wire)


def seconds_later() -> int:
    """A turn after the pause that WhatsApp wants between two messages to one person."""
    client = redis.client()
    if lines := client.keys(redis.key("line:*")):
        client.delete(*lines)
    return turn()


late = json_answer(400, {"error": {"code": 131047}})


def make_chat(account: Account, **fields: Any) -> Message:
    return make_message(account, channel="whatsapp", to=THEIRS, **{"sender": OURS, **fields})


def test_a_window_is_open_for_a_day_from_the_last_message() -> None:
    line = make_connection("chat", **WHATSAPP)
    hears(ago=timedelta(hours=30))
    assert closed(line, OURS)

    hears(ago=timedelta(hours=23, minutes=59))
    assert not closed(line, OURS)

    hears(ago=timedelta(hours=25))  # an older one that came late
    assert not closed(line, OURS)
    assert WhatsAppWindow.objects.count() == 1


def test_a_time_that_is_still_to_come_counts_as_now() -> None:
    line = make_connection("chat", **WHATSAPP)
    hears(ago=timedelta(days=-10))

    assert not WhatsAppWindow.objects.filter(last_inbound_at__gt=timezone.now()).exists()
    assert not closed(line, OURS)


def test_a_number_that_never_brought_a_message_is_left_to_the_provider() -> None:
    line = make_connection("chat", **WHATSAPP)
    assert not closed(line, OURS)
    assert not closed(line, "")

    hears(OTHERS)
    assert closed(line, OURS)
    assert closed(line, "")
    assert not closed(line, "+15005550007")
    assert not closed(make_connection("second", **WHATSAPP), OURS)


def test_each_number_of_ours_has_windows_of_its_own() -> None:
    line = make_connection("chat", **WHATSAPP)
    hears(THEIRS)
    hears(OTHERS, number="+15005550007")

    assert (closed(line, OURS), closed(line, "+15005550007"), closed(line, "")) == (False, True, False)


@pytest.mark.parametrize(
    ("written", "sent_to"), [("+551187654321", "+5511987654321"), ("+5215512345678", "+525512345678")]
)
def test_a_number_that_whatsapp_spells_otherwise_is_the_same_person(written: str, sent_to: str) -> None:
    line = make_connection("chat", **WHATSAPP)
    hears(OTHERS)
    hears(written)

    assert not closed(line, OURS, sent_to)


@pytest.mark.django_db(transaction=True)
def test_a_text_in_the_window_leaves_as_it_is(alice: Member) -> None:
    with connected(chat=({**WHATSAPP, "whatsapp_template": TEMPLATE}, chat_takes)) as servers:
        hears()
        make_chat(alice.account)
        turn()

        [request] = servers["chat"].requests
        assert request.json()["type"] == "text"


@pytest.mark.django_db(transaction=True)
def test_a_text_outside_the_window_leaves_by_the_template(alice: Member) -> None:
    with connected(chat=({**WHATSAPP, "whatsapp_template": TEMPLATE}, chat_takes)) as servers:
        hears(OTHERS)
        message = make_chat(alice.account, body="Your code is 1.")
        turn()

        [request] = servers["chat"].requests
        document = request.json()
        assert (document["type"], document["template"]["name"]) == ("template", "notice")
        assert document["template"]["components"][0]["parameters"] == [{"type": "text", "text": "Your code is 1."}]
        assert tries(message) == [("chat", "accepted")]


@pytest.mark.django_db(transaction=True)
def test_without_a_template_the_message_says_why_it_failed(alice: Member) -> None:
    with connected(chat=(WHATSAPP, chat_takes)) as servers:
        hears(OTHERS)
        message = make_chat(alice.account)
        turn()

        assert servers["chat"].requests == []
        message.refresh_from_db()
        assert (message.state, message.error_code) == ("failed", "window_closed")
        assert tries(message) == [("chat", "blocked")]


@pytest.mark.django_db(transaction=True)
def test_without_a_template_a_step_by_sms_takes_over(alice: Member) -> None:
    with connected(chat=(WHATSAPP, chat_takes), text=(TELNYX, takes)) as servers:
        hears(OTHERS)
        route = make_route("chat, then text", *Connection.objects.order_by("name"))
        RouteStep.objects.filter(route=route, connection__name="text").update(channel="sms", sender="Acme")
        message = make_chat(alice.account)
        _by_routes(message)
        turn()
        turn()

        assert tries(message) == [("chat", "blocked"), ("text", "accepted")]
        assert len(servers["text"].requests) == 1


def _by_routes(message: Message) -> None:
    from dispatch import routes
    from dispatch.rematch import subject_of

    routes.forget()
    Message.objects.filter(id=message.id).update(lane=routes.book().lane(subject_of(message)).number)


@pytest.mark.django_db(transaction=True)
def test_a_text_that_the_provider_finds_late_is_sent_again_by_the_template(alice: Member) -> None:
    with connected(chat=({**WHATSAPP, "whatsapp_template": TEMPLATE}, chat_takes)) as servers:
        servers["chat"].play(late, chat_takes, chat_takes)
        message = make_chat(alice.account)
        assert [seconds_later(), seconds_later(), seconds_later()] == [1, 1, 0]

        assert [request.json()["type"] for request in servers["chat"].requests] == ["text", "template"]
        assert tries(message) == [("chat", "rejected"), ("chat", "accepted")]
        make_chat(alice.account)  # the next one needs no refusal
        seconds_later()
        assert servers["chat"].requests[-1].json()["type"] == "template"


@pytest.mark.django_db(transaction=True)
def test_a_template_that_is_refused_too_ends_the_matter(alice: Member) -> None:
    with connected(chat=({**WHATSAPP, "whatsapp_template": TEMPLATE}, late)) as servers:
        message = make_chat(alice.account)
        assert [seconds_later(), seconds_later(), seconds_later()] == [1, 1, 0]

        message.refresh_from_db()
        assert (len(servers["chat"].requests), message.state, message.error_code) == (2, "failed", "window_closed")


@pytest.mark.django_db(transaction=True)
def test_a_text_that_is_late_by_two_signs_leaves_by_no_text_until_the_person_writes(alice: Member) -> None:
    with connected(chat=({**WHATSAPP, "whatsapp_template": TEMPLATE}, chat_takes)):
        line = Connection.objects.get()
        hears(ago=timedelta(minutes=5))
        windows.refuse([(line.id, THEIRS)], timezone.now())
        assert closed(line, OURS)

        hears()
        assert not closed(line, OURS)


@pytest.mark.django_db(transaction=True)
def test_an_sms_has_no_window(alice: Member) -> None:
    with connected(text=(TELNYX, takes)) as servers:
        hears(OTHERS, connection="text")
        make_message(alice.account, to=THEIRS, sender=OURS)
        turn()

        assert len(servers["text"].requests) == 1
