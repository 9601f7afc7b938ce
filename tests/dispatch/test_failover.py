"""A message finds its way round what fails, and never to where it may have been sent already."""

import threading
import time
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection as database
from django.utils import timezone
from pytest_django.fixtures import Settings

from dispatch import breaker, calls, deadlines, leases, lines, pacing, relay, routes
from dispatch.models import Attempt, Connection, DeadLetter, Message, ProviderReference, RouteStep
from dispatch.rematch import subject_of
from dispatch.states import State
from sendmsg import redis
from sendmsg.telemetry import metrics
from tests.cast import Member
from tests.dispatch.rounds import INFOBIP, TELNYX, WHATSAPP, connected, refuses, takes, tries, turn
from tests.factories import make_message, make_route
from tests.faults import Wire, answer, hang, json_answer
from tests.waiting import eventually

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("clean_redis")]


@pytest.fixture(autouse=True)
def quick(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(breaker, "KEPT", 0.0)
    settings.READ_TIMEOUT, settings.TOTAL_TIMEOUT, settings.RETRY_BASE = 0.3, 0.5, 0.01


def fresh(alice: Member, **fields: Any) -> Message:
    """A message in the lane that the routes give it."""
    message = make_message(alice.account, to="+447700900123", **fields)
    message.lane = routes.book().lane(subject_of(message)).number
    message.save(update_fields=["lane"])
    return message


def now_of(message: Message) -> Message:
    return Message.objects.get(pk=message.pk)


def ordered(*names: str) -> None:
    """A route that prefers these connections in this order."""
    make_route("all", *(Connection.objects.get(name=name) for name in names))


def test_a_provider_that_is_away_is_left_for_the_next(alice: Member) -> None:
    with connected(first=(TELNYX, answer(503)), second=(TELNYX, takes)):
        ordered("first", "second")
        message = fresh(alice)
        turn(), turn()

    assert tries(message) == [("first", "unavailable"), ("second", "accepted")]
    assert (now_of(message).state, now_of(message).failures) == (State.SENT, 1)


def test_a_message_that_failed_everywhere_comes_round_again(alice: Member) -> None:
    with connected(first=(TELNYX, answer(503)), second=(TELNYX, answer(503))) as servers:
        ordered("first", "second")
        message = fresh(alice)
        turn(), turn()
        servers["first"].play(takes)
        turn()

    assert tries(message) == [("first", "unavailable"), ("second", "unavailable"), ("first", "accepted")]


def test_a_network_that_one_provider_does_not_reach_is_tried_by_another(alice: Member) -> None:
    with connected(first=(TELNYX, refuses("40309")), second=(TELNYX, takes)):  # not whitelisted: unroutable
        ordered("first", "second")
        message = fresh(alice)
        turn(), turn()

    assert tries(message) == [("first", "rejected"), ("second", "accepted")]
    assert now_of(message).error_code == ""


def test_a_wrong_number_is_wrong_everywhere(alice: Member) -> None:
    with connected(first=(TELNYX, refuses("40310")), second=(TELNYX, takes)) as servers:
        ordered("first", "second")
        message = fresh(alice)
        turn()
        assert turn() == 0
        assert servers["second"].requests == []

    assert now_of(message).state == State.FAILED
    assert DeadLetter.objects.get().reason == "invalid_recipient"


def test_what_every_provider_refuses_fails(alice: Member) -> None:
    with connected(first=(TELNYX, refuses("40309")), second=(TELNYX, refuses("40309"))):
        ordered("first", "second")
        message = fresh(alice)
        turn(), turn()

    assert tries(message) == [("first", "rejected"), ("second", "rejected")]
    assert now_of(message).state == State.FAILED


def test_who_opted_out_is_not_written_to_by_another_way(alice: Member) -> None:
    with connected(first=(TELNYX, refuses("40300")), second=(TELNYX, takes)):
        ordered("first", "second")
        message = fresh(alice)
        turn()

    assert now_of(message).state == State.FAILED


def test_who_has_no_whatsapp_gets_an_sms(alice: Member) -> None:
    no_such_user = json_answer(400, {"error": {"code": 131026}})
    with connected(chat=(WHATSAPP, no_such_user), text=(TELNYX, takes)) as servers:
        ordered("chat", "text")
        RouteStep.objects.filter(connection__name="text").update(channel="sms", sender="Acme SMS")
        routes.forget()
        message = fresh(alice, channel="whatsapp", sender="+447700900999", encoding="utf8")
        turn(), turn()

    assert tries(message) == [("chat", "rejected"), ("text", "accepted")]
    sent = servers["text"].requests[0].json()
    assert (sent["to"], sent["from"]) == ("+447700900123", "Acme SMS")


def test_an_answer_that_never_comes_waits_for_a_receipt_and_then_for_an_operator(alice: Member) -> None:
    with connected(first=(TELNYX, hang), second=(TELNYX, takes)) as servers:
        ordered("first", "second")
        message = fresh(alice)
        turn()
        assert (now_of(message).state, now_of(message).in_doubt) == (State.QUEUED, True)
        assert turn() == 0
        until = now_of(message).doubt_until
        assert until is not None
        Message.objects.update(due_at=timezone.now() - timedelta(seconds=1))
        assert deadlines.end_overdue(until) == 1
        assert turn() == 0
        assert servers["second"].requests == []

    assert now_of(message).state == State.UNKNOWN
    assert DeadLetter.objects.get().reason == "timeout"


def test_an_operator_may_choose_that_it_arrives_twice_rather_than_never(alice: Member) -> None:
    before = metrics.DOUBTS_GIVEN_UP.labels("first")._value.get()
    with connected(first=({**TELNYX, "unknown_then": "fail_over"}, hang), second=(TELNYX, takes)):
        ordered("first", "second")
        message = fresh(alice)
        turn()
        until = now_of(message).doubt_until
        assert until is not None
        deadlines.end_overdue(until)
        turn()

    assert tries(message) == [("first", "unknown"), ("second", "accepted")]
    assert metrics.DOUBTS_GIVEN_UP.labels("first")._value.get() == before + 1
    assert now_of(message).doubt_until is None


def asked(message: Message, **settings: object) -> None:
    """Its doubt is ten minutes old: the provider may be asked."""
    Attempt.objects.filter(message=message).update(started_at=timezone.now() - timedelta(minutes=10))
    Message.objects.filter(pk=message.pk).update(due_at=timezone.now())


def infobip_log(wire: Wire, *, has: bool) -> bool:
    if wire.request.method == "POST":
        return hang(wire)
    wanted = wire.request.path.partition("messageId=")[2].partition("&")[0]
    one = {"messageId": wanted, "status": {"groupName": "PENDING", "name": "PENDING_ACCEPTED"}}
    return json_answer(200, {"results": [one] if has else []})(wire)


def test_a_provider_that_can_be_asked_says_that_it_has_the_message(alice: Member) -> None:
    with connected(first=(INFOBIP, lambda wire: infobip_log(wire, has=True)), second=(TELNYX, takes)):
        ordered("first", "second")
        message = fresh(alice)
        turn()
        assert turn() == 0  # its lists lag behind: not at once
        asked(message)
        turn()

    assert tries(message) == [("first", "unknown"), ("first", "accepted")]
    assert now_of(message).state == State.SENT
    assert ProviderReference.objects.get().value == str(message.id)


def test_a_provider_that_does_not_have_it_frees_it_for_the_next(alice: Member) -> None:
    with connected(first=(INFOBIP, lambda wire: infobip_log(wire, has=False)), second=(TELNYX, takes)) as servers:
        ordered("first", "second")
        message = fresh(alice)
        turn()
        asked(message)
        turn(), turn()
        posts = [request for request in servers["first"].requests if request.method == "POST"]

    assert tries(message) == [("first", "unknown"), ("first", "absent"), ("second", "accepted")]
    assert len(posts) == 1


def test_a_provider_that_cannot_say_is_asked_again_and_never_called(alice: Member) -> None:
    def cant_say(wire: Wire) -> bool:
        return hang(wire) if wire.request.method == "POST" else answer(500)(wire)

    with connected(first=(INFOBIP, cant_say), second=(TELNYX, takes)) as servers:
        ordered("first", "second")
        message = fresh(alice)
        turn()
        asked(message)
        turn()
        asked(message)
        turn()
        posts = [request for request in servers["first"].requests if request.method == "POST"]

    assert [outcome for _, outcome in tries(message)] == ["unknown", "unanswered", "unanswered"]
    assert (len(posts), now_of(message).in_doubt) == (1, True)


def test_an_id_that_another_message_has_is_no_find(alice: Member) -> None:
    with connected(first=(INFOBIP, lambda wire: infobip_log(wire, has=True))):
        connection = Connection.objects.get(name="first")
        message, other = fresh(alice), fresh(alice, state=State.SENT, connection=connection)
        ProviderReference.objects.create(connection=connection, value=str(message.id), message=other)
        turn()
        asked(message)
        turn()

    assert tries(message)[-1] == ("first", "unanswered")
    assert now_of(message).in_doubt


def test_a_worker_that_died_leaves_its_messages_in_doubt(alice: Member) -> None:
    with connected(first=(TELNYX, takes), second=(TELNYX, takes)) as servers:
        ordered("first", "second")
        connection = Connection.objects.get(name="first")
        message = fresh(alice, state=State.SENDING, connection=connection, release=1, tries=1)
        Attempt.objects.create(message=message, number=1, connection=connection, started_at=timezone.now())
        leases.free_ended(timezone.now() + timedelta(minutes=2))
        assert turn() == 0
        assert servers["second"].requests == []

    assert (now_of(message).state, now_of(message).in_doubt) == (State.QUEUED, True)


def test_what_was_released_to_a_provider_that_fell_is_handed_on_at_once(alice: Member) -> None:
    with connected(first=(TELNYX, answer(503)), second=(TELNYX, takes)) as servers:
        ordered("first", "second")
        waiting = [fresh(alice) for _ in range(30)]
        turn(), turn(), turn()

        assert {now_of(message).state for message in waiting} == {State.SENT}
        assert len(servers["first"].requests) < 30
    codes = set(Attempt.objects.filter(outcome="not_sent").values_list("code", flat=True))
    assert codes <= {"breaker_open"}


def test_a_silent_provider_is_found_out_before_its_calls_end(alice: Member, settings: Settings) -> None:
    settings.READ_TIMEOUT = settings.TOTAL_TIMEOUT = 20.0
    with pytest.MonkeyPatch.context() as patch, connected(first=({**TELNYX, "concurrency": 8}, hang)):
        patch.setattr(calls, "LATE", 0.3)
        patch.setattr(lines, "LOOK", 0.1)
        patch.setattr(relay, "PARALLEL_TASKS", 1)
        for _ in range(6):
            fresh(alice)

        def work() -> None:
            turn()
            database.close()

        task = threading.Thread(target=work)
        task.start()
        eventually(lambda: breaker.is_open("first"), "the breaker opens while the calls hang", 10)
        assert Message.objects.filter(state=State.SENDING).count() == 6
    task.join(30)
    assert not task.is_alive()


def test_waiting_for_a_senders_turn_costs_no_try_of_those_that_count(alice: Member) -> None:
    with connected(first=({**TELNYX, "sender_rate": 1.0}, takes)):
        messages = [fresh(alice) for _ in range(3)]
        turn()
        handed_back = Message.objects.filter(state=State.QUEUED)

        assert handed_back.count() == 2
        assert {(row.error_code, row.failures, row.avoided) for row in handed_back} == {("paced", 0, None)}
        assert all(row.due_at > timezone.now() for row in handed_back)
        turn()
        assert Message.objects.filter(state=State.QUEUED, id__in=[one.id for one in messages]).count() == 2


def test_whatsapp_leaves_a_recipient_alone_for_as_long_as_meta_wants(alice: Member) -> None:
    def accepts(wire: Wire) -> bool:
        wanted = wire.request.json()["to"]
        return json_answer(200, {"messages": [{"id": f"wamid.{wanted}.{len(servers['chat'].requests)}"}]})(wire)

    with connected(chat=(WHATSAPP, accepts)) as servers:
        chats = [
            make_message(alice.account, to=to, channel="whatsapp", sender="+447700900999", encoding="utf8")
            for to in ("+447700900123", "+447700900123", "+447700900124")
        ]
        turn()
        waiting = [now_of(one) for one in chats if now_of(one).state == State.QUEUED]

        assert len(servers["chat"].requests) == 2
        assert [(one.to, one.error_code, one.failures) for one in waiting] == [("+447700900123", "paced", 0)]
        handed_back = Attempt.objects.get(message=waiting[0]).finished_at
        assert handed_back is not None
        assert (waiting[0].due_at - handed_back).total_seconds() == pytest.approx(6, abs=0.2)


def test_without_redis_a_worker_keeps_messages_from_a_provider_that_fell(alice: Member, settings: Settings) -> None:
    redis.client.cache_clear()
    settings.REDIS_URL = "redis://127.0.0.1:1/0"
    try:
        with connected(first=(TELNYX, answer(503)), second=(TELNYX, takes)) as servers:
            ordered("first", "second")
            for _ in range(breaker.LEAST):
                fresh(alice)
            turn()
            failed = len(servers["first"].requests)
            late = fresh(alice)
            turn(), turn()

            assert tries(late) == [("first", "not_sent"), ("second", "accepted")]
            assert len(servers["first"].requests) == failed
    finally:
        redis.client.cache_clear()


def test_with_every_provider_down_a_message_waits_for_its_deadline_and_expires(alice: Member) -> None:
    with connected(first=(TELNYX, answer(503)), second=(TELNYX, answer(503))):
        ordered("first", "second")
        waiting = [fresh(alice) for _ in range(12)]
        for _ in range(3):
            turn()
        assert turn() == 0  # both breakers are open
        message = now_of(waiting[0])
        assert message.state == State.QUEUED
        deadlines.end_overdue(message.expires_at + timedelta(seconds=1))

    assert {now_of(one).state for one in waiting} == {State.EXPIRED}
    assert DeadLetter.objects.count() == 12


def test_too_many_requests_pauses_a_connection_for_as_long_as_it_said(alice: Member) -> None:
    with connected(first=(TELNYX, json_answer(429, {}, {"Retry-After": "30"})), second=(TELNYX, takes)) as servers:
        ordered("first", "second")
        messages = [fresh(alice) for _ in range(3)]
        turn()
        asked_first = len(servers["first"].requests)
        left = redis.client().pttl(pacing._pause_key("first"))
        turn(), turn()

        assert {now_of(one).state for one in messages} == {State.SENT}
        assert len(servers["first"].requests) == asked_first
    assert 29_000 < left <= 30_000
    assert breaker.read(["first"])["first"].state == "closed"  # it is well, and busy


def test_a_recovered_provider_gets_its_share_back(alice: Member, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(breaker, "FIRST_PAUSE", 0.2)
    monkeypatch.setattr(breaker, "KEPT", 0.0)
    with connected(first=(TELNYX, answer(503)), second=(TELNYX, takes)) as servers:
        ordered("first", "second")
        for _ in range(10):
            fresh(alice)
        turn(), turn()
        servers["first"].play(takes)
        until = time.monotonic() + 20
        while breaker.read(["first"])["first"].state != "closed" and time.monotonic() < until:
            fresh(alice)
            turn()
        last = fresh(alice)
        turn()

    assert tries(last) == [("first", "accepted")]
