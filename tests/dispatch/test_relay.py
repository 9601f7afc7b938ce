"""The relay releases what is due, most urgent first, once, and only while the broker can take it."""

import threading
from collections.abc import Sequence
from datetime import timedelta

import pytest
from django.db import connection as database
from django.utils import timezone
from kombu.exceptions import OperationalError
from pytest_django.fixtures import Settings

from dispatch import directory, pacing
from dispatch.models import Connection, Message
from dispatch.publisher import Reference
from dispatch.relay import Relay, release
from dispatch.states import State
from dispatch.tempo import Tempo
from tests.cast import Member
from tests.factories import make_connection, make_message

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def connections(db: None) -> tuple[Connection, Connection]:
    pair = make_connection(name="sendmsg"), make_connection(name="sandbox", sandbox=True)
    directory.forget()
    return pair


def released(limit: int = 100) -> list[str]:
    """The ids that one round releases, in the order of the tasks."""
    tasks = release(directory.entries(), limit)
    return [str(message_id) for _, references in tasks for message_id, _ in references]


def test_a_due_message_is_released_to_a_connection_with_a_lease(alice: Member) -> None:
    message = make_message(alice.account)

    [(name, [(message_id, number)])] = release(directory.entries(), 10)

    message.refresh_from_db()
    assert (name, message_id, number) == ("sendmsg", message.id, 1)
    assert message.state == State.RELEASED
    assert message.connection is not None
    assert message.connection.name == "sendmsg"
    assert message.lease_until is not None
    assert message.lease_until > timezone.now()


def test_a_message_that_is_not_due_waits(alice: Member) -> None:
    make_message(alice.account, due_at=timezone.now() + timedelta(minutes=1))

    assert released() == []


def test_urgent_messages_go_first_and_older_ones_before_younger(alice: Member) -> None:
    now = timezone.now()
    bulk = make_message(alice.account, priority=2, due_at=now - timedelta(hours=2))
    young = make_message(alice.account, priority=1, due_at=now - timedelta(minutes=1))
    old = make_message(alice.account, priority=1, due_at=now - timedelta(minutes=5))
    high = make_message(alice.account, priority=0, due_at=now)

    order = [released(1) for _ in range(4)]

    assert order == [[str(message.id)] for message in (high, old, young, bulk)]


def test_a_test_message_only_ever_leaves_by_a_sandbox(alice: Member) -> None:
    make_message(alice.account, test=True)
    make_message(alice.account, test=False)

    tasks = release(directory.entries(), 10)

    assert {name: len(references) for name, references in tasks} == {"sandbox": 1, "sendmsg": 1}
    assert set(Message.objects.values_list("test", "connection__sandbox")) == {(True, True), (False, False)}


def test_without_a_connection_for_them_messages_wait_and_block_nobody(alice: Member) -> None:
    Connection.objects.filter(name="sendmsg").update(enabled=False)
    directory.forget()
    live = make_message(alice.account, test=False, priority=0)
    test = make_message(alice.account, test=True, priority=2)

    assert released(1) == [str(test.id)]
    live.refresh_from_db()
    assert live.state == State.QUEUED


def test_no_more_is_released_than_a_connection_may_have_under_way(alice: Member, settings: Settings) -> None:
    settings.BACKLOG_LIMIT = 3
    for _ in range(5):
        make_message(alice.account)

    assert (len(released()), len(released())) == (3, 0)

    Message.objects.filter(state=State.RELEASED).update(state=State.SENT)
    assert len(released()) == 2


def test_a_message_whose_time_ran_out_is_not_released(alice: Member) -> None:
    make_message(alice.account, expires_at=timezone.now() - timedelta(seconds=1))

    assert released() == []


def test_a_message_in_doubt_stays_with_the_connection_that_may_have_sent_it(alice: Member) -> None:
    others = [make_connection(name=f"other-{number}", weight=1000) for number in range(5)]
    first = others[0]
    directory.forget()
    for _ in range(20):
        make_message(alice.account, in_doubt=True, connection=first)

    tasks = release(directory.entries(), 100)

    assert {name for name, _ in tasks} == {first.name}


def test_a_message_in_doubt_waits_while_its_connection_is_away_and_never_leaves_by_another(alice: Member) -> None:
    gone = make_connection(name="gone", enabled=False)
    make_message(alice.account, in_doubt=True, connection=gone)

    assert released() == []


def test_a_few_messages_are_one_task_and_many_are_shared(alice: Member) -> None:
    make_connection(name="sendmsg", concurrency=100)
    for _ in range(4):
        make_message(alice.account)
    small = release(directory.entries(), 100)
    for _ in range(90):
        make_message(alice.account)
    large = release(directory.entries(), 100)

    assert [len(references) for _, references in small] == [4]
    assert [len(references) for _, references in large] == [12] * 7 + [6]


def test_a_connection_of_few_calls_at_a_time_is_shared_by_more_workers(alice: Member) -> None:
    make_connection(name="sendmsg", concurrency=1)
    for _ in range(4):
        make_message(alice.account)

    assert [len(references) for _, references in release(directory.entries(), 100)] == [1, 1, 1, 1]


def test_while_workers_are_busy_there_are_fewer_tasks(alice: Member) -> None:
    make_connection(name="sendmsg", concurrency=10)
    tempo = Tempo()
    for _ in range(80):
        make_message(alice.account)
    idle = release(directory.entries(), 20, tempo)
    busy = release(directory.entries(), 20, tempo)

    assert [len(references) for _, references in idle] == [8, 8, 4]
    assert [len(references) for _, references in busy] == [10, 10]


def test_a_provider_that_takes_many_in_a_call_gets_them_in_few_tasks(alice: Member) -> None:
    make_connection(name="sendmsg", provider="infobip", credentials={"api_key": "k"}, concurrency=100)
    for _ in range(200):
        make_message(alice.account)

    assert [len(references) for _, references in release(directory.entries(), 500)] == [100, 100]


@pytest.mark.django_db(transaction=True)
def test_two_relays_share_the_work_and_release_nothing_twice(alice: Member) -> None:
    make_connection(name="sendmsg", concurrency=100)
    for _ in range(120):
        make_message(alice.account)
    entries = directory.entries()
    barrier = threading.Barrier(4)
    found: list[str] = []

    def work() -> None:
        barrier.wait(10)
        try:
            for _ in range(10):
                tasks = release(entries, 10)
                found.extend(str(message_id) for _, references in tasks for message_id, _ in references)
        finally:
            database.close()

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)

    assert len(found) == len(set(found)) == 120


def test_while_the_broker_is_away_nothing_is_released(alice: Member, monkeypatch: pytest.MonkeyPatch) -> None:
    message = make_message(alice.account)
    relay = Relay()
    monkeypatch.setattr("sendmsg.celery.app.conf.broker_write_url", "amqp://guest:guest@127.0.0.1:1//")

    with pytest.raises(OperationalError):
        relay.step()

    message.refresh_from_db()
    assert (message.state, message.release) == (State.QUEUED, 0)


def test_what_could_not_be_published_is_queued_again(alice: Member, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dispatch.relay.LEAST_TASK", 1)
    published, lost = make_message(alice.account), make_message(alice.account, priority=2)
    relay = Relay()

    def publish(name: str, references: Sequence[Reference]) -> None:
        if references[0][0] == lost.id:
            raise OperationalError("the broker vanished")

    monkeypatch.setattr(relay._publisher, "open", lambda names: None)
    monkeypatch.setattr(relay._publisher, "publish", publish)

    with pytest.raises(OperationalError):
        relay.step()

    published.refresh_from_db()
    lost.refresh_from_db()
    assert (published.state, published.release) == (State.RELEASED, 1)
    assert (lost.state, lost.release) == (State.QUEUED, 1)
    assert lost.due_at > timezone.now()


def test_a_paced_connection_gets_no_more_than_half_a_second_of_its_rate(alice: Member) -> None:
    make_connection(name="sendmsg", rate=6)
    for _ in range(10):
        make_message(alice.account)

    assert len(released()) == 3


def test_a_paused_connection_gets_nothing(alice: Member, clean_redis: object) -> None:
    make_message(alice.account)
    pacing.pause("sendmsg", 30)

    assert released() == []
