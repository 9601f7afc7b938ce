"""A message without a receipt is asked about, and is not waited for without end."""

import json
from collections.abc import Iterator
from datetime import timedelta
from threading import Event
from typing import Any

import pytest
import time_machine
from django.conf import settings
from django.db import connection as database
from django.utils import timezone
from prometheus_client import REGISTRY

from dispatch import directory, pacing
from dispatch.models import Connection, DeadLetter, Message
from dispatch.states import State
from tests.cast import Member
from tests.factories import make_connection, make_message, make_receipt, make_reference
from tests.faults import Fault, FaultServer, Wire, answer, json_answer
from tests.parallel import in_threads
from tests.waiting import eventually
from tests.webhooks.timeline import kinds
from webhooks.inbound import enquiries, reconcile
from webhooks.inbound.receipts import ReceiptsPump
from webhooks.inbound.reconcile import ReconcilePump
from webhooks.models import Enquiry, Receipt

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("empty_buffer", "no_idling", "clean_redis")]
WAIT = 600  # seconds
HOUR = timedelta(hours=1)


@pytest.fixture
def server() -> Iterator[FaultServer]:
    with FaultServer(word("delivered")) as server:
        yield server


@pytest.fixture
def telnyx(server: FaultServer) -> Connection:
    return connect(server)


@pytest.fixture
def pump() -> Iterator[ReconcilePump]:
    pump = ReconcilePump()
    yield pump
    pump.close()


def connect(server: FaultServer, **fields: object) -> Connection:
    """A connection whose provider can be asked."""
    defaults = {"provider": "telnyx", "base_url": server.url, "credentials": {"api_key": "k"}, "receipt_wait": WAIT}
    return make_connection("telnyx", **{**defaults, **fields})


def word(status: str) -> Fault:
    """The provider's answer to a question."""
    return json_answer(200, {"data": {"to": [{"status": status}]}})


def silent_since(alice: Member, connection: Connection, ago: timedelta, reference: str = "tx_1") -> Message:
    """A message that was sent so long ago."""
    then = timezone.now() - ago
    message = make_message(alice.account, state=State.SENT, connection=connection, updated_at=then)
    make_reference(message, reference)
    return message


def state(message: Message) -> str:
    return Message.objects.values_list("state", flat=True).get(id=message.id)


def answers(kind: str) -> float:
    labels = {"connection": "telnyx", "answer": kind}
    return REGISTRY.get_sample_value("sendmsg_enquiries_total", labels) or 0.0


def asked_at(ago: timedelta) -> None:
    """As if so much time had gone by since the last question."""
    for row in Enquiry.objects.all():
        Enquiry.objects.filter(message_id=row.message_id).update(ask_at=row.ask_at - ago)


def test_a_message_that_waits_too_long_is_asked_about_and_the_answer_moves_it(
    alice: Member, telnyx: Connection, server: FaultServer, pump: ReconcilePump
) -> None:
    before = answers("delivered")
    message = silent_since(alice, telnyx, timedelta(seconds=WAIT + 1))

    assert pump.step() == 1
    ReceiptsPump().step()

    assert [request.path for request in server.requests] == ["/messages/tx_1"]
    assert (state(message), kinds(message), answers("delivered")) == (State.DELIVERED, ["delivered"], before + 1)


def test_undelivered_counts_with_its_code(
    alice: Member, telnyx: Connection, server: FaultServer, pump: ReconcilePump
) -> None:
    report = {"data": {"to": [{"status": "delivery_failed"}], "errors": [{"code": "40001"}]}}
    server.play(json_answer(200, report))
    message = silent_since(alice, telnyx, HOUR)

    pump.step()
    ReceiptsPump().step()

    message.refresh_from_db()
    assert (message.state, message.error_code) == (State.UNDELIVERED, "40001")


def test_before_its_time_nobody_asks(
    alice: Member, telnyx: Connection, server: FaultServer, pump: ReconcilePump
) -> None:
    silent_since(alice, telnyx, timedelta(seconds=WAIT - 60))

    assert (pump.step(), server.requests) == (0, [])


def test_a_message_whose_time_comes_later_is_found_then(
    alice: Member, telnyx: Connection, server: FaultServer, pump: ReconcilePump
) -> None:
    silent_since(alice, telnyx, timedelta(seconds=WAIT - 60))
    pump.step()

    with time_machine.travel(timezone.now() + timedelta(seconds=120)):
        directory.forget()
        assert pump.step() == 1


@pytest.mark.parametrize("said", ["queued", "sent", "teleported"])
def test_a_message_that_is_still_on_its_way_is_asked_about_later_and_later(
    alice: Member, telnyx: Connection, server: FaultServer, pump: ReconcilePump, said: str
) -> None:
    server.play(word(said))
    message = silent_since(alice, telnyx, HOUR)
    for hours in (*enquiries.AGAIN, enquiries.AGAIN[-1]):
        assert pump.step() == 1
        row = Enquiry.objects.get()
        assert abs(row.ask_at - timezone.now() - hours * HOUR) < timedelta(minutes=1)
        asked_at(hours * HOUR - timedelta(minutes=2))
        assert pump.step() == 0
        asked_at(timedelta(minutes=3))

    assert (state(message), Receipt.objects.count()) == (State.SENT, 0)


@pytest.mark.parametrize("status", [404, 500])
def test_a_provider_that_can_not_say_is_asked_again_later(
    alice: Member, telnyx: Connection, server: FaultServer, pump: ReconcilePump, status: int
) -> None:
    before = answers("unanswered")
    server.play(answer(status))
    message = silent_since(alice, telnyx, HOUR)

    assert (pump.step(), pump.step()) == (1, 0)
    assert (state(message), answers("unanswered")) == (State.SENT, before + 1)


def test_every_id_of_a_message_is_asked_about(
    alice: Member, telnyx: Connection, server: FaultServer, pump: ReconcilePump
) -> None:
    message = silent_since(alice, telnyx, HOUR)
    make_reference(message, "tx_2")

    pump.step()

    assert sorted(request.path for request in server.requests) == ["/messages/tx_1", "/messages/tx_2"]


def test_what_has_ended_meanwhile_is_asked_about_no_more(
    alice: Member, telnyx: Connection, server: FaultServer, pump: ReconcilePump
) -> None:
    server.play(word("sent"))
    message = silent_since(alice, telnyx, HOUR)
    pump.step()
    Message.objects.filter(id=message.id).update(state=State.DELIVERED)
    asked_at(2 * HOUR)

    assert pump.step() == 0
    assert (len(server.requests), Enquiry.objects.count()) == (1, 0)


def test_a_message_that_went_on_by_another_connection_is_asked_about_there(
    alice: Member, telnyx: Connection, server: FaultServer, pump: ReconcilePump
) -> None:
    server.play(word("sent"))
    message = silent_since(alice, telnyx, HOUR)
    pump.step()
    other = make_connection("other", provider="telnyx", base_url=server.url, credentials={"api_key": "k"})
    Message.objects.filter(id=message.id).update(connection=other)
    make_reference(message, "other_1", connection_id=other.id)

    pump.step()

    assert server.requests[-1].path == "/messages/other_1"


@pytest.mark.parametrize("fields", [{"receipt_wait": 0}, {"paused_at": timezone.now()}, {"provider": "sendmsg"}])
def test_a_connection_that_is_not_to_be_asked_is_not(
    alice: Member, server: FaultServer, pump: ReconcilePump, fields: dict[str, object]
) -> None:
    silent_since(alice, connect(server, **fields), 2 * HOUR)

    assert (pump.step(), server.requests) == (0, [])


def test_a_throttled_connection_is_left_alone(
    alice: Member,
    telnyx: Connection,
    server: FaultServer,
    pump: ReconcilePump,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(pacing, "_own_pauses", {})  # or the tests after this one have it too
    silent_since(alice, telnyx, HOUR)
    pacing.pause("telnyx", 60)

    assert (pump.step(), server.requests) == (0, [])


def test_a_provider_that_is_away_is_left_alone_and_asked_as_if_it_had_not_been(
    alice: Member, pump: ReconcilePump, monkeypatch: pytest.MonkeyPatch
) -> None:
    away = make_connection("telnyx", provider="telnyx", credentials={"api_key": "k"}, receipt_wait=WAIT)
    for number in range(5):
        silent_since(alice, away, HOUR, f"tx_{number}")

    assert (pump.step(), pump.step()) == (5, 0)

    assert set(Enquiry.objects.values_list("asked", flat=True)) == {0}
    with FaultServer(word("delivered")) as server:
        connect(server)
        monkeypatch.setattr(pump, "_quiet", {})
        asked_at(timedelta(seconds=reconcile.QUIET + 1))
        assert pump.step() == 5


def test_questions_keep_to_the_rate_of_the_connection(alice: Member, server: FaultServer, pump: ReconcilePump) -> None:
    slow = connect(server, rate=0.1)
    for number in range(5):
        silent_since(alice, slow, HOUR, f"tx_{number}")

    pump.step()

    assert len(server.requests) == 1  # the next turn is ten seconds away: that is not waited for


@pytest.mark.django_db(transaction=True)
def test_two_processes_ask_once(alice: Member, telnyx: Connection, server: FaultServer) -> None:
    for number in range(40):
        silent_since(alice, telnyx, HOUR, f"tx_{number}")

    def work(number: int) -> None:
        pump = ReconcilePump()
        while pump.step():
            pass
        pump.close()

    in_threads(3, work)

    assert len(server.requests) == len({request.path for request in server.requests}) == 40


@pytest.mark.django_db(transaction=True)
def test_no_transaction_is_open_while_the_provider_thinks(alice: Member, server: FaultServer) -> None:
    thinking, go_on = Event(), Event()

    def think(wire: Wire) -> bool:
        thinking.set()
        go_on.wait(20)
        return word("delivered")(wire)

    server.play(think)
    message = silent_since(alice, connect(server), HOUR)
    pump = ReconcilePump()

    def work(number: int) -> None:
        if number:
            pump.step()
            return
        eventually(thinking.is_set, "the provider is asked")
        with database.cursor() as cursor:
            cursor.execute(
                "SELECT count(*) FROM pg_stat_activity WHERE state LIKE 'idle in transaction%%'"
                " AND datname = current_database()"
            )
            found.append(cursor.fetchone()[0])
        go_on.set()

    found: list[int] = []
    in_threads(2, work)
    pump.close()

    assert found == [0]
    assert Receipt.objects.get().provider_id == message.references.get().value


def test_an_orphan_that_says_the_same_is_evidence_again(
    alice: Member, telnyx: Connection, server: FaultServer, pump: ReconcilePump
) -> None:
    message = silent_since(alice, telnyx, HOUR)
    make_receipt(telnyx, "tx_1", "delivered", state=Receipt.State.ORPHANED)

    pump.step()
    ReceiptsPump().step()

    assert (state(message), Receipt.objects.get().state) == (State.DELIVERED, Receipt.State.APPLIED)


@pytest.mark.parametrize("provider", ["telnyx", "sendmsg"])
def test_a_message_without_a_receipt_is_unknown_after_the_deadline(
    alice: Member, server: FaultServer, pump: ReconcilePump, provider: str
) -> None:
    connection = connect(server, provider=provider)
    late = silent_since(alice, connection, settings.RECEIPT_DEADLINE + timedelta(seconds=1), "tx_late")
    waits = silent_since(alice, connection, settings.RECEIPT_DEADLINE - timedelta(minutes=1), "tx_waits")
    server.play(word("sent"))

    pump.step()

    late.refresh_from_db()
    assert (late.state, late.error_code, state(waits)) == (State.UNKNOWN, "no_receipt", State.SENT)
    assert (kinds(late), DeadLetter.objects.count()) == (["unknown"], 0)


def test_a_receipt_that_comes_even_later_still_counts(alice: Member, telnyx: Connection, pump: ReconcilePump) -> None:
    late = silent_since(alice, telnyx, settings.RECEIPT_DEADLINE + HOUR)
    pump.step()
    assert state(late) == State.UNKNOWN
    make_receipt(telnyx, "tx_1", "delivered")

    ReceiptsPump().step()

    assert state(late) == State.DELIVERED


def test_looking_for_what_waits_uses_the_index_and_not_the_table(alice: Member, telnyx: Connection) -> None:
    now = timezone.now()
    values: dict[str, Any] = {"connection": telnyx.id, "since": now - HOUR, "until": now, "now": now, "limit": 500}
    with database.cursor() as cursor:
        cursor.execute("SET LOCAL enable_seqscan = off")
        cursor.execute(f"EXPLAIN (FORMAT JSON) {enquiries.BEGIN}", values)
        plan = json.dumps(cursor.fetchone()[0])

    assert "message_sent" in plan
