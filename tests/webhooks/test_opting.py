"""What people write is acted upon: STOP is recorded first and confirmed once, START lifts it, HELP is answered."""

import json
from datetime import timedelta
from typing import Any
from urllib.parse import urlencode

import pytest
from django.conf import settings
from django.test import Client
from django.utils import timezone
from twilio.request_validator import RequestValidator

from dispatch import replies, windows
from dispatch.models import Attempt, Connection, Message, Suppression, WhatsAppWindow
from dispatch.states import State
from dispatch.vocabulary import Channel
from sendmsg.accounts.models import Account
from tests.cast import Member
from tests.dispatch.rounds import WHATSAPP, connected, tries, turn
from tests.factories import (
    make_connection,
    make_message,
    make_number,
    make_receipt,
    make_reference,
    make_route,
    make_suppression,
)
from tests.faults import Wire, json_answer
from tests.webhooks.test_messages import OURS, THEIRS, message, part, take
from webhooks.inbound.receipts import ReceiptsPump
from webhooks.models import Inbound

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("empty_buffer", "no_idling", "clean_redis")]


@pytest.fixture
def number(acme: Account, line: Connection) -> None:
    make_number(line, acme)


def write(body: str, **fields: Any) -> None:
    take(message(f"rcv_{Inbound.objects.count()}", body, **fields))


def set_account(account: Account, **fields: Any) -> None:
    Account.objects.filter(id=account.id).update(**fields)


def answers() -> list[str]:
    return list(Message.objects.order_by("id").values_list("body", flat=True))


@pytest.mark.usefixtures("number")
def test_stop_is_recorded_and_confirmed_from_the_number_written_to(acme: Account, line: Connection) -> None:
    write("Stop!")

    row, answer, inbound = Suppression.objects.get(), Message.objects.get(), Inbound.objects.get()
    assert (row.account, row.recipient, row.sender, row.channel, row.test) == (acme, THEIRS, "", "", False)
    assert (row.reason, row.detail, inbound.keyword) == ("keyword", "stop", "stop")
    assert (answer.account, answer.to, answer.sender, answer.exempt) == (acme, THEIRS, OURS, True)
    assert answer.body == "You will get no more messages from us. Write START to get them again."
    assert (answer.state, answer.priority, answer.segments, answer.channel) == ("queued", 0, 1, "sms")
    assert answer.metadata == {"in_reply_to": str(inbound.id)}
    assert answer.chosen_connection == line


@pytest.mark.usefixtures("number")
def test_stop_again_is_not_confirmed_again() -> None:
    write("STOP")
    write("STOP")
    take(message("both", "STOP"), message("at once", "stop"))

    assert (len(answers()), Suppression.objects.count()) == (1, 1)

    Suppression.objects.update(confirmed_at=timezone.now() - timedelta(hours=25))
    write("STOP")
    assert len(answers()) == 2


@pytest.mark.usefixtures("number")
def test_a_webhook_that_comes_twice_acts_once() -> None:
    take(message("rcv", "STOP"))
    Suppression.objects.all().delete()
    take(message("rcv", "STOP"))

    assert (len(answers()), Suppression.objects.count()) == (1, 0)


@pytest.mark.usefixtures("number")
def test_start_lifts_it_and_is_confirmed() -> None:
    write("STOP")
    write("START")

    assert Suppression.objects.count() == 0
    assert answers()[1] == "You will get our messages again. Write STOP to end them."
    write("START")
    assert len(answers()) == 2  # there was nothing to lift


@pytest.mark.usefixtures("number")
def test_what_a_client_entered_stays_and_start_is_not_confirmed(acme: Account) -> None:
    make_suppression(acme, THEIRS)
    write("START")

    assert (answers(), Suppression.objects.count()) == ([], 1)


@pytest.mark.usefixtures("number")
def test_the_last_word_counts_whatever_order_it_is_stored_in() -> None:
    now = timezone.now()
    take(
        message("a", "START", received_at=now),
        message("b", "STOP", received_at=now - timedelta(minutes=1)),
    )

    assert Suppression.objects.count() == 0


@pytest.mark.usefixtures("number")
def test_a_near_miss_is_marked_and_nothing_else() -> None:
    write("stop please")

    assert Inbound.objects.get().keyword == "near_stop"
    assert (answers(), Suppression.objects.count()) == ([], 0)


@pytest.mark.usefixtures("number")
def test_a_keyword_in_parts_is_one_too() -> None:
    take(part(1, 2), part(2, 2))
    assert Suppression.objects.count() == 0

    take(message("p1", "ST", part=_part(1)), message("p2", "OP", part=_part(2)))
    assert Suppression.objects.count() == 1


def _part(number: int) -> Any:
    from webhooks.inbound.base import Part

    return Part("9", number, 2)


@pytest.mark.usefixtures("number")
def test_an_account_says_what_its_people_are_told(acme: Account) -> None:
    set_account(acme, opt_out_reply="Acme: bye. START brings us back.", help_reply="Acme, acme.example")
    write("STOP")
    write("HELP")

    assert answers() == ["Acme: bye. START brings us back.", "Acme, acme.example"]


@pytest.mark.usefixtures("number")
def test_help_without_a_text_is_not_answered() -> None:
    write("HELP")

    assert (answers(), Inbound.objects.get().keyword) == ([], "help")


@pytest.mark.usefixtures("number")
def test_an_account_may_want_no_confirmations(acme: Account) -> None:
    set_account(acme, opt_out_confirm=False)
    write("STOP")
    assert (answers(), Suppression.objects.count()) == ([], 1)

    write("START")
    assert (answers(), Suppression.objects.count()) == ([], 0)


@pytest.mark.usefixtures("number")
def test_an_account_may_handle_keywords_itself(acme: Account) -> None:
    set_account(acme, opt_out_keywords=False)
    write("STOP")

    assert (answers(), Suppression.objects.count(), Inbound.objects.get().keyword) == ([], 0, "stop")


@pytest.mark.usefixtures("number")
def test_an_account_may_let_people_stop_a_number_at_a_time(acme: Account) -> None:
    set_account(acme, opt_out_per_number=True)
    write("STOP")

    assert Suppression.objects.get().sender == OURS
    write("START")
    assert Suppression.objects.count() == 0


def test_what_comes_to_a_number_of_nobodys_stops_nothing(line: Connection) -> None:
    write("STOP")

    assert (answers(), Suppression.objects.count()) == ([], 0)


@pytest.mark.usefixtures("number")
@pytest.mark.parametrize("sender", ["Acme", "12345", ""])
def test_who_has_no_number_is_not_answered(sender: str) -> None:
    write("STOP", sender=sender)

    assert (answers(), Suppression.objects.count()) == ([], 0)


@pytest.mark.usefixtures("number")
def test_a_sandbox_stops_only_what_test_keys_send(acme: Account) -> None:
    make_connection(sandbox=True)
    write("STOP")

    assert (Suppression.objects.get().test, Message.objects.get().test) == (True, True)


@pytest.mark.usefixtures("number")
def test_two_machines_that_answer_each_other_come_to_an_end() -> None:
    for _ in range(replies.A_DAY):
        write("STOP")
        write("START")

    assert len(answers()) == replies.A_DAY


@pytest.mark.usefixtures("number")
def test_a_reply_leaves_by_routing_where_the_number_has_no_way_out(acme: Account) -> None:
    make_route("elsewhere", make_connection("other"))
    write("STOP")

    assert Message.objects.get().chosen_connection is None


def test_a_whatsapp_message_opens_the_window(acme: Account, line: Connection) -> None:
    write("Yes", channel=Channel.WHATSAPP)
    write("No")  # an SMS opens none

    window = WhatsAppWindow.objects.get()
    assert (window.connection, window.number, window.recipient) == (line, OURS, THEIRS[-8:])


@pytest.mark.parametrize(
    ("spelt", "stored"), [("+551187654321", "+5511987654321"), ("+5215512345678", "+525512345678")]
)
@pytest.mark.usefixtures("number")
def test_a_number_that_whatsapp_spells_otherwise_is_stopped_as_it_is_written_to(spelt: str, stored: str) -> None:
    write("STOP", sender=spelt, channel=Channel.WHATSAPP)

    assert Suppression.objects.get().recipient == stored


def test_a_receipt_that_says_that_somebody_opted_out_is_remembered(alice: Member) -> None:
    line = make_connection("main", provider="twilio", credentials={"account_sid": "AC1", "auth_token": "t"})
    sent = make_message(alice.account, state=State.SENT, connection=line, to=THEIRS, sender=OURS)
    other = make_message(alice.account, state=State.SENT, connection=line, to="+447700900124", sender=OURS)
    for row, code in ((sent, "21610"), (other, "30003")):
        make_reference(row, f"SM{code}")
        signed({"MessageSid": f"SM{code}", "MessageStatus": "undelivered", "ErrorCode": code}, "t")

    ReceiptsPump().step()

    found = Suppression.objects.get()
    assert (found.recipient, found.sender, found.channel) == (THEIRS, OURS, "sms")
    assert (found.reason, found.detail) == ("provider", "21610")
    assert set(Message.objects.values_list("state", flat=True)) == {"undelivered"}


def test_who_opted_out_is_not_written_to_by_the_next_connection(alice: Member) -> None:
    credentials = {"account_sid": "AC1", "auth_token": "t"}
    lines = [make_connection(name, provider="twilio", credentials=credentials) for name in ("main", "spare")]
    route = make_route("both", *lines, reroute_undelivered=True)
    from dispatch.lanes import Lane

    lane = Lane(route.id, False, "sms").number
    step = route.steps.get(connection=lines[0])
    sent = make_message(alice.account, state=State.SENT, connection=lines[0], to=THEIRS, option=step.id, lane=lane)
    make_reference(sent, "SM1")
    signed({"MessageSid": "SM1", "MessageStatus": "undelivered", "ErrorCode": "21610"}, "t")

    ReceiptsPump().step()

    sent.refresh_from_db()
    assert sent.state == "undelivered"


LATE = {"status": "undelivered", "error_code": "131047"}


def test_a_text_that_came_too_late_is_sent_again_by_the_template_and_once(alice: Member) -> None:
    template = {"name": "notice", "language": "en"}
    line = make_connection("chat", **WHATSAPP, whatsapp_template=template)
    fields = {"connection": line, "to": THEIRS, "channel": "whatsapp"}
    first, second = (make_message(alice.account, state=State.SENT, **fields) for _ in range(2))
    for number, row in enumerate((first, second)):
        make_reference(row, f"wamid.{number}")
        make_receipt(line, f"wamid.{number}", **LATE)

    ReceiptsPump().step()

    assert list(Message.objects.values_list("state", "error_code")) == [("queued", "131047")] * 2
    assert windows.closed(line.id, {("", THEIRS)}, timezone.now())

    Message.objects.update(state=State.SENT, updated_at=timezone.now())
    make_reference(first, "wamid.3")
    make_receipt(line, "wamid.3", **LATE)
    ReceiptsPump().step()

    first.refresh_from_db()
    assert first.state == "undelivered"


def test_without_a_template_it_is_undelivered(alice: Member) -> None:
    line = make_connection("chat", **WHATSAPP)
    row = make_message(alice.account, state=State.SENT, connection=line, to=THEIRS, channel="whatsapp")
    make_reference(row, "wamid.1")
    make_receipt(line, "wamid.1", **LATE)

    ReceiptsPump().step()

    row.refresh_from_db()
    assert (row.state, row.error_code) == ("undelivered", "131047")


def signed(form: dict[str, str], token: str, connection: str = "main") -> None:
    """What Twilio posts, signed by its own package."""
    path = f"/webhooks/twilio/{connection}"
    signature = RequestValidator(token).compute_signature(settings.PUBLIC_URL + path, form)
    answer = Client().post(
        path, urlencode(form), "application/x-www-form-urlencoded", headers={"X-Twilio-Signature": signature}
    )
    assert answer.status_code == 200, answer.content


def twilio_takes(wire: Wire) -> bool:
    return json_answer(201, {"sid": "SM" + "0" * 32, "status": "queued"})(wire)


@pytest.mark.django_db(transaction=True)
def test_from_the_word_to_the_silence(client: Client, alice: Member) -> None:
    """A person writes STOP: what was accepted before is not sent, nothing more is accepted, one confirmation leaves."""
    credentials = {"account_sid": "AC" + "0" * 32, "auth_token": "t"}
    with connected(main=({"provider": "twilio", "credentials": credentials}, twilio_takes)) as servers:
        make_number(Connection.objects.get(), alice.account, OURS)
        wanted = {"to": THEIRS, "body": "Sale today!", "from": OURS}

        def send() -> Any:
            return client.post("/v1/messages", wanted, content_type="application/json", headers=alice.headers)

        earlier = send()
        assert earlier.status_code == 202

        for sid in ("SM1", "SM2"):
            signed({"MessageSid": sid, "From": THEIRS, "To": OURS, "Body": "STOP", "SmsStatus": "received"}, "t")
            ReceiptsPump().step()

        assert Suppression.objects.get().recipient == THEIRS
        confirmation = Message.objects.get(exempt=True)
        refused = send()
        assert refused.status_code == 400
        assert json.loads(refused.content)["errors"][0]["code"] == "recipient_opted_out"

        turn()

        queued = Message.objects.get(id=earlier.json()["id"])
        assert (queued.state, queued.error_code) == ("failed", "opted_out")
        assert tries(queued) == [("main", "blocked")]
        assert tries(confirmation) == [("main", "accepted")]
        [request] = servers["main"].requests
        assert "START" in request.body.decode()
        assert Attempt.objects.count() == 2
